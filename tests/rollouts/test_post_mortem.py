"""The post-mortem of a rollout: what is gathered from a journal, what it links, and what it says of hosts and measurements."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.config.analyses import Analysis, CommandMetric, Metric
from quarterdeck.history.errors import UnknownRollout
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, StepState
from quarterdeck.rollouts.analysis.samples import Sample, to_stored
from quarterdeck.rollouts.measured import BEGUN, MEASURED
from quarterdeck.rollouts.post_mortem.gathering import gather
from tests.cli.qd_command import OPERATOR, release
from tests.room.acme import FrozenClock, frozen_clock

TARGET = "production/api"


class Told:
    """A journal that is filled minute by minute."""

    def __init__(self, journal: Journal, wall: FrozenClock) -> None:
        self.journal = journal
        self.wall = wall
        self.before: str | None = None

    def later(self, **amount: float) -> None:
        self.wall.moment += timedelta(**amount)

    def rollout(
        self,
        version: str,
        ends: RolloutState,
        *,
        kind: RolloutKind = RolloutKind.DEPLOY,
        target: str = TARGET,
        failing: bool = False,
        reason: str = "",
    ) -> int:
        """Two hosts, ten seconds each; ``failing``: the second one, which is then put back as the first one is."""
        journal = self.journal
        to = journal.put_release(release(version, target=target))
        armed = journal.arm(target, kind, from_release=self.before, to_release=to, reason=reason)
        hosts = [{"host": host, "current": self.before, "error": None} for host in ("web-1", "web-2")]
        journal.set_plan(armed.id, {"hosts": hosts}, "0" * 64, to_release=to, from_release=self.before)
        epoch = journal.begin(armed.id, preempt="nothing")
        steps = [NewStep(n, host, "switch", n, {"release": to}) for n, host in enumerate(("web-1", "web-2"), 1)]
        if failing:
            steps.append(NewStep(3, "web-1", "switch", 3, {"release": self.before}))
        journal.add_steps(armed.id, epoch, steps)
        for step in steps:
            journal.start_steps(armed.id, epoch, [step.seq])
            self.later(seconds=10)
            bad = failing and step.seq == 2
            outcome = {"error": "http 500 on /healthz"} if bad else {"health": "http 200"}
            journal.end_step(armed.id, epoch, step.seq, StepState.FAILED if bad else StepState.DONE, outcome)
        journal.set_state(armed.id, epoch, ends, outcome="web-2: http 500" if failing else "")
        if ends is RolloutState.SUCCEEDED:
            self.before = to
        return armed.id


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with frozen_clock() as wall, Journal.open(tmp_path / "state", operator=OPERATOR) as journal:
        yield Told(journal, wall)


def test_a_deploy_that_came_back_by_itself_says_what_showed_first_and_how_long_it_took(told: Told) -> None:
    told.rollout("v1", RolloutState.SUCCEEDED)
    told.later(hours=2)
    found = gather(told.journal, told.rollout("v2", RolloutState.ROLLED_BACK, failing=True))
    assert found.exit_status == 3
    assert found.detected is not None
    assert (found.detected.seconds, found.restored_seconds) == (20.0, 30.0)
    assert "switch failed on web-2: http 500 on /healthz" in found.detected.what
    assert [(one.host, one.state) for one in found.hosts] == [("web-1", "taken_back"), ("web-2", "failed")]
    assert found.hosts[0].release == told.before
    assert found.restored_by is None
    assert {e.rollout for e in found.events if e.kind != "release"} == {found.rollout.id}, (
        "two hours before it nothing is told"
    )


def test_a_later_rollback_and_what_it_made_well_name_each_other(told: Told) -> None:
    first = told.rollout("v1", RolloutState.SUCCEEDED)
    told.later(hours=1)
    bad = told.rollout("v2", RolloutState.SUCCEEDED)
    told.later(minutes=6)
    back = told.rollout("v1", RolloutState.SUCCEEDED, kind=RolloutKind.ROLLBACK, reason="500s")
    found = gather(told.journal, bad)
    assert found.restored_by is not None
    assert (found.restored_by.rollout, found.restored_by.reason) == (back, "500s")
    assert found.restored_seconds == 6 * 60 + 20
    assert found.detected is not None
    assert found.detected.seconds == 360.0, "from when it had succeeded until somebody asked"
    other = gather(told.journal, back)
    assert [(one.rollout, one.seconds) for one in other.restores] == [(bad, 380.0)]
    assert gather(told.journal, first).restored_by is None


def test_what_happened_around_it_is_told_and_what_happened_elsewhere_is_not(told: Told) -> None:
    journal = told.journal
    journal.note("long before", TARGET)
    told.later(minutes=20)
    journal.note("just before", TARGET)
    journal.note("of the whole fleet")
    journal.note("of another target", "staging/web")
    journal.freeze("production", None, "black friday")
    journal.freeze("staging", None, "not here")
    told.later(minutes=5)
    id = told.rollout("v1", RolloutState.SUCCEEDED)
    told.later(minutes=14)
    journal.note("just after", TARGET)
    told.later(minutes=2)
    journal.note("long after", TARGET)

    def words(around: float) -> list[str]:
        events = gather(journal, id, around=around).events
        return [str(e.body.get("text") or e.body.get("reason")) for e in events if e.kind in ("note", "freeze")]

    assert words(900.0) == ["just before", "of the whole fleet", "black friday", "just after"]
    assert words(60.0) == []
    seqs = [event.seq for event in gather(journal, id).events]
    assert seqs == sorted(set(seqs))


def test_samples_are_kept_with_their_sides_errors_and_verdict(told: Told) -> None:
    journal = told.journal
    metric = Metric("p95", CommandMetric("bin/p95"), 10.0, count=3)
    to = journal.put_release(release("v1"))
    options = {"analyses": msgspec.to_builtins({"golden": Analysis("golden", (metric,))})}
    armed = journal.arm(TARGET, RolloutKind.DEPLOY, to_release=to, options=options)
    epoch = journal.begin(armed.id, preempt="nothing")
    journal.add_steps(armed.id, epoch, [NewStep(1, "(here)", "analysis", 1, {"analyses": ["golden"]})])
    [step] = journal.start_steps(armed.id, epoch, [1])
    known = {"seq": 1, "op_id": step.op_id}
    journal.record(BEGUN, target=TARGET, rollout=armed.id, body={**known, "at": 10.0, "boot": "b"})
    for at, sample in (
        (5.0, Sample("p95", 5.0, Measurement(value=1.0))),  # of an attempt before
        (10.0, Sample("p95", 10.0, error="no answer")),
        (20.0, Sample("p95", 20.0, Measurement(value=2.5), Measurement(values=(1.0, 2.0)))),
        (30.0, Sample("p95", 30.0, Measurement(value=float("nan")))),
    ):
        assert sample.at == at
        journal.record(MEASURED, target=TARGET, rollout=armed.id, body={**known, "samples": [to_stored(sample)]})
    [found] = gather(journal, armed.id).metrics
    assert [(one.canary, one.baseline, one.error) for one in found.points] == [
        (None, None, "no answer"),
        (2.5, 1.5, ""),
        (None, None, ""),
    ]
    assert (found.name, found.state, found.errors, found.count) == ("p95", "inconclusive", 1, 3)


def test_what_can_t_be_read_of_it_is_said_and_the_rest_is_told(told: Told) -> None:
    """A journal that another version of the program wrote, or that somebody meddled with."""
    journal = told.journal
    to = journal.put_release(release("v1"))
    options = {"analyses": {"golden": {"name": 7}}}
    armed = journal.arm(TARGET, RolloutKind.DEPLOY, to_release=to, options=options)
    epoch = journal.begin(armed.id, preempt="nothing")
    journal.add_steps(armed.id, epoch, [NewStep(1, "(here)", "analysis", 1, {"analyses": ["golden"]})])
    journal.start_steps(armed.id, epoch, [1])
    journal._connection.execute("UPDATE release SET body = '{}'")
    found = gather(journal, armed.id)
    assert (found.after, found.difference) == (None, None)
    assert [(one.step, one.state) for one in found.metrics] == [(1, "unreadable")]
    assert found.steps[0].action == "analysis"


def test_a_rollout_that_has_not_begun_or_is_not_there(told: Told) -> None:
    armed = told.journal.arm(TARGET, RolloutKind.DEPLOY, options={"version": "v9"})
    found = gather(told.journal, armed.id)
    assert (found.exit_status, found.hosts, found.steps, found.detected) == (None, (), (), None)
    with pytest.raises(UnknownRollout):
        gather(told.journal, 99)


def test_nothing_of_it_writes(told: Told, tmp_path: Path) -> None:
    id = told.rollout("v1", RolloutState.SUCCEEDED)
    head = told.journal.head()
    with Journal.open(tmp_path / "state", operator=OPERATOR, read_only=True) as journal:
        gather(journal, id)
        journal.changes()
    assert told.journal.head() == head
