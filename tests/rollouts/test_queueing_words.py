"""What is said of the queue: who is under way, who is before, and how one tells by its own sentence that a rollout waits for its turn."""

from typing import Any

import msgspec

from quarterdeck.history.queueing import InLine, Line
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.queueing import line_value, line_words, places_of, turn_words, waits_for_turn
from tests.rollouts.test_tally import rollout


def one(id: int, service: str, version: str, by: str, **told: Any) -> InLine:
    to = f"{version}-0123456789"
    known = InLine(id, f"production/{service}", RolloutKind.DEPLOY, to, RolloutState.RUNNING, f"{by}@bastion", True)
    return msgspec.structs.replace(known, **told)


API = one(17, "api", "v3", "alice")
WORKER = one(18, "worker", "v9", "bob")


def test_it_names_who_is_under_way_and_who_is_before() -> None:
    mail = one(19, "mail", "v1", "carol", state=RolloutState.QUEUED)
    line = Line((API, WORKER), (mail,), "2026-11-29T12:00:00Z")
    assert line_words(line, 2, "production") == (
        "2 of 2 under way in production: 17 (api v3, by alice), 18 (worker v9, by bob); 1 before it: 19 (mail v1, by carol)"
    )
    assert turn_words(Line((), ()), 2, "production") == "waits for its turn: 0 of 2 under way in production"
    value = line_value(line, 2, "production")
    assert (value["max_parallel"], value["waits"], value["since"]) == (2, True, "2026-11-29T12:00:00Z")
    assert value["words"] == line_words(line, 2, "production")
    assert not line_value(Line((API,), ()), 2, "production")["waits"]
    assert [found["rollout"] for found in (*value["under_way"], *value["before"])] == [17, 18, 19]
    assert value["before"][0] == {
        "rollout": 19,
        "kind": "deploy",
        "target": "production/mail",
        "to": "v1-0123456789",
        "status": "queued",
        "by": "carol@bastion",
    }


def test_what_stands_still_is_told_and_so_is_what_is_no_deploy() -> None:
    held = msgspec.structs.replace(API, state=RolloutState.PAUSED)
    dead = msgspec.structs.replace(WORKER, state=RolloutState.ORPHANED)
    back = one(20, "web", "v1", "dora", kind=RolloutKind.ROLLBACK)
    baking = one(21, "mail", "v2", "eva", state=RolloutState.BAKING, to_release=None)
    assert line_words(Line((held, dead, back, baking), ()), 1, "production") == (
        "4 of 1 under way in production: 17 (api v3, by alice, paused), 18 (worker v9, by bob, its worker died), "
        "20 (rollback of web v1, by dora), 21 (mail, by eva)"
    )
    silent = msgspec.structs.replace(API, heard_of=False)
    assert line_words(Line((silent,), ()), 1, "production").endswith(": 17 (api v3, by alice, no word of its worker)")
    many = Line((API,), tuple(one(30 + number, "web", "v2", "finn") for number in range(7)))
    assert line_words(many, 1, "production").endswith(
        "; 7 before it: " + ", ".join(f"{number} (web v2, by finn)" for number in range(30, 34)) + " and 3 more"
    )


def test_a_rollback_waits_for_no_turn_and_neither_does_what_sets_the_queue_aside() -> None:
    assert places_of(rollout(max_parallel=2)) == 2
    assert places_of(rollout(max_parallel=None)) is None
    assert places_of(rollout()) is None, "of an earlier version"
    assert places_of(rollout(kind=RolloutKind.ROLLBACK, max_parallel=2)) is None
    assert places_of(rollout(max_parallel=2, override=["queue"])) is None
    assert places_of(rollout(max_parallel=2, override=["freeze"])) == 2
    waits = msgspec.structs.replace(rollout(), outcome=turn_words(Line((API,), ()), 1, "production"))
    assert waits_for_turn(waits)
    assert not waits_for_turn(msgspec.structs.replace(waits, state=RolloutState.RUNNING))
    assert not waits_for_turn(msgspec.structs.replace(waits, outcome="waits for 1 approval by maya"))
