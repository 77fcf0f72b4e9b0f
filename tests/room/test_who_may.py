"""Readers change nothing, by whatever way they try: every verb, by key, `:` command, palette, and below the screen."""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Operators
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.actions import ACTIONS, Action
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from tests.cli.qd_command import OPERATOR, Qd
from tests.room.seen import until

CHANGING = [action for action in ACTIONS if action.changes]
READERS = ["read-only", "viewer"]
WORDS = {"read-only": "read-only", "viewer": "may not change anything"}


def opening(qd: Qd, reader: str) -> Opening:
    fleet = load_fleet(qd.fleet_file)
    if reader == "viewer":
        fleet = msgspec.structs.replace(fleet, operators=Operators(deploy=("somebody-else",)))
    return Opening(fleet, OPERATOR, read_only=reader == "read-only", target="production/web")


def head(qd: Qd) -> tuple[int, str]:
    with qd.journal() as journal:
        return journal.head()


def line_for(action: Action) -> str:
    example = {"target": "production/api", "version": "v1", "rollout": "4", "text": "words", "flag": "checkout"}
    example["environment"] = "production"
    return " ".join((action.command, *(example[taken] for taken in action.takes)))


def refused(room: Room, reader: str) -> bool:
    return WORDS[reader] in room.said


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("action", CHANGING, ids=lambda action: action.id)
async def test_no_verb_by_key_command_or_palette(filled: Qd, action: Action, reader: str) -> None:
    room = Room(opening(filled, reader))
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        before = head(filled)
        tried = []
        if action.keys:
            await pilot.press(action.keys[0])
            tried.append("key")
            assert refused(room, reader)
            room.say("")
        if action.command:
            await pilot.press("colon")
            assert room._prompt is not None
            room._prompt.take_paste(line_for(action))
            await pilot.press("enter")
            tried.append("command")
            await until(pilot, lambda: refused(room, reader), f":{line_for(action)} to be refused")
            room.say("")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: len(room.screen_stack) == 2, "the palette")
        room.screen.dismiss(action.id)
        await until(pilot, lambda: refused(room, reader), "the palette's choice to be refused")
        assert tried
        assert len(room.screen_stack) == 1, "no card for who may not use it"
        assert head(filled) == before


async def test_who_may_only_view_is_refused_in_one_sentence_and_may_look_at_the_difference(filled: Qd) -> None:
    fleet = msgspec.structs.replace(
        load_fleet(filled.fleet_file), operators=Operators((OPERATOR.name,), ("somebody-else",))
    )
    room = Room(Opening(fleet, OPERATOR, target="production/api"))
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        before = head(filled)
        for key, title in (("R", "rollback"), ("D", "deploy")):
            room.say("")
            await pilot.press(key)
            await pilot.pause()
            assert room.said == (
                f"{title}: {OPERATOR.name} may not change anything; operators.deploy in the fleet file says who may"
            )
            assert "\n" not in room.said
            assert len(room.screen_stack) == 1
        await pilot.press("d")
        await until(pilot, lambda: len(room.screen_stack) == 2, "the card of what differs")
        assert head(filled) == before


def ask(control: Control, kind: str) -> object:
    return control.ask(4, kind)


def wishes() -> dict[str, Callable[[Control], object]]:
    kinds = ("go", "cancel", "pause", "resume", "skip", "retry", "abort")
    return {
        "arm_deploy": lambda control: control.arm_deploy("production/api", "v3"),
        "arm_rollback": lambda control: control.arm_rollback("production/api"),
        "go": lambda control: control.go(4),
        "cancel": lambda control: control.cancel(4),
        "resume": lambda control: control.resume(4, wait=False),
        "retry": lambda control: control.retry(3),
        "note": lambda control: control.note("words"),
        "give_reason": lambda control: control.give_reason(4, "words"),
        **{f"ask {kind}": partial(ask, kind=kind) for kind in kinds},
    }


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("wish", wishes())
def test_control_itself_refuses(filled: Qd, wish: str, reader: str) -> None:
    opened = opening(filled, reader)
    before = head(filled)
    with filled.journal() as journal:
        control = Control(opened.fleet, journal, OPERATOR, read_only=opened.read_only)
        with pytest.raises(Refused) as refused:
            wishes()[wish](control)
        assert WORDS[reader] in str(refused.value)
        assert journal.rollout(4).state is RolloutState.PAUSED
    assert head(filled) == before
