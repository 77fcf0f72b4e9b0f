"""The hosts contract on one open SSH connection: each action is one script through the host's gate. Holds no policy."""

import asyncio
import contextlib
import hashlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import asyncssh

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.checking import reached_at
from quarterdeck.backends.hosts.contract import (
    CommandOutcome,
    Exited,
    Fence,
    HealthOutcome,
    KeptRelease,
    LogBatch,
    LogLine,
    NewLines,
    Printed,
    SecretValues,
    ServiceFigures,
    StageOutcome,
    SwitchOutcome,
    TargetFacts,
    Terminal,
    Typed,
    Vitals,
)
from quarterdeck.backends.hosts.ending import MARK, ending
from quarterdeck.backends.hosts.manifest import check_release_id, parse_manifest
from quarterdeck.backends.hosts.ssh.answer import Answer, parse, require, senseless
from quarterdeck.backends.hosts.ssh.channel import Ended, Waiting, execute
from quarterdeck.backends.hosts.ssh.exec_session import exec_over_ssh
from quarterdeck.backends.hosts.ssh.figures import read_figures
from quarterdeck.backends.hosts.ssh.health import check_once
from quarterdeck.backends.hosts.ssh.logs import follow_batches, follow_logs
from quarterdeck.backends.hosts.ssh.new_lines import read_new_lines
from quarterdeck.backends.hosts.ssh.quoting import assign, quote
from quarterdeck.backends.hosts.ssh.release_files import (
    check_names,
    check_path,
    host_files,
    runner_text,
    secrets_file,
    writing_function,
)
from quarterdeck.backends.hosts.ssh.script import build, of_slots, waits
from quarterdeck.backends.hosts.ssh.slots import SlotsSeen, facts_of_slots, log_values, port_in, slot_lines
from quarterdeck.backends.hosts.ssh.staging import archive_needs, chunks, compression_flag
from quarterdeck.backends.hosts.ssh.vitals import read_vitals
from quarterdeck.backends.hosts.ssh.way import Way
from quarterdeck.backends.numbers import number_in
from quarterdeck.backends.pacing import Pace
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import Health, Hook, Logs
from quarterdeck.config.release import Release

_LONGEST_WAIT = 30.0  # seconds for the target's lock, at most half of an action's deadline
_OUTPUT_KEPT = 64 * 1024
_NO_LIMIT = "0"  # what timeout takes for no time limit
_ENDING = 8.0
_ASKING = 10.0
_LEAVING = 2.0  # seconds for a shell to end that is no longer wanted


