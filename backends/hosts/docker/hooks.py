"""Runs one command of the fleet file in a release's container: in the one that runs, else in one of its own that is removed afterwards."""

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.docker import making, names, secret_files
from quarterdeck.backends.hosts.docker.executing import limited, run_in, until_ended, was_by_limit
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Container, Seen
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.spec import create_request
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.container import ContainerSpec, Healthcheck
from quarterdeck.config.release import Release

_ENDING: Final = 10.0  # seconds for a command to be ended by its limit
_CUT: Final = 30.0  # seconds for a command whose connection was cut to be ended by the engine
_TAIL: Final = 2000  # lines
_KILLED: Final = 137  # SIGKILL
_CUT_SHORT: Final = (_KILLED, 255)  # exit statuses of one that ended with its engine


async def run_hook(
    gate: Gate, seen: Seen, release: Release, command: str, timeout: float, extra_env: Mapping[str, str], op_id: str
) -> dict[str, Any]:
    """``exit`` and ``output``. Nothing is begun beside what an earlier attempt has begun: that one's end is waited for. Raises
    ``CommandTimedOut``, and ``CommandFailed`` where it can't be run."""
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
        if begun := seen.state.operations.get(op_id, {}).get("exec"):
            await until_ended(gate.engine, gate.words, str(begun), deadline=_CUT)
        began = time.monotonic()

        async def note(made: str) -> None:
            await gate.remember(lambda now: now.with_operation(op_id, {**now.operations.get(op_id, {}), "exec": made}))

        try:
            status, output = await run_in(
                gate.engine,
                gate.words,
                container.id,
                limited(command, timeout),
                extra_env,
                deadline=min(gate.left, timeout + _ENDING),
                note=note,
            )
        except CommandTimedOut:
            raise _timed_out(gate, timeout, "") from None
        if was_by_limit(status, timeout, time.monotonic() - began):
            raise _timed_out(gate, timeout, output)
    else:
        left = [
            one
            for one in seen.aside
            if (one.labels.get(names.ROLE), one.labels.get(names.OPERATION)) == (names.HOOK, op_id)
        ]
        status, output = await _on_its_own(
            gate, container, release, command, timeout, {**has, **extra_env}, op_id, left
        )
    return {"exit": status, "output": output}


async def _on_its_own(
    gate: Gate,
    container: Container,
    release: Release,
    command: str,
    timeout: float,
    env: Mapping[str, str],
    op_id: str,
    left: Sequence[Container],
) -> tuple[int, str]:
    """``left``: containers of earlier attempts."""
    begun = ""
    for one in left:
        if await _has_begun(gate, one):
            begun = one.id
        else:
            await _remove(gate, one.id)
    lost = False
    hook = begun or await _made(gate, container, release, command, env, op_id)
    try:
        if not begun:
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
    except Unreachable:
        lost = True  # it runs on, and whoever comes back to it waits for its end
        raise
    finally:
        if not lost:
            await _remove(gate, hook)


async def _has_begun(gate: Gate, left: Container) -> bool:
    body = await gate.inspect(left.id)
    if body is None or body["State"].get("Status") in ("created", "removing", "dead"):
        return False
    return bool(body["State"].get("Running")) or body["State"].get("ExitCode") not in _CUT_SHORT


async def _remove(gate: Gate, hook: str) -> None:
    with contextlib.suppress(BackendError):  # ``finish`` removes what is left
        await gate.engine.call(
            gate.words, lambda client: client.remove_container(hook, v=True, force=True), deadline=_ENDING
        )


async def _made(
    gate: Gate, container: Container, release: Release, command: str, env: Mapping[str, str], op_id: str
) -> str:
    """The id of a container that is ready to be started."""
    spec = making.spec_of(gate.host, gate.words, release)
    directory = container.labels.get(names.SECRETS, "")
    own = {  # and none of the service's: routers that read labels would lead requests to it
        names.TARGET: release.target,
        names.ROLE: names.HOOK,
        names.EPOCH: str(gate.fence.epoch),
        names.RELEASE: release.id,
        names.OPERATION: op_id,
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
    hook = str(made["Id"])
    try:
        for network, endpoint in request.then_join:
            await making.join(gate, hook, network, endpoint)
        if spec.files:
            data = secret_files.files_archive(spec.files)
            await gate.act(lambda client: client.put_archive(hook, "/", data))
    except BaseException:
        await _remove(gate, hook)
        raise
    return hook


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
