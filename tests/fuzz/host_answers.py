"""What hosts answer to scripts: any bytes are a value or one of this program's errors; a whole answer that is cut short is never taken for
success."""

import asyncio
import math
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Fence, SecretValues, Vitals
from quarterdeck.backends.hosts.ssh.answer import Answer, parse
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.backends.hosts.ssh.script import Script, build
from quarterdeck.backends.pacing import Pace
from quarterdeck.config.model import Health, Hook, HttpCheck, Logs, Runner, Slots
from quarterdeck.config.release import Release, ResolvedArtifact
from tests.backends.ssh.releases import IN_SLOTS, QUICK, quick_release
from tests.fuzz.target import Choices, Target, scratch

MARK: Final = "qdm"
FENCE: Final = Fence("test/web", 3, "rollout 1, me", "1:abc")
NO_SECRETS: Final = SecretValues()
HEALTH: Final = Health(http=HttpCheck(80, "/", host="10.0.0.1"), timeout=1)
FILES: Final = Logs(files=("/var/log/x.log",))
JOURNAL: Final = Logs(journal="x.service")


class _Way:
    by_hand = "ssh host"
    address = "host"


class Told(SshConnection):
    """A connection whose host answers to every script with the same bytes."""

    def __init__(self, stdout: bytes, stderr: bytes = b"", exit_status: int | None = 0) -> None:
        nothing: Any = None
        way: Any = _Way()
        super().__init__("host", nothing, way, nothing, Pace(1, patience=1.0))
        self.told = stdout, stderr, exit_status
        self.forwarding = False

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
        return parse(MARK, *self.told, "ssh host")


class _Here(Told):
    """Runs each script in a shell of this machine, and remembers what came."""

    def __init__(self) -> None:
        super().__init__(b"")

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
        made = build(script, {**self._limit_tool, **values}, extra=extra)
        sent = [part async for part in payload] if payload is not None else None
        stdout, err, status = _run_here(made, sent)
        self.told = stdout.replace(made.mark.encode(), MARK.encode()), err, status
        return parse(MARK, *self.told, "ssh host")


def _run_here(script: Script, payload: list[bytes] | None) -> tuple[bytes, bytes, int]:
    """By a shell of this machine; the payload when it asks for it."""
    shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(script.ahead + script.text)
    shell.stdin.flush()
    said = b""
    if payload is not None:
        while (line := shell.stdout.readline()) and line != f"{script.mark} send\n".encode():
            said += line
        for part in payload:
            shell.stdin.write(part)
    out, err = shell.communicate(timeout=60)
    return said + out, err, shell.returncode


Ask = Callable[[SshConnection, Release], Awaitable[Any]]

QUESTIONS: Final[Mapping[str, Ask]] = {
    "facts": lambda c, r: c.facts("test/web", r.path, r),
    "facts of nothing known": lambda c, r: c.facts("test/web", r.path),
    "switch": lambda c, r: c.switch(r, NO_SECRETS, FENCE, "op-1"),
    "hook": lambda c, r: c.hook(Hook("true"), "echo a; exit 3", r, FENCE, "op-2"),
    "finish": lambda c, r: c.finish(r, (), FENCE, "op-3"),
    "vitals": lambda c, r: c.vitals(r.path),
    "new lines": lambda c, r: c.new_lines(FILES, r, "files 1:2"),
    "new lines of a journal": lambda c, r: c.new_lines(JOURNAL, r, "s=1"),
    "figures": lambda c, r: c.service_figures(msgspec.structs.replace(r, runner=Runner(unit="x.service"))),
    "health": lambda c, r: c.check_health(HEALTH, r),
    "slot": lambda c, r: c._ask_slot(r),
    "retire": lambda c, r: c.retire(r, FENCE, "op-5"),
    "withdraw": lambda c, r: c.withdraw(r, FENCE, "op-4"),
}
RELEASE: Final = Release("test/web", "v1", ResolvedArtifact("x", "0" * 64), "/srv/x", Runner(commands=QUICK))
SLOTTED: Final = msgspec.structs.replace(RELEASE, runner=Runner(commands=IN_SLOTS, slots=Slots(8001, 8002)))


def _staging(archive: Path) -> Ask:
    return lambda connection, release: connection.stage(release, archive, NO_SECRETS, FENCE)


@cache
def runner() -> asyncio.Runner:
    return asyncio.Runner()


def any_answer(data: bytes) -> None:
    """The first bytes choose the question and the exit status; a NUL divides standard output and standard error."""
    choices = Choices(data[:3])
    question = list(QUESTIONS)[choices.below(len(QUESTIONS))]
    status = (0, 1, 124, 255, None)[choices.below(5)]
    release = (RELEASE, SLOTTED)[choices.below(2)]
    stdout, _, stderr = data[3:].partition(b"\0")
    try:
        outcome = runner().run(_asked(QUESTIONS[question], Told(stdout, stderr, status), release))
        if isinstance(outcome, Vitals):
            assert math.isfinite(outcome.load_1m + outcome.uptime)
    except BackendError as error:
        _names_the_host(error)


