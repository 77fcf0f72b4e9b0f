"""Which hooks stand, and who undoes them: pure, and as a journal tells it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.config.model import Hook, Hooks, HookWhere, Share
from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Rollout, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import BASTION, Action, HostNow, plan_rollback
from quarterdeck.rollouts.plans.undoing import Left, Where, left, to_undo
from quarterdeck.rollouts.worker.left_behind import left_behind, not_undone
from tests.cli.qd_command import release

HERE = Hook("up", where=HookWhere.HERE, on_rollback="down")
ONE = Hook("one", where=HookWhere.ONE, on_rollback="un-one")
EACH = Hook("each", where=HookWhere.EACH, on_rollback="un-each")
HOOKS = Hooks(before=(HERE, ONE), after=(EACH,))
TARGET = "production/api"


def ran(
    host: str,
    phase: str,
    index: int = 0,
    state: StepState = StepState.DONE,
    *,
    reverse: bool = False,
    of: str = "v2-b",
    **outcome: Any,
) -> Step:
    body = {"phase": phase, "index": index, "release": of, **({"reverse": True} if reverse else {})}
    attempt = 0 if state is StepState.PENDING else 1
    return Step(1, 1, host, "hook", 0, body, "1.1.x", state, attempt, 1, outcome, None, None)


def undone(one: Left, *holders: str, moving: Sequence[str] = (), late: Sequence[str] = ()) -> list[tuple[str, str]]:
    return [
        (str(item["host"]), one.hooks.of(str(item["phase"]))[int(item["index"])].run)
        for item in to_undo(one, Where(holders, moving, late))
    ]


def test_a_hook_stands_from_its_first_attempt_until_it_was_undone() -> None:
    runs = [ran(BASTION, "before")]
    for steps, stands in (
        (runs, True),
        ([ran(BASTION, "before", state=StepState.STARTED)], True),
        ([ran(BASTION, "before", state=StepState.FAILED)], True),
        ([ran(BASTION, "before", state=StepState.FAILED, untouched=True)], False),
        ([ran(BASTION, "before", state=StepState.PENDING)], False),
        ([ran(BASTION, "before", of="v3-c")], False),
        ([*runs, ran(BASTION, "before", reverse=True)], False),
        ([*runs, ran(BASTION, "before", reverse=True, state=StepState.FAILED)], True),
        ([*runs, ran(BASTION, "before", reverse=True, state=StepState.STARTED)], True),
        ([*runs, ran(BASTION, "before", reverse=True), *runs], True),
    ):
        assert bool(left("v2-b", HOOKS, steps).standing) is stands, steps


def test_what_each_host_ran_each_host_undoes_and_what_one_ran_any_of_them() -> None:
    one = left("v2-b", HOOKS, [ran(BASTION, "before"), ran("a", "before", 1), ran("a", "after"), ran("b", "after")])
    assert undone(one, "a", "b") == [(BASTION, "up"), ("a", "one"), ("a", "each"), ("b", "each")]
    assert undone(one, "b", "c") == [(BASTION, "up"), ("b", "one"), ("b", "each")]
    assert undone(one, "b", late=["a"]) == [(BASTION, "up"), ("b", "one"), ("a", "each"), ("b", "each")]
    assert undone(one) == [(BASTION, "up")]


def test_what_one_host_has_undone_in_place_of_another_one_is_undone() -> None:
    one = left("v2-b", HOOKS, [ran("a", "before", 1), ran("b", "before", 1, reverse=True)])
    assert one.standing == ()


def test_of_a_release_that_came_unseen_the_declaration_counts_where_the_journal_is_silent() -> None:
    seen = [ran(BASTION, "before", reverse=True), ran("b", "after", reverse=True)]
    one = left("v2-b", HOOKS, seen, declared=True)
    assert undone(one, "a", "b", moving=["a", "b"]) == [("a", "one"), ("a", "each")]
    assert undone(one, "a", "b") == []


def test_what_stays_is_named() -> None:
    one = left("v2-b", HOOKS, [ran(BASTION, "before"), ran("a", "before", 1), ran("a", "after"), ran("b", "after")])
    hosts = [HostNow("a", error="gone"), HostNow("b", current="v2-b", running=True, kept=frozenset({"v1-a", "v2-b"}))]
    [warning] = not_undone([one], plan_rollback(hosts, "v1-a", Share(percent=100), undo=[one]))
    assert warning.startswith("hook 'each' of v2-b ran on a and is not undone: a can't be asked")


def test_only_what_ran_and_can_not_be_undone_is_told() -> None:
    hooks = Hooks(before=(Hook("drop", reversible=False),), after=(Hook("never", reversible=False), Hook("warm")))
    assert left("v2-b", hooks, [ran("a", "before"), ran("a", "after", 1)]).irreversible == hooks.before
    assert left("v2-b", hooks, [], declared=True).irreversible == (hooks.before[0], hooks.after[0])


def test_hooks_are_undone_where_no_host_moves_the_last_release_and_the_last_hook_first() -> None:
    hosts = [HostNow(name, current="v1-a", running=True, kept=frozenset({"v1-a", "v2-b", "v3-c"})) for name in "ab"]
    second = left("v2-b", HOOKS, [ran(BASTION, "before"), ran("a", "before", 1)])
    third = left("v3-c", HOOKS, [ran(BASTION, "before", of="v3-c")])
    plan = plan_rollback(hosts, "v1-a", Share(percent=100), undo=[third, second])
    hooks = [(step.host, step.body["run"], step.body["release"]) for step in plan.steps if step.action is Action.HOOK]
    assert hooks == [(BASTION, "down", "v3-c"), ("a", "un-one", "v2-b"), (BASTION, "down", "v2-b")]
    assert len({step.wave for step in plan.steps if step.action is Action.HOOK}) == 3
    assert plan.changed == ()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as opened:
        yield opened


class Past:
    """Rollouts of v1, v2 and v3, which have a hook here, as the journal keeps them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.known: dict[str, Release] = {}
        for version in ("v1", "v2", "v3"):
            made = msgspec.structs.replace(release(version, target=TARGET), hooks=Hooks(before=(HERE,)))
            self.known[version] = made
            journal.put_release(made)
        self.by_id = {made.id: made for made in self.known.values()}

    def rollout(
        self,
        kind: RolloutKind,
        to: str,
        before: str | None,
        state: RolloutState,
        *steps: tuple[str, bool, StepState],
        adopted: bool = False,
        **options: Any,
    ) -> int:
        """``steps``: of hooks here, each with the version, whether it undoes, and what became of it."""
        j, ids = self.journal, {version: made.id for version, made in self.known.items()}
        found = j.arm(TARGET, kind, from_release=ids.get(before or ""), to_release=ids[to], options=options)
        if not adopted:
            j.set_plan(found.id, {"steps": []}, "h", to_release=ids[to], from_release=ids.get(before or ""))
        epoch = j.begin(found.id, preempt="everything")
        planned = [] if adopted else [NewStep(1, "a", "stage", 0, {"release": ids[to]})]
        for seq, (version, reverse, _) in enumerate(steps, 2):
            body = {"phase": "before", "index": 0, "release": ids[version], **({"reverse": True} if reverse else {})}
            planned.append(NewStep(seq, BASTION, "hook", seq, body))
        j.add_steps(found.id, epoch, planned)
        j.start_steps(found.id, epoch, [step.seq for step in planned])
        for seq, (_, _, became) in enumerate(steps, 2):
            if became is not StepState.STARTED:
                j.end_step(found.id, epoch, seq, became, {})
        if state is not RolloutState.RUNNING:
            j.set_state(found.id, epoch, state, outcome="")
        return found.id

    def left(self, to: str, leaving: str | None = None, **options: Any) -> dict[str, int]:
        """Of a rollback to ``to``: how many hooks stand of each version; -1: as declared."""
        mine: Rollout = self.journal.arm(TARGET, RolloutKind.ROLLBACK, to_release=self.known[to].id, options=options)
        leaves = self.known[leaving].id if leaving else None
        found = left_behind(self.journal, mine, self.known[to].id, leaves, self.by_id)
        return {self.by_id[one.release].version: -1 if one.declared else len(one.standing) for one in found}


