"""A fleet in the middle of a bad afternoon, with a journal whose times never change: what pictures of the screen are taken of.

Ten services in four environments; a rollout that failed, one under way, one orphaned, drift, hosts that do not answer, a way
back that is gone, a service that was never released to production. Everything is written through the Journal's own interface.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from quarterdeck.history import clock
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Observation, Operator, RolloutKind, RolloutState, StepState
from tests.cli.qd_command import release

NOW: Final = datetime(2026, 11, 24, 14, 32, 7, tzinfo=UTC)
LENA: Final = Operator("lena", 1000, None, "bastion-2")
ENVIRONMENTS: Final = {
    "dev": ("dev-1",),
    "staging": ("st-1", "st-2"),
    "preprod": ("pre-1",),
    "production": ("web-1", "web-2", "web-3", "web-4"),
}
VERSIONS: Final = {
    "api": 143,
    "web": 88,
    "worker": 52,
    "billing": 31,
    "search": 17,
    "auth": 64,
    "mailer": 9,
    "gateway": 73,
    "cron": 12,
    "orders": 40,
}
DAYS: Final = dict(zip(VERSIONS, (6, 3, 1, 9, 6, 12, 30, 4, 8, 5), strict=True))  # since the last release


@dataclass
class FrozenClock:
    """The wall clock of the journal while it is filled."""

    moment: datetime = NOW

    def time_ns(self) -> int:
        return int(self.moment.timestamp() * 1_000_000_000)

    def ago(self, **amount: float) -> None:
        self.moment = NOW - timedelta(**amount)


@contextmanager
def frozen_clock() -> Iterator[FrozenClock]:
    """Within it, whatever is journalled has the time that the clock was set to. Boot time goes on: order is not made up."""
    frozen = FrozenClock()
    shim = SimpleNamespace(
        time_ns=frozen.time_ns,
        strftime=time.strftime,
        gmtime=time.gmtime,
        clock_gettime_ns=time.clock_gettime_ns,
        CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", shim)  # that module's own name for it
        yield frozen


def fleet_text(state: Path) -> str:
    hosts = "".join(
        f'  {host}: {{ssh: "deploy@127.0.0.1:{number}"}}\n'
        for number, host in enumerate((host for hosts in ENVIRONMENTS.values() for host in hosts), 1)
    )
    names = list(ENVIRONMENTS)
    environments = "".join(
        f"  {name}: {{hosts: [{', '.join(hosts)}]{f', after: {names[at - 1]}' if at else ''}}}\n"
        for at, (name, hosts) in enumerate(ENVIRONMENTS.items())
    )
    services = "".join(
        f'  {name}:\n    artifact: {{tarball: "/artifacts/{name}-{{version}}.tar.gz"}}\n    path: /srv/{name}\n'
        "    commands: {start: bin/start, stop: bin/stop}\n"
        for name in VERSIONS
    )
    return f"fleet: acme\nstate: {state}\nhosts:\n{hosts}environments:\n{environments}services:\n{services}"


def fill_acme(state: Path) -> None:
    """Makes the journal in ``state``."""
    with frozen_clock() as frozen, Journal.open(state, operator=LENA) as journal:
        filling = _Filling(journal, frozen)
        for service, newest in VERSIONS.items():
            for environment in ENVIRONMENTS:
                if (service, environment) != ("orders", "production"):
                    filling.released(f"{environment}/{service}", newest, DAYS[service])
        filling.worse()


def roll_back_cron(state: Path) -> None:
    """A rollback in the journal of ``state``: two hosts of four are done, the third is being moved."""
    with frozen_clock() as frozen, Journal.open(state, operator=LENA) as journal:
        filling = _Filling(journal, frozen, pid=4200)
        frozen.ago(seconds=38)
        before = release("v12", target="production/cron").id
        filling.rollout("production/cron", before, 11, None, done=2, kind=RolloutKind.ROLLBACK)


class _Filling:
    def __init__(self, journal: Journal, frozen: FrozenClock, pid: int = 4000) -> None:
        self.journal = journal
        self.frozen = frozen
        self.pid = pid

    def released(self, target: str, newest: int, days: float) -> None:
        """Two releases that worked, and healthy hosts that keep both."""
        before = None
        for number, ago in ((newest - 1, days + 6), (newest, days)):
            self.frozen.ago(days=ago)
            before = self.rollout(target, before, number, RolloutState.SUCCEEDED)
        self.seen(target, newest, kept=(newest - 1, newest))

    def rollout(
        self,
        target: str,
        before: str | None,
        number: int,
        ends: RolloutState | None,
        *,
        done: int = 99,
        outcome: str = "",
        kind: RolloutKind = RolloutKind.DEPLOY,
    ) -> str:
        """One from its request to ``ends`` (None: it is under way), ``done`` hosts moved. Gives the release's id."""
        journal = self.journal
        made = release(f"v{number}", target=target)
        journal.put_release(made)
        armed = journal.arm(target, kind, from_release=before, to_release=made.id, reason=f"CHG-{number}")
        self.pid += 1
        journal.set_worker(armed.id, self.pid, 1, "boot")
        hosts = ENVIRONMENTS[target.partition("/")[0]]
        plan: dict[str, Any] = {
            "summary": f"{len(hosts)} of {len(hosts)} hosts change",
            "from": before,
            "to": made.id,
            "warnings": [],
            "hosts": [{"host": host, "current": before, "error": None} for host in hosts],
        }
        journal.set_plan(armed.id, plan, "0" * 64, to_release=made.id, from_release=before)
        epoch = journal.begin(armed.id, preempt="nothing")
        steps = [NewStep(n, host, "switch", n, {"release": made.id}) for n, host in enumerate(hosts, 1)]
        journal.add_steps(armed.id, epoch, steps)
        for step in steps[:done]:
            journal.start_steps(armed.id, epoch, [step.seq])
            journal.end_step(armed.id, epoch, step.seq, StepState.DONE, {"health": "http 200", "seconds": 4.2})
        if done < len(steps):
            journal.start_steps(armed.id, epoch, [steps[done].seq])
        if ends is not None and ends is not RolloutState.RUNNING:
            journal.set_state(armed.id, epoch, ends, outcome=outcome)
        return made.id

    def seen(
        self,
        target: str,
        number: int,
        *,
        kept: tuple[int, ...],
        hosts: tuple[str, ...] | None = None,
        health: str = "healthy",
        error: str | None = None,
        ago: float = 1,
    ) -> None:
        ids = {n: release(f"v{n}", target=target).id for n in (number, *kept)}
        self.frozen.ago(seconds=ago)
        self.journal.observe(
            [
                Observation(
                    target,
                    host,
                    clock.now(),
                    ids[number],
                    f"v{number}",
                    health,
                    error,
                    {"kept": [ids[n] for n in kept]},
                )
                for host in hosts or ENVIRONMENTS[target.partition("/")[0]]
            ]
        )

    def worse(self) -> None:
        """What went wrong this afternoon."""
        journal, frozen = self.journal, self.frozen
        # api: v144 on its way to production, two hosts of four done, one of them ill
        frozen.ago(minutes=2, seconds=16)
        self.rollout("production/api", release("v143", target="production/api").id, 144, None, done=2)
        self.seen("production/api", 144, kept=(142, 143, 144), hosts=("web-1",))
        self.seen("production/api", 144, kept=(142, 143, 144), hosts=("web-2",), health="unhealthy")
        # search: v18 failed in staging
        frozen.ago(minutes=11, seconds=40)
        before = release("v17", target="staging/search").id
        outcome = "st-2: http 500 on /healthz 12 times; st-1 was not taken back"
        self.rollout("staging/search", before, 18, RolloutState.FAILED, done=1, outcome=outcome)
        self.seen("staging/search", 18, kept=(17, 18), hosts=("st-1",))
        # billing: somebody put v30 back by hand
        self.seen("preprod/billing", 30, kept=(30, 31))
        # auth: the worker of v65 died in preprod
        frozen.ago(minutes=48)
        before = release("v64", target="preprod/auth").id
        self.rollout(
            "preprod/auth", before, 65, RolloutState.ORPHANED, done=0, outcome="its worker (process 4083) died"
        )
        # mailer: a host that does not answer, and no copy of v8 anywhere
        self.seen("production/mailer", 9, kept=(9,))
        self.seen("production/mailer", 9, kept=(9,), hosts=("web-4",), health="unknown", error="no answer", ago=420)
        # web: paused on the way to preprod
        frozen.ago(minutes=4)
        before = release("v88", target="preprod/web").id
        self.rollout("preprod/web", before, 89, RolloutState.PAUSED, done=0, outcome="dana wants to look first")
        # gateway: taken back an hour ago
        frozen.ago(hours=1)
        before = release("v73", target="production/gateway").id
        self.rollout("production/gateway", before, 74, RolloutState.ROLLED_BACK, outcome="web-1: http 503, taken back")
        # orders: only dev to preprod; cron is fine
        frozen.moment = NOW
        journal.note("watching api", target="production/api")
