"""The line of an environment: whose turn it is, who is before whom, who has lost his place; decided in the transaction that begins."""

import os
from pathlib import Path

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.clock import boot_id
from quarterdeck.history.errors import RequestRefused, TargetBusy
from quarterdeck.history.identity import process_identity
from quarterdeck.history.journal import Journal
from quarterdeck.history.queueing import HEARD_OF
from quarterdeck.history.records import RolloutKind, RolloutState
from tests.history.conftest import ALICE
from tests.history.forks import Fork, Report

pytestmark = pytest.mark.usefixtures("patient_journal")


def asked(
    journal: Journal, service: str, kind: RolloutKind = RolloutKind.DEPLOY, environment: str = "production"
) -> int:
    """A rollout that is ready to begin, with a living worker."""
    rollout = journal.arm(f"{environment}/{service}", kind).id
    journal.set_plan(rollout, {"steps": []}, "a" * 64, to_release=f"v2-{service}", from_release=None)
    journal.set_worker(rollout, os.getpid(), *process_identity(os.getpid()))
    return rollout


def begun(
    journal: Journal, service: str, kind: RolloutKind = RolloutKind.DEPLOY, environment: str = "production"
) -> int:
    rollout = asked(journal, service, kind, environment)
    journal.begin(rollout, preempt="deploys")
    return rollout


def waiting(journal: Journal, service: str) -> int:
    rollout = asked(journal, service)
    journal.join_queue(rollout, "waits for its turn")
    return rollout


def beat_before(journal: Journal, rollout: int, nanoseconds: int) -> None:
    """As if its worker had not given word for so long."""
    journal._connection.execute("UPDATE worker SET heartbeat = heartbeat - ? WHERE rollout = ?", (nanoseconds, rollout))


def ids(journal: Journal, rollout: int) -> tuple[list[int], list[int]]:
    line = journal.line(rollout)
    return [one.id for one in line.under_way], [one.id for one in line.before]


def test_who_has_begun_is_under_way_until_it_has_ended_whatever_it_stands_at(journal: Journal) -> None:
    me = asked(journal, "web")
    assert journal.line(me).has_room(1)
    first, second = begun(journal, "api"), begun(journal, "worker")
    back = begun(journal, "cache", RolloutKind.ROLLBACK)
    begun(journal, "api", environment="staging")
    begun(journal, "api", environment="production-eu")
    asked(journal, "mail")
    journal.set_state(first, 1, RolloutState.PAUSED)
    assert ids(journal, me) == ([first, second, back], [])
    line = journal.line(me)
    assert [line.has_room(places) for places in (2, 3, 4)] == [False, False, True]
    assert (line.under_way[0].target, line.under_way[0].state, line.under_way[2].kind) == (
        "production/api",
        RolloutState.PAUSED,
        RolloutKind.ROLLBACK,
    )
    assert journal.mark_orphaned(journal.rollout(second), lambda: False).state is RolloutState.ORPHANED
    assert ids(journal, me)[0] == [first, second, back], "half of it is on the hosts: somebody has to decide first"
    journal.set_state(first, 1, RolloutState.SUCCEEDED)
    assert ids(journal, me)[0] == [second, back]


def test_they_begin_in_the_order_in_which_they_came_to_wait(journal: Journal) -> None:
    busy = begun(journal, "api")
    late, early = asked(journal, "web"), asked(journal, "worker")
    journal.join_queue(early, "waits for its turn")
    journal.join_queue(late, "waits for its turn")
    newcomer = asked(journal, "mail")
    assert ids(journal, early) == ([busy], [])
    assert ids(journal, late) == ([busy], [early])
    assert ids(journal, newcomer) == ([busy], [early, late]), "who comes later passes nobody"
    journal.set_state(busy, 1, RolloutState.FAILED)
    assert [journal.line(one).has_room(1) for one in (early, late, newcomer)] == [True, False, False]
    assert [journal.line(one).has_room(2) for one in (early, late, newcomer)] == [True, True, False]

    before = journal.line(early).since
    journal.join_queue(early, "waits for its turn: anew")
    assert (journal.line(early).since, journal.rollout(early).outcome) == (before, "waits for its turn: anew")
    assert len(journal.events(rollout=early, kind="queue.joined")) == 1
    assert journal.leave_queue(early)
    assert not journal.leave_queue(early)
    assert ids(journal, late) == ([], []), "it waits for people first"
    journal.join_queue(early, "waits for its turn")
    assert ids(journal, early)[1] == [late], "and comes anew"
    assert verify(journal).ok


def test_who_is_not_heard_of_is_passed_and_keeps_its_place_when_it_is_again(journal: Journal) -> None:
    first, second = waiting(journal, "api"), waiting(journal, "web")
    beat_before(journal, first, HEARD_OF // 2)
    assert ids(journal, second)[1] == [first]
    beat_before(journal, first, HEARD_OF)
    assert ids(journal, second)[1] == []
    assert journal.unheard_of(first) >= 30
    journal.set_worker(first, os.getpid(), *process_identity(os.getpid()))
    assert (ids(journal, second)[1], ids(journal, first)[1]) == ([first], [])
    assert journal.unheard_of(first) < 25
    journal.set_worker(first, os.getpid(), 1, "another boot")
    assert boot_id() != "another boot"
    assert ids(journal, second)[1] == []
    assert journal.unheard_of(first) < 25, "by the wall clock, since anything was journalled of it"


def test_only_what_waits_to_begin_has_a_place_and_a_rollback_takes_it(journal: Journal) -> None:
    waits = waiting(journal, "web")
    assert journal.in_queue(waits)
    rival = asked(journal, "web")
    with pytest.raises(TargetBusy):
        journal.join_queue(rival, "waits")
    journal.join_queue(rival, "waits", supersede=True)
    assert journal.rollout(waits).state is RolloutState.SUPERSEDED
    back = begun(journal, "web", RolloutKind.ROLLBACK)
    assert journal.rollout(rival).state is RolloutState.SUPERSEDED
    for gone in (waits, rival, back):
        assert not journal.in_queue(gone)
        with pytest.raises(RequestRefused):
            journal.join_queue(gone, "waits")
    with pytest.raises(RequestRefused):
        journal.leave_queue(back)


def test_of_many_that_come_at_once_as_many_begin_as_may(state: Path) -> None:
    with Journal.open(state, operator=ALICE) as journal:
        rollouts = [asked(journal, f"s{number}") for number in range(8)]

    def begin(rollout: int) -> "Fork":
        def child(report: Report) -> None:
            with Journal.open(state, operator=ALICE) as own:
                report("ready")

                def in_turn() -> bool:
                    if not own.line(rollout).has_room(3):
                        return False
                    own.begin(rollout, preempt="nothing")
                    return True

                report(str(own.together(in_turn, rollout=rollout)))

        return Fork(child)

    forks = [begin(rollout) for rollout in rollouts]
    said = [[fork.line(), fork.line()][1] for fork in forks]
    for fork in forks:
        fork.wait()
    assert sorted(said) == ["False"] * 5 + ["True"] * 3
    with Journal.open(state, operator=ALICE) as journal:
        assert sum(one.state is RolloutState.RUNNING for one in journal.rollouts()) == 3
