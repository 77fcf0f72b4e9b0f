"""What a router can be asked to do for one service. Every implementation passes the same contract tests (tests/backends/routers/).

A service has two slots, blue and green; a release lives in one of them. The router is told and answers: it knows no rollout.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from quarterdeck.config.routers import Routed

FULL: Final = 10_000
"""All requests: shares are ten-thousandths of them, so that 500 is 5 %."""

VALUE: Final = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}"
"""What a header or a cookie must be for a rule to be written for it: no router has a second meaning for any of it."""
RELEASE: Final = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}"


class Slot(StrEnum):
    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Slot":
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE


class Ability(StrEnum):
    """What not every kind of router can do. The rest of the contract, each can."""

    CHECKS = "checks"  # asks its servers itself, and sends nothing to one that does not answer well
    IN_FLIGHT = "in flight"  # tells how many requests a server has now
    CUTS = "cuts"  # ends requests that a leaving server still has when patience is over
    STATISTICS = "statistics"  # counts per slot
    TIMES = "times"  # tells how long each request took, and which slot answered it
    AFFINITY = "affinity"  # a client keeps to its slot by a cookie
    WITHOUT_RELOAD = "without reload"  # a change replaces no process and no configuration
    RUNNING_READ_BACK = "running read back"  # tells what it runs, not only what its files say
    RESCUE = "rescue"  # a slot without a live server gets nothing, whatever share and rules say
    PERSISTENT = "persistent"  # keeps what was set over a reload and a restart


class Server(msgspec.Struct, frozen=True, order=True):
    """Where an instance of a release listens, as the router sees it. ``address`` is an IP address, without brackets."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Server":
        """Of ``address:port``, an IPv6 address in brackets or not. Raises ``ValueError``."""
        address, _, port = text.rpartition(":")
        return cls(address.strip("[]"), int(port))


class MatchOn(StrEnum):
    HEADER = "header"
    COOKIE = "cookie"


class MatchRule(msgspec.Struct, frozen=True, order=True):
    """Requests whose header (or cookie, by the name that the service declares) is ``value`` go to ``slot``, whatever the share is.
    A header's rule comes before a cookie's."""

    on: MatchOn
    value: str
    slot: Slot


class Mode(StrEnum):
    READY = "ready"  # gets requests while it is healthy
    ENTERING = "entering"  # is checked, gets none
    LEAVING = "leaving"  # gets no new ones


class ServerState(msgspec.Struct, frozen=True):
    server: Server
    mode: Mode
    healthy: bool | None  # in the router's own eyes; None: it does not look
    in_flight: int | None = None  # requests that it has now; None: not told
    detail: str = ""  # how the last check ended, as the router says it


class SlotState(msgspec.Struct, frozen=True):
    release: str = ""  # that was last put in there; empty: none
    servers: tuple[ServerState, ...] = ()

    @property
    def ready(self) -> tuple[Server, ...]:
        return tuple(sorted(one.server for one in self.servers if one.mode is Mode.READY))

    @property
    def live(self) -> tuple[Server, ...]:
        """Those that get requests now, as far as the router knows."""
        return tuple(sorted(one.server for one in self.servers if one.mode is Mode.READY and one.healthy is not False))


class RouterState(msgspec.Struct, frozen=True):
    """Read from the router. ``share``: what green gets, of ``FULL``; the rest is blue's. ``problems``: what does not fit together
    there, in words, such as a file that was changed by hand."""

    share: int
    rules: tuple[MatchRule, ...]
    slots: Mapping[Slot, SlotState]
    problems: tuple[str, ...] = ()

    def share_of(self, slot: Slot) -> int:
        return self.share if slot is Slot.GREEN else FULL - self.share


class Changed(msgspec.Struct, frozen=True):
    """``state`` was read after the change. ``already``: there was nothing to do. ``unsaved``: why a restart of the router would forget
    it, as far as that is known; empty: it would not."""

    state: RouterState
    already: bool
    seconds: float
    unsaved: str = ""


class Left(msgspec.Struct, frozen=True):
    """``waiting``: requests that the servers still have (None: the router does not tell), 0 once they may be stopped.
    ``cut``: those that were ended when patience was over."""

    state: RouterState
    already: bool
    waiting: int | None
    cut: int
    seconds: float
    unsaved: str = ""


class SlotStatistics(msgspec.Struct, frozen=True):
    """Counted since ``RouterStatistics.since``: what happened in between is the difference of two looks with the same ``since``."""

    requests: int
    answers_2xx: int
    answers_3xx: int
    answers_4xx: int
    answers_5xx: int
    connection_errors: int
    response_errors: int
    retries: int
    redispatches: int
    in_flight: int
    mean_response: float  # seconds, of the last requests (HAProxy: 1024)