class SshConnection:
    """An open connection to one host. Made by ``SshBackend.connect``."""

    def __init__(
        self,
        host: str,
        connection: asyncssh.SSHClientConnection,
        way: Way,
        release: Callable[[], Awaitable[None]],
        uploads: Pace,
    ) -> None:
        self._host = host
        self._uploads = uploads
        self._connection = connection
        self._release = release
        self._executions = 0
        self._waiting: Waiting | None = None  # the shell that has looked, for the next switch …
        self._waits_for = ""  # … by this script
        self._clock: float | None = None  # the host's seconds since 1970, less our monotonic ones
        self._limit_tool: dict[str, str] = {}  # how the host's `timeout` is called, once facts() has found out
        self._verified: set[tuple[str, str]] = (
            set()
        )  # (path, release) whose checksums were seen to hold through this connection
        self._status_tells: set[str] = (
            set()
        )  # paths of targets whose status command was seen to answer through this connection
        self._slots = SlotsSeen()
        self._way = way
        self.address = way.address
        self.forwarding = True  # the server opens connections for us; False once it has refused

    @property
    def host(self) -> str:
        return self._host

    @property
    def executions(self) -> int:
        return self._executions

    @property
    def ssh(self) -> asyncssh.SSHClientConnection:
        """For backends that forward a socket over the same connection."""
        return self._connection

    async def run(
        self,
        action: str,
        script: str,
        values: Mapping[str, str],
        *,
        deadline: float,
        extra: str = "",
        payload: AsyncIterator[bytes] | None = None,
        then: str = "",
    ) -> Answer:
        """Sends one script and reads its answer: exactly one execution. ``action`` is for errors. Does not judge the answer.
        ``then``: the same execution goes on to wait for that script."""
        text = build(script, {**self._limit_tool, **values}, extra=extra, then=then)
        begun, ended, since = await self._begun_for(script), None, time.monotonic()
        sending = partial(execute, self._connection, self._host, action, text.command)
        if begun is not None:
            ended = await sending(text.text, deadline=deadline, begun=begun)
            deadline = max(1.0, round(deadline - (time.monotonic() - since), 1))
        if (
            ended is None or not ended.stdout
        ):  # gone before the host told so: what it had begun is taken to its end under its op_id
            self._executions += 1
            ended = await sending(
                text.ahead + text.text,
                deadline=deadline,
                payload=payload,
                asks=f"{text.mark} send".encode() if payload is not None else b"",
                goes_on_at=waits(text.mark) if then else b"",
            )
        self._waiting, self._waits_for = ended.goes_on, then
        return parse(text.mark, ended.stdout, ended.stderr, ended.exit_status, self._way.by_hand)

    async def _begun_for(self, script: str) -> Waiting | None:
        """The shell that waits for this, if it still does. One that waits for something else is ended first: a server may allow no
        second session."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or (waiting.there and script == self._waits_for):
            return waiting
        await waiting.leave(_LEAVING)
        return None

    async def facts(
        self,
        target: str,
        path: str,
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,
    ) -> TargetFacts:
        """One execution, changes nothing. ``release`` says how to ask whether the service runs where the host's own record does not.
        ``then_switch``: the execution goes on to be that of the next switch."""
        action = f"read what runs of {target}"
        check_path(self._host, action, path)
        values = {"path": path, "run": runner_text(release.runner) if release else "run_kind=", "op": "facts"}
        values["switch_comes"] = "yes" if then_switch else ""
        script, then = of_slots("facts", release), of_slots("switch", release) if then_switch else ""
        begun = time.monotonic()
        answer = require(self._host, action, await self.run(action, script, values, deadline=deadline, then=then))
        if answer.has("slots"):  # what is current there has slots, and nobody knew
            answer = require(
                self._host, action, await self.run(action, "slot_facts", values, deadline=deadline, then=then)
            )
        clock, epoch = number_in(answer.one("clock")), number_in(answer.one("epoch") or "0")
        if epoch is None:  # taken for none, an older worker would be let through
            raise senseless(self._host, action, answer, f"epoch {answer.one('epoch')}")
        self._clock = clock - begun if clock is not None else None
        lock, _, tool = (answer.one("limit") or "").partition(" ")
        self._limit_tool = {"limit": tool, "limit_lock": lock} if tool else {}
        kept = []
        for line in answer.every("kept"):
            name, _, rest = line.partition(" ")
            state, _, text = rest.partition(" ")
            body = parse_manifest(text)
            kept.append(KeptRelease(name, state == "intact" and body is not None and body.get("id") == name, body))
        home = path.rstrip("/")
        self._verified = {(place, name) for place, name in self._verified if place != home}
        self._verified |= {(home, found.release) for found in kept if found.intact}
        disk = number_in(answer.one("disk"))
        service = (answer.one("service") or "").partition(" ")[0]
        drift: tuple[str, ...] = ()
        if not service:
            in_slots = slot_lines(self._host, action, answer)
            self._slots.learn_all(path, in_slots)
            service, drift = facts_of_slots(answer.one("current") or "", in_slots)
        (self._status_tells.add if service == "running" else self._status_tells.discard)(home)
        return TargetFacts(
            current=answer.one("current") or None,
            running={"running": True, "no": False}.get(service),
            kept=tuple(kept),
            epoch=epoch,
            holder=answer.one("holder") or "",
            anchor=answer.one("anchor") or "",
            good=tuple(answer.every("good")),
            bad=tuple(answer.every("bad")),
            free_bytes=disk * 1024 if disk is not None else None,
            problems=tuple(answer.every("problem")),
            drift=drift,
            # Of what an older rollout still does there, nobody knows the end.
            as_started=answer.one("at-work") is None and not drift,
        )

    async def stage(
        self, release: Release, archive: Path | None, secrets: SecretValues, fence: Fence, *, deadline: float = 600.0
    ) -> StageOutcome:
        """Uploads, checks the SHA-256, unpacks outside the lock, adds the release's files, renames into place. One execution."""
        action = f"stage {release.id}"
        if archive is None:
            raise BackendError(
                self._host,
                action,
                "its artifact is an image, and this host has no engine",
                left="Nothing was changed there",
                advice="give the host as a Docker engine, or the service a tarball",
            )
        check_names(self._host, action, release)
        started = time.monotonic()
        try:
            needed, flag = await asyncio.to_thread(_look_at, archive)
        except OSError as error:
            raise BackendError(
                self._host,
                action,
                f"the artifact {archive} can't be read: {error.strerror or error}",
                left="Nothing was changed there",
            ) from None
        files = host_files(release, secrets.values, self._host, action)
        values = {
            **self._fenced(release.path, release.id, fence, "stage"),
            "digest": release.digest,
            "sha256": release.artifact.sha256,
            "need": str(needed // 1024 + 1024),
            "compression": flag,
            "wait": str(int(_LONGEST_WAIT)),
            "unique": hashlib.sha256(f"{fence.holder}{time.time_ns()}".encode()).hexdigest()[:12],
        }
        extra = writing_function(files)
        async with self._uploads.place() as turn:
            answer = await self.run(
                action, "stage", values, deadline=deadline, extra=extra, payload=chunks(archive, turn.moved)
            )
        if not answer.has("already"):
            require(self._host, action, answer, epoch=fence.epoch)
        self._verified.add((values["path"], release.id))
        return StageOutcome(release.id, answer.has("already"), time.monotonic() - started)

    async def switch(
        self,
        release: Release,
        secrets: SecretValues,
        fence: Fence,
        op_id: str,
        *,
        action: str = "restart",
        served: bool = False,  # noqa: ARG002 # with slots it is left alone anyway; without, it has left the router
        deadline: float = 120.0,
    ) -> SwitchOutcome:
        """One execution: gate, ``current`` renamed to the release, service restarted, link, manifest and service read back."""
        if action not in ("restart", "start", "stop", "none"):
            raise ValueError(f"no such action: {action}")
        words = f"{'stop the service of' if action == 'stop' else 'switch to'} {release.id}"
        check_names(self._host, words, release)
        values = {
            **self._gated(release.path, release.id, fence, op_id, deadline),
            "verb": action,
            "digest": release.digest,
            "secrets": secrets_file(secrets.values, self._host, words) if secrets.values else "",
        }
        if (values["path"], release.id) in self._verified:
            values["verified"] = "yes"
        # Asked in the very moment of the start, a service that dies of its first breath still seems to run: then health checks follow.
        if values["path"] in self._status_tells and release.health is not None:
            values["status_tells"] = "yes"
        return await self._switch("switch", words, values, fence, deadline, release)

    async def withdraw(
        self, release: Release, fence: Fence, op_id: str, *, surely: bool = False, deadline: float = 120.0
    ) -> SwitchOutcome:
        """One execution: stops the service of ``release`` and removes ``current``."""
        words = f"withdraw {release.id}"
        check_names(self._host, words, release)
        values = self._gated(release.path, release.id, fence, op_id, deadline)
        values |= {"surely": "yes" if surely else ""}
        return await self._switch("withdraw", words, values, fence, deadline, release)

    async def clear(self, path: str, fence: Fence, op_id: str, *, deadline: float = 120.0) -> None:
        """One execution: releases/, shared/ and slots/ go; .quarterdeck/ with the fence stays."""
        words = "remove what is there"
        check_path(self._host, words, path)
        answer = await self.run(words, "clear", self._gated(path, "-", fence, op_id, deadline), deadline=deadline)
        require(self._host, words, answer, epoch=fence.epoch)

    async def retire(self, release: Release, fence: Fence, op_id: str, *, deadline: float = 120.0) -> SwitchOutcome:
        """Of a service without slots two never run beside each other, so there is nothing to stop: the link as it is."""
        started = time.monotonic()
        if release.runner.slots is not None:
            words = f"retire what runs beside {release.id}"
            check_names(self._host, words, release)
            values = {
                **self._gated(release.path, release.id, fence, op_id, deadline),
                "digest": release.digest,
            }
            return await self._switch("retire", words, values, fence, deadline, release)
        facts = await self.facts(release.target, release.path, release, deadline=deadline)
        return SwitchOutcome(facts.current, facts.current, False, time.monotonic() - started)

    async def _switch(
        self, script: str, words: str, values: Mapping[str, str], fence: Fence, deadline: float, release: Release
    ) -> SwitchOutcome:
        started = time.monotonic()
        answer = await self.run(words, of_slots(script, release), values, deadline=deadline)
        if answer.has("slots"):  # what runs there has slots, and this release has none
            answer = await self.run(words, f"slot_{script}", values, deadline=deadline)
        self._slots.learn(release, None if answer.has("replayed") else answer.one("slot"))
        require(self._host, words, answer, epoch=fence.epoch)
        return SwitchOutcome(
            current=answer.one("current") or None,
            previous=answer.one("previous") or None,
            replayed=answer.has("replayed"),
            seconds=time.monotonic() - started,
            beside=answer.has("beside"),
        )

    async def hook(
        self,
        hook: Hook,
        command: str,
        release: Release,
        fence: Fence,
        op_id: str,
        *,
        extra_env: Mapping[str, str] | None = None,
    ) -> CommandOutcome:
        """Runs ``command`` in the release's directory under the gate and ``hook.timeout``. An exit status that is not 0 is an outcome."""
        action = f"run the hook {command!r}"
        check_names(self._host, action, release)
        started = time.monotonic()
        values = {
            **self._gated(release.path, release.id, fence, op_id, 2 * _LONGEST_WAIT),
            "seconds": str(max(1, round(hook.timeout))),
            "command": command,
            "extra_env": "".join(assign(name, value) for name, value in (extra_env or {}).items()),
        }
        answer = await self.run(action, of_slots("hook", release), values, deadline=hook.timeout + _LONGEST_WAIT + 15.0)
        require(self._host, action, answer, epoch=fence.epoch)
        status = number_in(answer.one("exit") or "1")
        if status is None:
            raise senseless(self._host, action, answer, f"exit {answer.one('exit')}")
        return CommandOutcome(status, answer.output, answer.has("replayed"), time.monotonic() - started)

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """One round of all checks, each under ``health.timeout``. Raises only ``Unreachable``, for a lost host."""
        return await check_once(self, health, release)

    async def address_of(self, release: Release, port: int | None) -> str:
        """host:port as seen from here; opens nothing. Where the service has slots, the host is asked in which one the release runs."""
        slots = release.runner.slots
        if slots is None or port is None or port not in slots.ports.values():
            return reached_at(self.address, port)
        slot, following = await self._ask_slot(release)
        return reached_at(self.address, port_in(slots, slot or following, port))

    async def slot_of(self, release: Release) -> str | None:
        """The slot that the release runs in, as the host has said it, or says it now. None: in none."""
        return self._slots.of(release) or (await self._ask_slot(release))[0]

    async def _ask_slot(self, release: Release) -> tuple[str | None, str]:
        """And the one that the next switch would start it in."""
        action = f"find where {release.id} runs"
        check_names(self._host, action, release)
        values = {"path": release.path.rstrip("/"), "release": release.id}
        answer = require(self._host, action, await self.run(action, "slot_of", values, deadline=_ASKING))
        slot = answer.one("slot")
        self._slots.learn(release, slot)
        return slot, answer.one("next") or "blue"

    def doubt_slot(self, release: Release) -> None:
        """The instance there did not answer as this release should."""
        self._slots.doubt(release)

    async def finish(
        self,
        release: Release,
        keep: Sequence[str],
        fence: Fence,
        op_id: str,
        *,
        good: bool = True,
        bad: Sequence[str] = (),
        prune_to: int = 5,
        warm: int = 1,  # noqa: ARG002 # of containers; here every kept release is ready to be started
        deadline: float = 120.0,
    ) -> tuple[str, ...]:
        """One execution: marks the release good, others bad, and removes old ones; gives the ids that were removed."""
        action = f"finish {release.id}"
        check_names(self._host, action, release)
        for name in (*keep, *bad):
            check_release_id(self._host, action, name)
        values = {
            **self._gated(release.path, release.id, fence, op_id, deadline),
            "good": "yes" if good else "no",
            "bad": "\n".join(bad),
            "prune": "yes",
            "prune_to": str(max(0, prune_to)),
            "keep": "\n".join(keep),
        }
        answer = require(
            self._host,
            action,
            await self.run(action, of_slots("finish", release), values, deadline=deadline),
            epoch=fence.epoch,
        )
        return tuple(answer.every("removed"))

    async def vitals(self, path: str, *, deadline: float = 10.0) -> Vitals:
        """Load, memory, disk of ``path`` and uptime. Raises ``CommandFailed`` where the host has no /proc."""
        check_path(self._host, "read vitals", path)
        return read_vitals(self._host, await self.run("read vitals", "vitals", {"path": path}, deadline=deadline))

    def logs(self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False) -> AsyncIterator[LogLine]:
        """The last ``lines`` and, with ``follow``, what comes. Closing the iterator ends the command on the host."""
        self._executions += 1
        return follow_logs(self._connection, self._host, logs, release, lines=lines, follow=follow)

    def log_batches(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[LogBatch, None]:
        """The same, for many lines a second."""
        self._executions += 1
        return follow_batches(self._connection, self._host, logs, release, lines=lines, follow=follow)

    async def new_lines(
        self, logs: Logs, release: Release, mark: str = "", *, lines: int = 10_000, deadline: float = 10.0
    ) -> NewLines:
        """Since ``mark``: of a journal its cursor, of files how far each was read."""
        action = f"read the logs {logs.journal or ' '.join(logs.files)}"
        values = {
            **log_values(logs, release),
            "scope": "user" if release.runner.user_unit else "system",
            "since": mark,
            "lines": str(lines),
        }
        answer = await self.run(action, of_slots("new_lines", release), values, deadline=deadline)
        return read_new_lines(self._host, action, logs, mark, answer, most=lines)

    async def service_figures(self, release: Release, *, deadline: float = 10.0) -> ServiceFigures:
        """Of its unit, as systemd accounts it."""
        action, unit = f"read the figures of {release.id}", release.runner.unit
        if unit is None:
            raise CommandFailed(self._host, action, "it is run by commands: only a unit has figures", exit_status=None)
        values = {"unit": unit, "scope": "user" if release.runner.user_unit else "system"}
        if release.runner.slots is not None:
            values |= {"path": release.path.rstrip("/"), "release": release.id}
        answer = await self.run(action, of_slots("figures", release), values, deadline=deadline)
        return read_figures(self._host, action, unit, answer)

    def exec_in(
        self,
        target: str,
        path: str,
        command: Sequence[str],
        *,
        deadline: float | None,
        input: Typed | None = None,
        terminal: Terminal | None = None,
        task: str = "",  # noqa: ARG002 # of the contract: only a swarm has tasks
    ) -> AsyncGenerator[Printed | Exited, None]:
        """Runs ``command`` in the directory of the current release, with its environment. One execution."""
        action = f"run a command in {target}"
        check_path(self._host, action, path)
        try:
            words = " ".join(quote(word) for word in command)
        except ValueError as error:
            raise BackendError(self._host, action, str(error), left="Nothing was begun") from None
        self._executions += 1
        mark = secrets.token_hex(8)
        values = {
            **self._limit_tool,
            "path": path.rstrip("/"),
            "seconds": str(math.ceil(deadline)) if deadline is not None else _NO_LIMIT,
            "command": f"exec {words}",
            "terminal": "yes" if terminal is not None else "",
            "extra_env": assign(MARK, mark),
        }
        script = build("exec", values)

        def judge(stdout: bytes, stderr: bytes, status: int | None) -> Answer:
            return require(self._host, action, parse(script.mark, stdout, stderr, status, self._way.by_hand))

        async def end() -> None:
            with contextlib.suppress(BackendError):
                await self.execute(ending(mark), deadline=_ENDING)

        return exec_over_ssh(
            self._connection,
            self._host,
            action,
            script,
            judge,
            deadline=deadline,
            input=input,
            terminal=terminal,
            end_it=end,
        )

    async def execute(self, command: str, *, deadline: float, input: bytes = b"") -> CommandOutcome:
        """A bare command, read by the host's ``sh``, without the gate. Its output is that of both streams, one after the other."""
        started = time.monotonic()
        self._executions += 1
        script = build("execute", {"command": command, "seconds": str(max(1, math.ceil(deadline)))})
        ended: Ended = await execute(
            self._connection,
            self._host,
            "run a command",
            script.command,
            script.text + input,
            deadline=deadline,
            kill=True,
        )
        if ended.exit_status is None:
            raise CommandFailed(
                self._host,
                "run a command",
                "it ended without an exit status",
                exit_status=None,
                advice=f"look what the host says to: {self._way.by_hand}",
            )
        output = (ended.stdout + ended.stderr)[-_OUTPUT_KEPT:].decode("utf-8", "replace")
        return CommandOutcome(ended.exit_status, clean(output), False, time.monotonic() - started)

    async def close(self) -> None:
        """Closes the connection at once: whatever runs on the host under the gate runs to its end."""
        self._connection.abort()
        await self._release()

    def _fenced(self, path: str, release: str, fence: Fence, op_id: str) -> dict[str, str]:
        return {
            "path": path.rstrip("/"),
            "release": release,
            "target": fence.target,
            "epoch": str(fence.epoch),
            "holder": _one_line(fence.holder),
            "anchor": _one_line(fence.anchor),
            "op": _file_name(op_id),
            "time": str(int(time.time())),
            "clock": self._host_s_time(),
        }

    def _host_s_time(self) -> str:
        """What the host's clock shows, as its log has it. Empty where it was not looked at."""
        if self._clock is None:
            return ""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock + time.monotonic()))

    def _gated(self, path: str, release: str, fence: Fence, op_id: str, deadline: float) -> dict[str, str]:
        wait = min(_LONGEST_WAIT, deadline / 2)
        return {
            **self._fenced(path, release, fence, op_id),
            "wait": str(max(1, int(wait))),
            # What is left for stopping and starting; a command that must be killed takes some seconds more.
            "seconds": str(max(1, int((deadline - wait) * 0.8))),
        }


def _look_at(archive: Path) -> tuple[int, str]:
    with archive.open("rb") as file:
        size = archive.stat().st_size
        return archive_needs(file, size), compression_flag(file)


def _one_line(text: str) -> str:
    return clean(text).replace("\n", " ")[:300]


def _file_name(op_id: str) -> str:
    """The name of an operation's record: itself where that is a plain name, else its hash."""
    plain = op_id.replace(".", "").replace("-", "").replace("_", "").replace(":", "")
    if plain.isascii() and plain.isalnum() and len(op_id) <= 120 and not op_id.startswith((".", "-")):
        return op_id
    return hashlib.sha256(op_id.encode("utf-8", "surrogateescape")).hexdigest()
