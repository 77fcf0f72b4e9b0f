"""Runs one command of the fleet file in a release's container: in the one that runs, else in one of its own that is removed afterwards."""

import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.docker import making, names, secret_files
from quarterdeck.backends.hosts.docker.executing import limited, run_in, was_by_limit
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Container, Seen
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.spec import create_request
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.container import ContainerSpec, Healthcheck
from quarterdeck.config.release import Release

_ENDING: Final = 10.0  # seconds for a command to be ended by its limit
_TAIL: Final = 2000  # lines
_KILLED: Final = 137  # SIGKILL


async def run_hook(
    gate: Gate, seen: Seen, release: Release, command: str, timeout: float, extra_env: Mapping[str, str]
) -> dict[str, Any]:
    """``exit`` and ``output``. Raises ``CommandTimedOut``, and ``CommandFailed`` where it can't be run."""
    spec = making.spec_of(gate.host, gate.words, release)
    container = seen.of(release)
    if container is None:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"release {release.id} is not on the host",
            exit_status=None,
            left=UNCHANGED,
            advice="try again: what a host lacks is fetched by it before a hook runs",
        )
    body = await gate.inspect(container.id)
    has = dict(one.partition("=")[::2] for one in (body["Config"].get("Env") or [] if body is not None else []))
    gate.hide(has[name] for name in release.secrets if name in has)
    gate.hide(await secret_files.read_all(gate.ask, container.id, spec))
    gate.touched = True
    if container.state == "running":
        await gate.register.check(gate.fence, gate.words, deadline=gate.left)
        began = time.monotonic()
        try:
            status, output = await run_in(
                gate.engine,
                gate.words,
                container.id,
                limited(command, timeout),
                extra_env,
                deadline=min(gate.left, timeout + _ENDING),
            )
        except CommandTimedOut:
            raise _timed_out(gate, timeout, "") from None
        if was_by_limit(status, timeout, time.monotonic() - began):
            raise _timed_out(gate, timeout, output)
    else:
        status, output = await _on_its_own(gate, container, release, command, timeout, {**has, **extra_env})
    return {"exit": status, "output": output}


async def _on_its_own(
    gate: Gate,
    container: Container,
    release: Release,
    command: str,
    timeout: float,
    env: Mapping[str, str],
) -> tuple[int, str]:
    spec = making.spec_of(gate.host, gate.words, release)
    directory = container.labels.get(names.SECRETS, "")
    own = {  # and none of the service's: routers that read labels would lead requests to it
        names.TARGET: release.target,
        names.ROLE: names.HOOK,
        names.EPOCH: str(gate.fence.epoch),
        names.RELEASE: release.id,
    }
    request = create_request(
        gate.host,
        _alone(spec, command),
        image=container.image,
        env=env,
        labels=own,
        api_version=gate.engine.api_version,
        secrets=secret_files.binds(spec, directory) if directory else (),
    )
    name = f"{names.kept_name(names.live_name(release), release.id)}.hook-{secrets.token_hex(4)}"
    made = await gate.act(lambda client: client.create_container_from_config(request.body, name))
    hook = made["Id"]
    try:
        for network, endpoint in request.then_join:
            await making.join(gate, hook, network, endpoint)
        if spec.files:
            data = secret_files.files_archive(spec.files)
            await gate.act(lambda client: client.put_archive(hook, "/", data))
        await gate.act(lambda client: client.start(hook))
        try:
            ended = await gate.engine.call(
                gate.words, lambda client: client.wait(hook), deadline=min(gate.left, timeout)
            )
        except CommandTimedOut:
            raise _timed_out(gate, timeout, await _output(gate, hook)) from None
        status, output = int(ended["StatusCode"]), await _output(gate, hook)
        if status == _KILLED:
            raise await _killed(gate, hook, output)
        return status, output
    finally:
        with contextlib.suppress(BackendError):  # ``finish`` removes what is left
            await gate.engine.call(
                gate.words, lambda client: client.remove_container(hook, v=True, force=True), deadline=_ENDING
            )


def _alone(spec: ContainerSpec, command: str) -> ContainerSpec:
    """In the same networks with the same files, and nobody is led to it. Who stops it kills it: a command that ends with 0 at a signal is
    not done, and nothing else tells that it was one."""
    networks = tuple(
        msgspec.structs.replace(one, aliases=(), ipv4_address="", ipv6_address="") for one in spec.networks
    )
    return msgspec.structs.replace(
        spec,
        ports=(),
        networks=networks,
        mac_address="",
        hostname="",
        healthcheck=Healthcheck(test=("NONE",)),
        entrypoint=("/bin/sh", "-c"),
        command=(command,),
        tty=False,
        stdin_open=False,
        stop_signal="SIGKILL",
    )


async def _killed(gate: Gate, hook: str, output: str) -> CommandFailed:
    body = await gate.inspect(hook)
    of_memory = body is not None and body["State"].get("OOMKilled")
    return CommandFailed(
        gate.host,
        gate.words,
        "the command was killed for want of memory" if of_memory else "the command was killed before it had ended",
        exit_status=_KILLED if of_memory else None,
        output=output,
        advice="give the service more memory" if of_memory else "look who has stopped its container, or the engine",
    )


async def _output(gate: Gate, container: str) -> str:
    raw: bytes = await gate.engine.call(gate.words, lambda client: client.logs(container, tail=_TAIL), deadline=_ENDING)
    return clean(raw[-65536:].decode("utf-8", "replace"))


def _timed_out(gate: Gate, timeout: float, output: str) -> CommandTimedOut:
    return CommandTimedOut(
        gate.host, gate.words, f"the command was ended after {timeout:g} s", exit_status=124, output=output
    )