class RouterStatistics(msgspec.Struct, frozen=True):
    since: str  # names the process that counts: another one has begun at 0
    slots: Mapping[Slot, SlotStatistics]


class TimedRequests(msgspec.Struct, frozen=True):
    """Requests that were answered after a mark, in their order: seconds until the answer began, NaN where it was 5xx or none came.

    ``mark``: where the next look begins. ``complete``: False where some between the mark that was given and the first of these are not
    known any more.
    """

    mark: str
    slots: Mapping[Slot, tuple[float, ...]]
    complete: bool = True


class RouterVerdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class RouterFinding(msgspec.Struct, frozen=True):
    """What a look at a router found out, with the fields of the doctor's findings."""

    subject: str
    verdict: RouterVerdict
    sentence: str
    fix: str = ""
    unreachable: bool = False


class RouterConnection(Protocol):
    """One service on one router. Every call looks first whether the result holds already, reads back what it changed, and ends within
    its ``deadline`` (seconds). A call that is repeated after a failure goes on where that one ended.

    Raises ``Unreachable`` and its kinds, ``NotPermitted``, ``RouterRefused``, ``NotReadBack``, ``CommandFailed``; ``host`` of all of
    them names the router and its host.
    """

    @property
    def host(self) -> str: ...

    @property
    def abilities(self) -> frozenset[Ability]: ...

    @property
    def share_step(self) -> int:
        """Shares are multiples of it: 1 is a hundredth of a percent."""
        ...

    async def read(self, *, deadline: float = 10.0) -> RouterState:
        """Changes nothing."""
        ...

    async def set_share(self, share: int, *, deadline: float = 20.0) -> Changed:
        """Green gets ``share`` of ``FULL``. Refused where the slot that is to get more has no server in service."""
        ...

    async def set_rules(self, rules: Sequence[MatchRule], *, deadline: float = 20.0) -> Changed:
        """Puts these in the place of all rules, at once."""
        ...

    async def enter(self, slot: Slot, release: str, servers: Sequence[Server], *, deadline: float = 60.0) -> Changed:
        """Takes the servers into the slot, beside those that it has, once each has answered well. Where one does not within the
        deadline, those that were new are out again and ``RouterRefused`` says what it answered."""
        ...

    async def leave(
        self,
        slot: Slot,
        servers: Sequence[Server] | None = None,
        *,
        patience: float = 30.0,
        even_the_last: bool = False,
        deadline: float = 20.0,
    ) -> Left:
        """Takes the servers (None: all) out of the slot: no new requests, then waits up to ``patience`` seconds for those that they
        have, then cuts them where it can. ``deadline`` is for everything but waiting. Refused where no live server would be left."""
        ...

    async def statistics(self, *, deadline: float = 10.0) -> RouterStatistics:
        """Refused without ``Ability.STATISTICS``."""
        ...

    async def times(self, after: str, *, deadline: float = 10.0) -> TimedRequests:
        """Requests since the mark ``after``; empty: those that are still known. Refused without ``Ability.TIMES``."""
        ...

    async def examine(self, *, deadline: float = 20.0) -> list[RouterFinding]:
        """For the doctor: whether everything that is needed is there. Changes nothing, raises nothing."""
        ...

    async def close(self) -> None: ...


def unfit_share(share: int, step: int) -> str:
    """Why a share can't be set; empty: it can."""
    if not 0 <= share <= FULL:
        return f"a share lies between 0 and {FULL}, not {share}"
    return f"shares are multiples of {step / 100:g} % here, not {share / 100:g} %" if share % step else ""


def unfit_rules(rules: Sequence[MatchRule]) -> str:
    """Why rules can't be set; empty: they can."""
    keys = [(rule.on, rule.value) for rule in rules]
    for rule in rules:
        if not re.fullmatch(VALUE, rule.value):
            return f"the {rule.on} {rule.value!r} is not made of letters, digits and . _ ~ -"
        if keys.count((rule.on, rule.value)) > 1:
            return f"there are two rules for the {rule.on} {rule.value}"
    return ""


class SetupFile(msgspec.Struct, frozen=True):
    """A part of a router's configuration that a person puts in place once. ``path`` on the router's host; ``why``: a sentence."""

    path: str
    text: str
    why: str


class Fronted(msgspec.Struct, frozen=True):
    """A service for which a configuration is written. ``port``: where its clients come in; ``places``: for servers in each slot, where the
    router wants to know."""

    routed: Routed
    port: int = 80
    places: int = 6


class Setup(msgspec.Struct, frozen=True):
    """What a service needs of its router, as text: nothing of it is written by Quarterdeck. ``commands``: shell lines, run once there."""

    commands: tuple[str, ...]
    files: tuple[SetupFile, ...]
