"""One round of health checks of a release's container: what the engine knows of it, then what the service itself answers."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.checking import LOCALHOST, Streams, ask_over, place, reached_at
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.hosts.docker.executing import ENDING, limited, run_in, was_by_limit
from quarterdeck.backends.hosts.docker.looking import Body, inspect, look
from quarterdeck.backends.numbers import number_in
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import CommandCheck, Health, HttpCheck, TcpCheck
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_ACTION: Final = "check the service"
_ASKING: Final = 10.0  # seconds for the engine to say how a container is
_JUST_NOW: Final = 0.25  # seconds in which a container that was read back after its start is not asked for again
RUNS_FOR: Final = 3.0  # seconds that a container without any check must have run


@dataclass(slots=True)
class Watched:
    """The container of a release, as it was seen first: ``started`` in the engine's words, ``since`` on our clock."""

    id: str
    started: str
    since: float
    asked: bool = False  # whether the engine was asked how long it had run by then


class HealthChecks:
    """Checks of one connection. It remembers which container is a release's, and since when it has been seen to run."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._watched: dict[str, Watched] = {}
        self._read_back: dict[str, tuple[float, Body]] = {}

    def forget(self, release: Release) -> None:
        """It is looked for anew: another container may be its own by now."""
        self._watched.pop(release.id, None)
        self._read_back.pop(release.id, None)

    def expect(self, release: Release, body: Body) -> None:
        """``body``: its own container, which was started and read back just now. The next check asks the service at once."""
        self._see(release, body)
        self._read_back[release.id] = time.monotonic(), body

    async def check(self, health: Health, release: Release, known: Body | None = None) -> HealthOutcome:
        """``known``: the container, where it was inspected just now. Raises ``Unreachable``; whatever else goes wrong is a service that is
        not well."""
        started = time.monotonic()
        try:
            healthy, details, checks = await self._check(health, release, known)
        except Unreachable:
            raise
        except CommandTimedOut as error:
            # Not the service: the engine itself does not answer.
            raise Unreachable(error.host, error.action, error.problem, left=error.left, advice=error.advice) from None
        except BackendError as error:
            healthy, details, checks = False, error.problem, 1
        return HealthOutcome(healthy, details, time.monotonic() - started, checks)

    async def address_of(self, release: Release, port: int | None) -> str:
        """Where ``port`` of the release's container is reached from here. Raises ``Unreachable`` when the engine is lost."""
        body = await self._container(release, None) if port is not None else None
        published = _published(body, port) if body is not None and port is not None else None
        return reached_at(self._engine.address, published or port)

    async def _check(self, health: Health, release: Release, known: Body | None) -> tuple[bool, str, int]:
        body = await self._container(release, known)
        if body is None:
            return False, f"there is no container of {release.id}", 1
        state = body["State"]
        if not state.get("Running") or state.get("Restarting"):
            why = " and is restarted again and again" if state.get("Restarting") else ""
            return False, f"its container ended with status {state.get('ExitCode')}{why}", 1
        if state.get("Paused"):
            return False, "its container is paused", 1
        details: list[str] = []
        told = state.get("Health")
        if told and told.get("Status") not in (None, "none"):
            healthy, detail = _by_engine(told)
            details.append(detail)
            if not healthy:
                return False, detail, 1
        for check in (health.http, health.tcp, health.command):
            if check is None:
                continue
            healthy, detail = await self._one(health, check, release, body)
            details.append(detail)
            if not healthy:
                return False, detail, len(details)
        if details:
            return True, ", ".join(details), len(details)
        watched = self._watched[release.id]
        ran = time.monotonic() - watched.since
        if ran < RUNS_FOR and not watched.asked:
            watched.asked = True
            ran = max(ran, await self._ran(body))
            watched.since = time.monotonic() - ran
        if ran < RUNS_FOR:
            return False, f"its container has run for {ran:.1f} s: without a check it must for {RUNS_FOR:g} s", 1
        return True, f"its container has run for {RUNS_FOR:g} s", 1

    async def _container(self, release: Release, body: Body | None) -> Body | None:
        known = self._watched.get(release.id)
        at, read_back = self._read_back.pop(release.id, (0.0, None))
        if body is None and time.monotonic() - at < _JUST_NOW:
            body = read_back
        if body is None and known is not None:
            body = await inspect(self._engine, _ACTION, known.id, deadline=_ASKING)
        if body is None or not body["State"].get("Running"):
            found = (await look(self._engine, release.target, _ACTION, deadline=_ASKING)).of(release)
            if found is None:
                return body
            body = await inspect(self._engine, _ACTION, found.id, deadline=_ASKING)
        if body is not None:
            self._see(release, body)
        return body

    def _see(self, release: Release, body: Body) -> None:
        started = f"{body['State'].get('StartedAt')} {body.get('RestartCount')}"
        known = self._watched.get(release.id)
        if known is None or (known.id, known.started) != (body["Id"], started):
            self._watched[release.id] = Watched(body["Id"], started, time.monotonic())

    async def _ran(self, body: Body) -> float:
        """Seconds that a container has run before it was seen here, by the engine's own clock: ours may be another."""
        info = await self._engine.call(_ACTION, lambda client: client.info(), deadline=_ASKING)
        try:
            started, now = (datetime.fromisoformat(text) for text in (body["State"]["StartedAt"], info["SystemTime"]))
            return max(0.0, (now - started).total_seconds())
        except (KeyError, ValueError, TypeError):
            return 0.0  # then it is watched from now on

    async def _one(
        self, health: Health, check: HttpCheck | TcpCheck | CommandCheck, release: Release, body: Body
    ) -> tuple[bool, str]:
        if isinstance(check, CommandCheck):
            return await check_command(self._engine, check, health.timeout, body["Id"])
        from_here = health.made_from == "bastion"
        address, port, fault = self._where(check, body, from_here=from_here)
        if fault:
            return False, fault
        where = place(address if from_here or check.host != LOCALHOST else "", check, None if not from_here else port)

        async def opening() -> Streams:
            if from_here:
                return await asyncio.open_connection(address, port)
            return await self._engine.open_tcp(address, port, deadline=health.timeout)

        try:
            async with asyncio.timeout(health.timeout):
                return await ask_over(opening, check, release, address, where)
        except TimeoutError:
            return False, f"no answer from {where} within {health.timeout:g} s"

    def _where(self, check: HttpCheck | TcpCheck, body: Body, *, from_here: bool) -> tuple[str, int, str]:
        """Address and port that are asked; the third: why nothing can be."""
        if check.host != LOCALHOST:
            return check.host, check.port, ""
        published = _published(body, check.port)
        mode = body["HostConfig"].get("NetworkMode", "")
        if from_here:
            return self._engine.address, published or check.port, ""
        if mode == "host":
            return LOCALHOST, check.port, ""
        own = _address(body)
        if own and self._engine.is_there:
            return own, check.port, ""
        if published:
            return LOCALHOST, published, ""
        if own:
            over = "over tcp:// a container is reached by its published ports alone"
            return (
                "",
                0,
                f"{over}, and it does not publish port {check.port}: publish it, let a command check it, or reach the engine over ssh://",
            )
        return "", 0, f"the container has no address, and does not publish port {check.port} (its network is {mode})"


