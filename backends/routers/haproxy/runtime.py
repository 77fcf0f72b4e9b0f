"""Talks to HAProxy's runtime socket, a command a connection, and reads what it answers. Decides nothing."""

import asyncio
import csv
import io
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

import msgspec

from quarterdeck.backends.errors import RouterRefused
from quarterdeck.backends.numbers import number_in
from quarterdeck.backends.routers.contract import Server
from quarterdeck.backends.routers.reach import Reach, look
from quarterdeck.backends.text_cleaning import clean

SETUP: Final = "put what docs/routers.md shows for this service into haproxy.cfg and reload it"

A = TypeVar("A")
B = TypeVar("B")

_REFUSALS: Final = (
    ("Permission denied", "give the socket `level admin` in haproxy.cfg"),
    ("Unknown map identifier", SETUP),
    ("No such server", SETUP),
    ("No such backend", SETUP),
    ("No such proxy", SETUP),
    ("No such", SETUP),
    ("Require 'backend/server'", SETUP),
    ("Unknown command", "HAProxy 2.6 or newer is needed"),
    ("Invalid addr", "give the servers as IP addresses: HAProxy takes no names at run time"),
    ("Version number in the future", "somebody else changes the same map: ask again"),
    ("unable to", SETUP),
    ("Can't", SETUP),
)


_FORCED_DRAIN: Final = 0x08  # in srv_admin_state: what `state drain` sets


class Row(msgspec.Struct, frozen=True):
    """A line of ``show stat``: of a server, or of its whole backend (``name`` BACKEND). ``admin``: what somebody told of the server, in
    bits; its status does not tell a server that is down from one that is being drained and down."""

    name: str
    status: str  # UP, UP 1/2, DOWN, DRAIN, MAINT, no check, …
    check: str  # L7OK, L4CON, …; empty: none was made
    said: str  # how the last check ended, in words
    address: str
    numbers: dict[str, int]
    admin: int = 0

    @property
    def server(self) -> Server:
        return Server.parse(self.address)

    @property
    def in_maintenance(self) -> bool:
        return self.status.startswith("MAINT")

    @property
    def up(self) -> bool:
        return self.status.startswith("UP")

    @property
    def draining(self) -> bool:
        return not self.in_maintenance and bool(self.admin & _FORCED_DRAIN)

    @property
    def passed(self) -> bool:
        """Whether a check has succeeded since it was last called down: ``check`` alone may be of an earlier life of this place."""
        return self.status.startswith("DRAIN") and self.check.lstrip("* ").endswith("OK")

    @property
    def unchecked(self) -> bool:
        """A place that is in use, and for which no check is configured: one that is has a first state before its first check."""
        return self.status.startswith("no check") or not (self.in_maintenance or self.check)

    @property
    def in_flight(self) -> int:
        return self.numbers["scur"]

    @property
    def detail(self) -> str:
        return " ".join(part for part in (self.status, self.check, self.said) if part)


_NUMBERS: Final = (
    "scur", "stot", "econ", "eresp", "wretr", "wredis", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other",
    "rtime",
)  # fmt: skip


def read_rows(answer: str) -> list[Row]:
    """Of ``show stat``. Raises ``ValueError`` where it is none."""
    reader = csv.DictReader(io.StringIO(answer.strip().removeprefix("# ")))
    try:
        rows = list(reader) if {"svname", "status"} <= set(reader.fieldnames or ()) else None
    except csv.Error:
        rows = None
    if rows is None:
        raise ValueError("not a table")
    return [
        Row(
            name=row["svname"] or "",
            status=row["status"] or "",
            check=row.get("check_status") or "",
            said=clean(" ".join(filter(None, (row.get("check_code"), row.get("last_chk") or row.get("check_desc"))))),
            address=row.get("addr") or "",
            numbers={name: number_in(row.get(name)) or 0 for name in _NUMBERS},
        )
        for row in rows
    ]