def _names_the_host(error: BackendError) -> None:
    assert error.host == "host"
    assert str(error).startswith("host: ")


async def _asked(ask: Ask, connection: SshConnection, release: Release) -> Any:
    return await ask(connection, release)


class _Recorded(msgspec.Struct, frozen=True):
    question: str
    release: Release
    stdout: bytes
    stderr: bytes
    outcome: str


@cache
def recorded() -> tuple[_Recorded, ...]:
    """A release's life in a directory of this machine, by the scripts as they are sent to hosts."""
    place = Path(tempfile.mkdtemp(dir=scratch()))
    slotted = Runner(commands=IN_SLOTS, slots=Slots(8001, 8002))
    found: list[_Recorded] = []
    for name, run_by in (("plain", Runner(commands=QUICK)), ("slotted", slotted)):
        release, archive = quick_release(place, f"v-{name}", place / name, runner=run_by)
        connection = _Here()
        staging = _staging(archive)
        asked = {"stage": staging, **QUESTIONS}
        for question, ask in asked.items():
            if question.startswith(("new lines", "figures", "health")):
                continue
            outcome = runner().run(_asked(ask, connection, release))
            found.append(_Recorded(question, release, *connection.told[:2], _timeless(outcome)))
    return tuple(found)


def _timeless(outcome: Any) -> str:
    return repr(msgspec.structs.replace(outcome, seconds=0.0) if hasattr(outcome, "seconds") else outcome)


def cut_answer(data: bytes) -> None:
    """The bytes choose the answer, where it is cut, and the status that came."""
    choices = Choices(data)
    told = recorded()[choices.below(len(recorded()))]
    at = choices.below(min(len(told.stdout) + 1, 65536))
    status = (0, None, 255)[choices.below(3)]
    _look_at_a_cut(told, at, status)


def _look_at_a_cut(told: _Recorded, at: int, status: int | None) -> None:
    connection = Told(told.stdout[:at], told.stderr, status)
    staging = _staging(Path("/dev/null"))
    try:
        outcome = runner().run(_asked(QUESTIONS.get(told.question, staging), connection, told.release))
    except BackendError as error:
        _names_the_host(error)
    else:
        assert _timeless(outcome) == told.outcome, (
            f"{told.question}, cut at {at} of {len(told.stdout)}, was taken for whole"
        )


def every_cut() -> int:
    """Each answer cut at each byte; gives how many that were."""
    count = 0
    for told in recorded():
        for at in range(len(told.stdout)):
            _look_at_a_cut(told, at, 0)
            count += 1
    return count


def _seeds() -> list[bytes]:
    words = [
        b"qdm output\nx\nqdm end-output\nqdm current v1-0\nqdm previous v0-0\nqdm done\n",
        b"qdm fenced 7 rollout 2, bob\nqdm half-way\nqdm current v1\n",
        b"qdm busy op-1\n", b"qdm error timeout 124 30 start\n", b"qdm error command 1 start\nqdm replayed\n",
        b"qdm error space 10 200\n", b"qdm error nothing x\nqdm untouched\nqdm done\n", b"\0No space left on device\n",
        b"qdm clock 1764000000\nqdm limit flock timeout -k 5\nqdm epoch 3\nqdm holder me\nqdm disk 1000\nqdm service running x\n"
        b'qdm kept v1-0 intact {"id": "v1-0", "format": 1}\nqdm current v1-0\nqdm good v1-0\nqdm done\n',
        b"qdm slots\nqdm slot blue running v1-0\nqdm slot green no \nqdm current v1-0\nqdm done\n",
        b"qdm slot blue\nqdm next green\nqdm done\n",
        b"qdm memory MemTotal: 100 kB\nqdm disk 100 50\nqdm cpu 1 2 3 4 5 6 7 8\nqdm load 0.1 0 0\nqdm cores 2\nqdm uptime 5.0\nqdm done\n",
        b"qdm left 3\nqdm file 12 100\nqdm lines 2\nqdm output\na\nb\nqdm end-output\nqdm done\n",
        b"qdm cursor s=1;i=2\nqdm lines 1\nqdm done\n",
        b"qdm unit LoadState=loaded\nqdm unit NRestarts=1\nqdm unit MemoryCurrent=5\nqdm memory MemTotal: 100 kB\nqdm oom 0\nqdm done\n",
        b"qdm http 200\nqdm connected\nqdm done\n", b"qdm exit 3\nqdm done\n", b"qdm removed v0-0\nqdm already\nqdm done\n",
    ]  # fmt: skip
    return [
        bytes([number, 0, slotted]) + told for number in range(len(QUESTIONS)) for slotted in (0, 1) for told in words
    ]


TARGETS: Final = (
    Target(
        "host-answers",
        "whatever a host's script prints is a value, or an error of ours that names the host",
        any_answer,
        _seeds,
        longest=2048,
        examples=400,
    ),
    Target(
        "host-answers-cut",
        "an answer that is cut short at any byte is an error, or says what the whole one says",
        cut_answer,
        lambda: [bytes([number, 0, number, 0]) for number in range(24)],
        longest=5,
        examples=60,
    ),
)