async def check_command(engine: "Engine", check: CommandCheck, timeout: float, container: str) -> tuple[bool, str]:
    """Runs it in the container. Raises ``BackendError`` where that can't be done, ``CommandTimedOut`` where it is the engine that tells
    nothing: the command itself is ended before."""
    words = f"the command {check.run!r}"
    began = time.monotonic()
    status, output = await run_in(
        engine, f"check {words}", container, limited(check.run, timeout), {}, deadline=timeout + ENDING
    )
    if status == 0:
        return True, f"{words} ended with 0"
    if was_by_limit(status, timeout, time.monotonic() - began):
        return False, f"{words} did not end within {timeout:g} s"
    said = output.strip().splitlines()[-1:]
    return False, f"{words} ended with {status}" + (f": {said[0]}" if said else "")


def _by_engine(told: Body) -> tuple[bool, str]:
    status = told.get("Status")
    if status == "healthy":
        return True, "the engine's own check passes"
    log = told.get("Log") or []
    said = clean(str(log[-1].get("Output", ""))).strip().splitlines()[-1:] if log else []
    last = f": {said[0]}" if said else ""
    if status == "starting":
        return False, f"the engine's own check has not passed yet{last}"
    return False, f"the engine's own check fails ({told.get('FailingStreak', 0)} times in a row){last}"


def _address(body: Body) -> str:
    settings = body.get("NetworkSettings") or {}
    networks: dict[str, Any] = settings.get("Networks") or {}
    first = networks.get(body["HostConfig"].get("NetworkMode", ""))
    for one in [*([first] if first else []), *networks.values()]:
        if one.get("IPAddress"):
            return str(one["IPAddress"])
    for one in networks.values():
        if one.get("GlobalIPv6Address"):
            return str(one["GlobalIPv6Address"])
    return ""


def _published(body: Body, port: int) -> int:
    ports = (body.get("NetworkSettings") or {}).get("Ports") or {}
    for one in ports.get(f"{port}/tcp") or ():
        if (found := number_in(str(one.get("HostPort", "")))) is not None:
            return found
    return 0