@pytest.fixture
def past(journal: Journal) -> Past:
    made = Past(journal)
    made.rollout(RolloutKind.DEPLOY, "v1", None, RolloutState.SUCCEEDED, up("v1"))
    return made


def up(version: str, became: StepState = StepState.DONE) -> tuple[str, bool, StepState]:
    return version, False, became


def down(version: str, became: StepState = StepState.DONE) -> tuple[str, bool, StepState]:
    return version, True, became


DEPLOY, ROLLBACK = RolloutKind.DEPLOY, RolloutKind.ROLLBACK
FAILED, SUCCEEDED = RolloutState.FAILED, RolloutState.SUCCEEDED


def test_only_the_release_that_is_left_is_undone(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    assert past.left("v1", leaving="v2") == {"v2": 1}
    past.rollout(DEPLOY, "v3", "v2", SUCCEEDED, up("v3"))
    assert past.left("v2", leaving="v3") == {"v3": 1}
    assert past.left("v1", leaving="v3") == {"v3": 1}


def test_what_was_undone_is_left_alone_until_it_is_done_again(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    past.rollout(ROLLBACK, "v1", "v2", FAILED, down("v2"))
    assert past.left("v1", leaving="v2") == {}
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    assert past.left("v1", leaving="v2") == {"v2": 1}


def test_what_began_since_the_last_success_is_undone_whatever_it_left_on_hosts(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", FAILED, up("v2"), down("v2", StepState.FAILED))
    assert past.left("v1") == {"v2": 1}
    past.rollout(DEPLOY, "v3", "v1", RolloutState.RUNNING, up("v3", StepState.STARTED))
    assert list(past.left("v1").items()) == [("v3", 1), ("v2", 1)]
    assert past.left("v1", partial=True) == {}


def test_a_success_ends_what_was_half_way(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", FAILED, up("v2"), down("v2", StepState.FAILED))
    past.rollout(DEPLOY, "v3", "v1", SUCCEEDED, up("v3"))
    assert past.left("v1", leaving="v3") == {"v3": 1}


def test_what_an_old_release_did_long_ago_is_not_undone_under_those_that_came_after(past: Past) -> None:
    """v1 is tried once more, and comes to nothing: what its first deploy made of the data is what v2 stands on. Seen to fail while all of
    a release's past counted."""
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    past.rollout(DEPLOY, "v1", "v2", RolloutState.ROLLED_BACK)
    assert past.left("v2") == {}
    past.rollout(DEPLOY, "v1", "v2", RolloutState.RUNNING)
    assert past.left("v2", leaving="v1") == {}
    past.rollout(DEPLOY, "v1", "v2", FAILED, up("v1"), down("v1", StepState.FAILED))
    assert past.left("v2") == {"v1": 1}


def test_a_rollback_of_some_hosts_ends_nothing(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", FAILED, up("v2"))
    past.rollout(ROLLBACK, "v1", None, SUCCEEDED, partial=True)
    assert past.left("v1", leaving="v2") == {"v2": 1}


def test_its_own_steps_count_at_its_end(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", FAILED, up("v2"))
    own = past.rollout(ROLLBACK, "v1", None, RolloutState.RUNNING, down("v2"))
    ids = {version: made.id for version, made in past.known.items()}
    assert left_behind(past.journal, past.journal.rollout(own), ids["v1"], None, past.by_id) == []


def test_a_retry_of_a_rollback_undoes_what_that_has_not(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    past.rollout(ROLLBACK, "v1", "v2", FAILED, down("v2", StepState.FAILED))
    assert past.left("v1", settle=True, only=["c"]) == {"v2": 1}
    past.rollout(ROLLBACK, "v1", None, FAILED, down("v2", StepState.FAILED))
    assert past.left("v1", settle=True) == {"v2": 1}
    past.rollout(ROLLBACK, "v1", None, FAILED, down("v2"))
    assert past.left("v1", settle=True) == {}


def test_hosts_that_a_deploy_owes_undo_nothing(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, up("v2"))
    assert past.left("v2", settle=True, only=["c"]) == {}
    past.rollout(DEPLOY, "v3", "v2", FAILED, up("v3"))
    assert past.left("v2", settle=True, only=["c"]) == {}


def test_a_release_that_was_adopted_or_never_deployed_here_counts_as_declared(past: Past) -> None:
    assert past.left("v1", leaving="v3") == {"v3": -1}
    past.rollout(DEPLOY, "v2", "v1", SUCCEEDED, adopted=True)
    assert past.left("v1", leaving="v2") == {"v2": -1}
    past.rollout(DEPLOY, "v2", "v2", SUCCEEDED, up("v2"))
    assert past.left("v1", leaving="v2") == {"v2": -1}


def test_a_drill_leaves_nothing_to_undo(past: Past) -> None:
    past.rollout(DEPLOY, "v2", "v1", FAILED, up("v2"))
    past.rollout(RolloutKind.DRILL, "v1", "v2", FAILED)
    assert past.left("v1") == {}


def test_no_step_but_those_of_hooks_is_read(journal: Journal) -> None:
    """A target of a thousand hosts has thousands of others in each rollout. Seen to fail without the index."""
    asked: list[str] = []
    journal._connection.set_trace_callback(asked.append)
    journal.hook_steps(TARGET, "v2-b")
    journal._connection.set_trace_callback(None)
    plan = [str(row[3]) for row in journal._rows(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert any("hook_step" in line for line in plan), plan
    assert not any("SCAN" in line for line in plan), plan
