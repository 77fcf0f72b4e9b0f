"""When a way back has closed, or is open again: noticed once, after a while, and not while a rollout is at work."""

from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event, Operator
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import TargetSeen, WayBack
from quarterdeck.rollouts.telling import TOLD
from quarterdeck.rollouts.way_back.telling import journalled, untold
from quarterdeck.rollouts.way_back.watch import CLOSED, LISTED, OPEN, Turned, WayWatch, in_the_way, unready, values_of
from quarterdeck.tui.cli.following import describe
from tests.rollouts.test_telling import rollout

GONE = "web-2: no copy of v1"


def target(*reasons: str, **fields: Any) -> TargetSeen:
    back = WayBack("degraded" if reasons else "ready", "v1-1", "v1", reasons)
    seen = TargetSeen("production/api", "production", "api", release="v2-2", version="v2", back=back)
    return msgspec.structs.replace(seen, **fields)


def test_it_is_said_once_and_only_when_it_has_stayed_so() -> None:
    watch = WayWatch(hold=30.0)
    assert watch.look([target()], 0.0) == []
    assert watch.turning == frozenset()
    assert watch.look([target(GONE)], 10.0) == []
    assert watch.turning == {"production/api"}, "it is looked at again although nothing new is seen of it"
    assert watch.look([target(GONE)], 39.9) == []
    (turned,) = watch.look([target(GONE)], 40.0)
    assert (turned.kind, turned.body()) == (CLOSED, {"release": "v1-1", "version": "v1", "reasons": [GONE]})
    watch.said(turned)
    assert watch.turning == frozenset()
    assert watch.look([target(GONE)], 99.0) == []
    assert watch.look([target(GONE, "web-1: can't be reached")], 150.0) == [], "closed is closed"
    assert watch.look([target()], 200.0) == []
    (turned,) = watch.look([target()], 230.0)
    assert turned.kind == OPEN


def test_one_s_own_words_that_come_back_late_change_nothing() -> None:
    watch = WayWatch(hold=30.0)
    watch.look([target(GONE)], 0.0)
    (closed,) = watch.look([target(GONE)], 30.0)
    watch.said(closed)
    assert watch.look([target()], 40.0) == []
    watch.said(closed)
    assert watch.turning == {"production/api"}, "it has begun to open again, and that is not forgotten"
    (turned,) = watch.look([target()], 70.0)
    assert turned.kind == OPEN


def test_a_host_that_is_lost_for_a_moment_is_no_news() -> None:
    watch = WayWatch(hold=30.0)
    for at in range(0, 300, 25):
        assert watch.look([target(GONE)], float(at)) == []
        assert watch.look([target()], at + 20.0) == []


def test_what_could_not_be_journalled_is_given_again() -> None:
    watch = WayWatch()
    assert watch.look([target(GONE)], 1.0) == watch.look([target(GONE)], 2.0) != []


def test_nothing_is_said_of_what_moves_runs_nothing_or_has_nowhere_to_go_back_to() -> None:
    moving = target(GONE, moving=RolloutSeen(rollout(), "v1", "v2"))
    nowhere = target(back=WayBack("closed", reasons=("no earlier release that worked",)))
    empty = target(GONE, release=None)
    assert [in_the_way(seen) for seen in (moving, nowhere, empty)] == [None, None, None]
    assert unready([moving, nowhere, empty, target(), shut := target(GONE)]) == [shut]
    watch = WayWatch(["production/api"])
    assert watch.look([moving], 0.0) == watch.look([nowhere], 9.0) == []


def test_one_message_names_all_that_closed_together() -> None:
    many = [Turned(f"production/s{number}", True, "v1-1", "v1", (GONE,)) for number in range(LISTED + 3)]
    one = values_of(many[:1], "acme", "maya@bastion", "2026-11-30T03:00:00Z")
    assert (one["target"], one["event"]) == ("production/s0", "the way back is closed")
    assert one["outcome"] == f"v1 can't be put back as it is: {GONE}"
    all_ = values_of(many, "acme", "maya@bastion", "2026-11-30T03:00:00Z")
    assert all_["target"] == f"production/s0 and {LISTED + 2} more"
    assert all_["outcome"].splitlines()[-2:] == [
        f"production/s{LISTED - 1}: v1 can't be put back as it is: {GONE}",
        "… and 3 more: qd ready",
    ]
    again = values_of([Turned("production/api", False, "v1-1", "v1")], "acme", "maya", "")
    assert (again["event"], again["outcome"]) == ("the way back is open", "v1 can be put back again")


def test_the_timeline_says_it_in_words() -> None:
    def said(turned: Turned) -> tuple[str, str]:
        return describe(
            Event(7, "2026-11-30T03:00:00Z", 0, "maya", turned.kind, turned.target, None, None, turned.body(), "")
        )

    line, style = said(Turned("production/api", True, "v1-1", "v1", (GONE,)))
    assert f"to v1 closed: {GONE}" in line
    assert style == "warn"
    assert "to v1 open again" in said(Turned("production/api", False, "v1-1", "v1"))[0]


def test_a_room_and_a_timer_journal_it_once_and_what_nobody_told_is_found(tmp_path: Path) -> None:
    api, web = (Turned(f"production/{name}", True, "v1-1", "v1", (GONE,)) for name in ("api", "web"))
    opened = msgspec.structs.replace(api, closed=False, reasons=())
    with Journal.open(tmp_path / "state", operator=Operator("maya", 1000, None, "bastion")) as journal:
        assert journalled(journal, [opened]) == {}, "it was never said to have closed"
        first = journalled(journal, [api, web])
        assert set(first) == {api.target, web.target}
        assert journalled(journal, [api]) == {}, "somebody else has"
        everywhere = {api.target, web.target}
        assert untold(journal, everywhere, "2020") == {first[api.target]: api, first[web.target]: web}
        assert untold(journal, everywhere, "2999") == {}
        assert untold(journal, {web.target}, "2020") == {first[web.target]: web}
        body = {"about": first[api.target], "event": "unready", "to": 1, "service": "json", "with": [first[web.target]]}
        journal.record(TOLD, target=api.target, body=body)
        assert untold(journal, everywhere, "2020") == {}
        again = journalled(journal, [opened])
        assert untold(journal, everywhere, "2020") == {again[api.target]: opened}
        shut = journalled(journal, [api])
        body = {"about": shut[api.target], "event": "unready", "to": 1, "service": "json"}
        journal.record(TOLD, target=api.target, body=body)
        assert untold(journal, everywhere, "2020") == {}, "what nobody was told is not so any more"
