"""Which events of a rollout are told, once each, and in which words."""

from typing import Any

from quarterdeck.config.notifications import EVENTS, PLACEHOLDERS, Destination
from quarterdeck.history.records import Event, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.telling import LONGEST, Moment, message, moments, rehearsed, values_of, wanted


def happened(seq: int, kind: str = "state", **body: Any) -> Event:
    return Event(seq, "2026-11-29T10:00:00Z", 0, "maya@bastion", kind, "production/api", 7, None, body, "")


def words(*events: Event, kind: RolloutKind = RolloutKind.DEPLOY) -> list[tuple[int, str]]:
    return [(one.seq, one.words[0]) for one in moments(events, kind)[0]]


def state(seq: int, before: str, after: str, outcome: str = "") -> Event:
    return happened(seq, **{"from": before, "to": after, "outcome": outcome})


def test_a_life_with_all_that_may_be_told() -> None:
    told = words(
        happened(1, "requested"),
        happened(2, "override", policy="freeze"),
        state(3, "armed", "queued", "waits for 1 of @leads"),
        state(4, "queued", "running"),
        happened(5, "step.done"),
        state(6, "running", "paused", "waits at 5 %"),
        state(7, "paused", "running", "promoted"),
        state(8, "running", "baking"),
        state(9, "baking", "aborting", "aborted"),
        state(10, "aborting", "rolling_back", "aborted"),
        state(11, "rolling_back", "rolled_back", "taken back"),
    )
    assert told == [
        (2, "override"),
        (3, "waiting"),
        (4, "started"),
        (6, "waiting"),
        (10, "rolling_back"),
        (11, "rolled_back"),
    ]
    assert {"failed", "cancelled", "superseded", "succeeded"} | {word for _, word in told} == set(EVENTS) - {
        "unready"
    }, "which is of no rollout"
    for end in ("failed", "cancelled", "superseded", "succeeded"):
        assert words(state(1, "running", end)) == [(1, end)]


def test_standing_where_it_stood_is_nothing_new() -> None:
    waits = state(1, "running", "paused", "waits at 5 %")
    orphan = (state(2, "paused", "orphaned", "its worker died"), happened(3, "takeover", to="paused"))
    again = state(4, "paused", "paused", "waits at 5 %")
    otherwise = state(5, "paused", "paused", "is inconclusive")
    assert words(waits, *orphan, again, otherwise) == [(1, "waiting"), (5, "waiting")]
    assert words(waits, state(2, "paused", "running"), state(3, "running", "paused", "waits at 5 %")) == [
        (1, "waiting"),
        (3, "waiting"),
    ]
    first, stood = moments((waits,), RolloutKind.DEPLOY)
    assert len(first) == 1
    assert moments((again,), RolloutKind.DEPLOY, stood) == ([], stood), "seen in two looks"


def test_who_waits_for_its_turn_waits_for_no_person() -> None:
    queue: dict[str, Any] = {
        "from": "armed",
        "to": "queued",
        "outcome": "waits for its turn: 1 of 1 under way",
        "queue": True,
    }
    assert words(happened(1, **queue), state(2, "queued", "running")) == [(2, "started")]
    agreed = state(1, "armed", "queued", "waits for 1 approval")
    assert words(agreed, happened(2, **queue), state(3, "queued", "queued", "waits for 1 approval")) == [
        (1, "waiting"),
        (3, "waiting"),
    ]


def test_whatever_policy_was_set_aside_is_told() -> None:
    for body, said in (
        ({"policy": "queue", "words": "2 of 2 under way"}, "queue was set aside (2 of 2 under way)"),
        (
            {"policy": "freeze", "words": "until Monday", "frozen": "until Monday"},
            "freeze was set aside (until Monday)",
        ),
        ({"policy": "freeze", "frozen": "until Monday"}, "freeze was set aside (until Monday)"),
    ):
        (moment,), _ = moments((happened(1, "override", **body),), RolloutKind.DEPLOY)
        assert moment.outcome == said


def test_a_rollback_that_succeeded_is_told_to_who_asks_for_either() -> None:
    (moment,), _ = moments((state(1, "running", "succeeded"),), RolloutKind.ROLLBACK)
    assert wanted(Destination(on=("rolled_back",)), moment)
    assert wanted(Destination(on=("succeeded",)), moment)
    assert not wanted(Destination(on=("failed", "started")), moment)


def rollout(**changed: Any) -> Rollout:
    row = {
        "id": 7,
        "target": "production/api",
        "kind": RolloutKind.DEPLOY,
        "from_release": "v1-aa",
        "to_release": "v2-bb",
        "state": RolloutState.PAUSED,
        "epoch": 3,
        "plan": None,
        "plan_hash": "",
        "options": {},
        "requested_by": "alice@bastion",
        "uid": 0,
        "reason": "INC-77",
        "created": "",
        "started": None,
        "ended": None,
        "outcome": "",
        "pid": None,
    }
    return Rollout(**{**row, **changed})


def test_every_placeholder_has_a_value_and_no_value_is_a_placeholder() -> None:
    moment = Moment(1, ("rolled_back",), "rolled_back", "{{reason}} \x1b[31mred", "worker@bastion", "10:00")
    values = values_of(moment, rollout(), "v2", "acme")
    assert values.keys() == set(PLACEHOLDERS) == rehearsed("acme", "alice", "10:00").keys()
    made = message(Destination(title="{{target}}:\n{{ event }}", body="{{outcome}}"), "rolled_back", values)
    assert (made.title, made.body, made.tone) == ("production/api: rolled back", "{{reason}} red", "warning")
    assert values["by"] == "alice@bastion"
    aside = Moment(1, ("override",), "", "freeze was set aside", "maya@bastion", "10:00")
    assert values_of(aside, rollout(), "v2", "acme")["by"] == "maya@bastion"


def test_a_body_is_never_empty_and_never_endless() -> None:
    values = values_of(Moment(1, ("started",), "running", "", "", ""), rollout(reason=""), "v2", "acme")
    assert message(Destination(body="{{reason}}"), "started", values).body == "production/api: started"
    assert (
        len(message(Destination(body="{{outcome}}"), "failed", {**values, "outcome": "x" * 9999}).body) == LONGEST + 2
    )


def step_done(seq: int, notify: dict[str, Any], weight: float = 25.0) -> Event:
    outcome = {"notify": notify, "weight": weight, "hosts": 1, "of": 4}
    return happened(seq, "step.done", step=7, action="notify", outcome=outcome)


def test_a_step_tells_whom_it_names_in_its_own_words() -> None:
    (all_of_them, named), _ = moments(
        (step_done(1, {}), step_done(2, {"to": ["oncall"], "body": "{{version}} is there"})), RolloutKind.DEPLOY
    )
    nobody, oncall, other = (Destination(name=name, on=()) for name in ("", "oncall", "other"))
    assert [wanted(one, all_of_them) for one in (nobody, oncall, other)] == [True, True, True]
    assert [wanted(one, named) for one in (nobody, oncall, other)] == [False, True, False]
    values = values_of(named, rollout(), "v2", "acme")
    made = message(oncall, named.words[0], values, named.notice)
    assert (made.title, made.body, made.tone) == ("production/api: step", "v2 is there", "info")
    assert values["outcome"] == "the canary is at 25 %, on 1 of 4 hosts"
    (before,), _ = moments((step_done(3, {}, weight=0.0),), RolloutKind.DEPLOY)
    assert before.outcome == "the canary begins"
    assert words(happened(1, "step.done", step=1, action="switch", outcome={})) == []
