"""What a rollout waits for, in words."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from quarterdeck.history.records import Step, StepState
from quarterdeck.tui.cli.waits import left_words, notice_words, standing_words, wait_words

NOW = datetime(2026, 11, 24, 12, 1, 30, tzinfo=UTC)


def step(action: str, state: StepState = StepState.STARTED, **body: Any) -> Step:
    values: dict[str, Any] = {field.name: None for field in msgspec.structs.fields(Step)}
    values |= {"seq": 4, "host": "here", "action": action, "state": state, "body": body, "outcome": {}}
    return Step(**values | {"started": "2026-11-24T12:00:00.000Z"})


def test_a_wait_says_how_long_and_where() -> None:
    at = {"weight": 25.0, "hosts": 1, "of": 4}
    assert wait_words("pause", {"seconds": 300, **at}) == "pause 5m00s at 25 % (1 of 4 hosts)"
    assert wait_words("pause", {"promote": True, **at}) == "pause until promoted at 25 % (1 of 4 hosts)"
    assert wait_words("bake", {"seconds": 1800}) == "bake 30m00s"
    asked = {"count": 1, "from": ["@oncall", "maya"], "timeout": 1800.0}
    told = "approval by 1 of @oncall or maya within 30m00s at 25 % (1 of 4 hosts)"
    assert wait_words("approval", {"approval": asked, **at}) == told
    assert wait_words("approval", {"approval": {**asked, "from": None}}) == "approval by 1 of anybody within 30m00s"


def test_a_notice_says_whom_and_what() -> None:
    assert notice_words({"to": ["oncall", "chat"], "body": "look\nat it"}) == "tell oncall, chat: look at it"
    assert notice_words({"title": "half of it"}) == "tell all who are told: half of it"
    assert notice_words({}) == "tell all who are told"


def test_what_is_left_of_it_is_told_while_it_lasts() -> None:
    assert left_words(step("pause", seconds=300), NOW) == "3m30s left"
    assert left_words(step("bake", seconds=30), NOW) == "0.0s left"  # over, and not yet journalled
    assert left_words(step("pause", promote=True), NOW) == "until promoted"
    assert left_words(step("approval", approval={"count": 1}), NOW) == "until people agree"
    assert left_words(step("pause", StepState.DONE, seconds=300), NOW) == ""
    assert left_words(step("switch", seconds=300), NOW) == ""


def test_how_it_stands_is_the_wait_or_its_own_sentence() -> None:
    waits = [step("switch", StepState.DONE), step("pause", seconds=300)]
    assert standing_words(waits, "", NOW) == "pause 5m00s, 3m30s left"
    assert standing_words(waits, "paused by lena", NOW) == "paused by lena; pause 5m00s, 3m30s left"
    assert standing_words([step("pause", promote=True)], "waits at 5 %", NOW) == "waits at 5 %"
    assert (
        standing_words([step("approval", approval={"count": 1})], "waits for 1 approval", NOW) == "waits for 1 approval"
    )
    assert standing_words([], "why", NOW) == "why"
