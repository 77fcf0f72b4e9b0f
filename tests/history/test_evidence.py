"""What statistics and post-mortems read: whole rollouts that have ended, by their own index, and the events of a time."""

from quarterdeck.history.evidence import _SELECT
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState


def ended(journal: Journal, target: str, *, partial: bool = False, state: RolloutState = RolloutState.SUCCEEDED) -> int:
    armed = journal.arm(
        target, RolloutKind.DEPLOY, to_release="v1-0123456789", options={"partial": True} if partial else {}
    )
    epoch = journal.begin(armed.id, preempt="nothing")
    journal.set_state(armed.id, epoch, state)
    return armed.id


def test_what_began_and_ended_of_whole_targets_in_the_order_of_its_ends(journal: Journal) -> None:
    first = ended(journal, "production/api")
    ended(journal, "production/api", partial=True)
    second = ended(journal, "staging/api", state=RolloutState.FAILED)
    journal.begin(journal.arm("production/web", RolloutKind.DEPLOY).id, preempt="nothing")
    armed = journal.arm("production/web", RolloutKind.DEPLOY)
    journal.set_state(armed.id, None, RolloutState.CANCELLED)
    found = journal.changes()
    assert [one.id for one in found] == [first, second]
    assert (found[1].state, found[1].to_release) == (RolloutState.FAILED, "v1-0123456789")
    assert [one.id for one in journal.changes(["staging/api"])] == [second]
    assert [one.id for one in journal.changes([f"none/{n}" for n in range(30)] + ["staging/api"])] == [second]
    assert [one.id for one in journal.changes(after=found[0].seq)] == [second]
    assert journal.changes([]) == []


def test_they_are_read_by_the_index_that_was_made_for_it(journal: Journal) -> None:
    for more in ("", " AND +target IN ('production/api')"):
        sql = f"EXPLAIN QUERY PLAN {_SELECT} AND ended_seq > 0{more} ORDER BY ended_seq"
        told = " ".join(str(row[3]) for row in journal._rows(sql))
        assert "rollout_that_counts" in told
        assert "TEMP B-TREE" not in told


def test_the_first_event_of_a_time(journal: Journal) -> None:
    assert journal.seq_at("2020-01-01T00:00:00.000Z") == 1
    events = [journal.note(f"note {number}") for number in range(5)]
    assert journal.seq_at("2020-01-01T00:00:00.000Z") == 1
    assert journal.seq_at("2999-01-01T00:00:00.000Z") == 6
    for event in events:
        at = journal.seq_at(event.time)
        assert at <= event.seq
        assert events[at - 1].time == event.time