def read_admin_states(answer: str) -> dict[str, int]:
    """Of ``show servers state``, by the servers' names."""
    lines = [line.split() for line in answer.splitlines() if line[:1].isdigit()]
    states = {words[3]: number_in(words[6]) for words in lines if len(words) > 6}
    return {name: state for name, state in states.items() if state is not None}


def read_map(answer: str) -> dict[str, str]:
    """Of ``show map``: ``0x55… key value`` a line."""
    entries: dict[str, str] = {}
    for line in answer.splitlines():
        _, _, entry = line.strip().partition(" ")
        key, _, value = entry.partition(" ")
        if key:
            entries.setdefault(key, value.strip())  # the first one counts, as it does for HAProxy
    return entries


async def both_of(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """At the same time: over SSH each question costs a way there and back. What one raises is raised as it is, and ends the other."""
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return one.result(), other.result()


async def all_of(*calls: Coroutine[Any, Any, A]) -> list[A]:
    """Likewise, of any number that answer alike."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class Runtime:
    """``socket``: its path, or address:port."""

    def __init__(self, reach: Reach, socket: str) -> None:
        self.host = reach.host
        self._reach = reach
        self._socket = socket

    async def ask(self, command: str, action: str, *, deadline: float) -> str:
        """What it answers to ``command`` (several with ``;`` between). Raises ``RouterRefused`` for what it calls an error."""
        if command.startswith("show ") and ";" not in command:
            answer = await look(self._reach, self._socket, command.encode() + b"\n", action, deadline=deadline)
        else:
            answer = await self._reach.exchange(self._socket, command.encode() + b"\n", action, deadline=deadline)
        text = answer.decode("utf-8", "replace")
        self._judge(text, action)
        return text

    def _judge(self, answer: str, action: str) -> None:
        """HAProxy has no status: that something went wrong is told in words, at the beginning of a line."""
        for line in answer.splitlines():
            for begin, advice in _REFUSALS:
                if line.startswith(begin):
                    raise RouterRefused(self.host, action, f"HAProxy says: {clean(line.strip())}", advice=advice)

    async def rows(self, backend: str, action: str, *, deadline: float) -> list[Row]:
        """The backend's servers, and itself as the last one. Raises ``RouterRefused`` where it has no such backend."""
        answer, states = await both_of(
            self.ask(f"show stat {backend} -1 -1", action, deadline=deadline),
            self.ask(f"show servers state {backend}", action, deadline=deadline),
        )
        try:
            told = read_admin_states(states)
            rows = [msgspec.structs.replace(row, admin=told.get(row.name, 0)) for row in read_rows(answer)]
        except (ValueError, KeyError):
            raise RouterRefused(
                self.host,
                action,
                "what it answers to `show stat` is no table of HAProxy's",
                advice="is this HAProxy's socket?",
            ) from None
        if not rows:
            raise RouterRefused(self.host, action, f"HAProxy has no backend {backend}", advice=SETUP)
        if any(row.name != "BACKEND" and not row.address for row in rows):
            raise RouterRefused(
                self.host,
                action,
                "it does not tell where its servers are",
                advice="give the socket `level admin` in haproxy.cfg",
            )
        return rows

    async def map(self, path: str, action: str, *, deadline: float) -> dict[str, str]:
        return read_map(await self.ask(f"show map {path}", action, deadline=deadline))

    async def events(self, ring: str, action: str, *, deadline: float) -> str:
        """All lines of a ring. What stands in them is requests' own, and never taken for HAProxy's word on ours."""
        answer = await look(self._reach, self._socket, f"show events {ring}\n".encode(), action, deadline=deadline)
        text = answer.decode("utf-8", "replace")
        self._judge(text.partition("\n")[0], action)
        return text

    async def change(self, commands: Iterable[str], action: str, *, deadline: float) -> str:
        return await self.ask(";".join(commands), action, deadline=deadline)
