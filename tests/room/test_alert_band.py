"""The alert band: it never lets go of what is wrong, and names keys only where they act on what it speaks of."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.settings import Settings
from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import WayBack
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.approval import ApprovalCard
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.overview.worst import waiting_ways
from tests.cli.qd_command import OPERATOR, Qd, release
from tests.rollouts.test_telling import rollout
from tests.room.acme import NOW
from tests.room.conftest import MakeAcme, MakeRoom
from tests.room.seen import pane_text, until

WORST = "production/api"


async def test_keys_are_named_for_the_chosen_target_only_and_one_key_chooses_the_worst(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/web")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "!! PRODUCTION api" in pane_text(room, "alert"), "what is wrong")
        elsewhere = pane_text(room, "alert")
        assert "! choose it" in elsewhere
        assert "R back" not in elsewhere, "R would roll back production/web"
        assert "P hold" not in elsewhere
        await pilot.press("exclamation_mark")
        assert room.place.target == WORST
        await until(pilot, lambda: "R back  P hold" in pane_text(room, "alert"), "the keys that help")
        await pilot.press("R")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.target for card in room.cards() if isinstance(card, ArmedCard)] == [WORST]


async def test_the_band_names_an_operator_s_own_keys(make_acme: MakeAcme) -> None:
    own = Settings(keymap={"rollback": ("B",), "pause": ()})
    room = make_acme(target=WORST, settings=own)
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "B back" in pane_text(room, "alert"), "the operator's own key")
        assert "hold" not in pane_text(room, "alert"), "no key holds it any more"


async def test_a_sentence_lies_over_what_is_wrong_for_a_while_only(make_acme: MakeAcme) -> None:
    now = [NOW]
    room = make_acme(clock=lambda: now[0])
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "!! PRODUCTION api" in pane_text(room, "alert"), "what is wrong")
        await pilot.press("o")
        assert "matrix sorted by name" in pane_text(room, "alert")
        now[0] += timedelta(seconds=9)
        room.renew()
        assert "matrix sorted by name" in pane_text(room, "alert")
        now[0] += timedelta(seconds=2)
        room.renew()
        assert "!! PRODUCTION api" in pane_text(room, "alert"), "nobody may have pressed a key for hours"


async def test_that_the_terminal_is_too_small_is_said_all_the_time(make_acme: MakeAcme) -> None:
    now = [NOW]
    room = make_acme(clock=lambda: now[0])
    async with room.run_test(size=(59, 16)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("o")
        now[0] += timedelta(seconds=11)
        room.renew()
        assert "too small" in pane_text(room, "alert")


def test_what_an_operator_holds_is_resumed_and_what_waits_by_its_own_plan_is_promoted() -> None:
    pause = Step(7, 3, "", "pause", 1, {}, "", StepState.STARTED, 1, 1, {}, None, None)

    def key(outcome: str, *steps: Step) -> str:
        seen = RolloutSeen(rollout(state=RolloutState.PAUSED, outcome=outcome), "v1", "v2", steps)
        return " ".join(waiting_ways(seen)[0])

    assert key("paused by lena@bastion, because: INC-77", pause) == "promote resume"
    assert key("paused by lena@bastion, because: INC-77") == "promote resume"
    assert key("waits at 5 % (1 of 5 hosts), until somebody promotes: qd promote 7", pause) == "promote promote"


def stands(qd: Qd, target: str, action: str = "pause", before: int = 0, said: str = "waits at 5 %") -> int:
    """A deploy that stands at a step of its plan; its number. ``before``: so many others of the target have ended."""
    with qd.journal() as journal:
        for number in range(before + 1):
            made = release(f"v{number + 1}", target=target)
            journal.put_release(made)
            rollout = journal.arm(target, RolloutKind.DEPLOY, from_release=None, to_release=made.id, reason="test")
            plan: dict[str, object] = {"summary": "", "from": None, "to": made.id, "warnings": []}
            journal.set_worker(rollout.id, 4000 + number, 1, "boot")
            journal.set_plan(rollout.id, plan, "0" * 64, to_release=made.id, from_release=None)
            epoch = journal.begin(rollout.id, preempt="nothing")
            journal.add_steps(rollout.id, epoch, [NewStep(1, "", action, 1, {"approval": {"count": 1}})])
            journal.start_steps(rollout.id, epoch, [1])
            if action == "hook":
                journal.end_step(rollout.id, epoch, 1, StepState.FAILED, {"error": said})
            if number < before:
                journal.set_state(rollout.id, epoch, RolloutState.CANCELLED, outcome="")
        journal.set_state(rollout.id, epoch, RolloutState.PAUSED, outcome=said)
    return rollout.id


@pytest.fixture
def make_quiet(tmp_path: Path) -> tuple[Qd, Callable[..., Room]]:
    """A fleet with an empty journal, and what makes a room on it: nothing is wrong anywhere."""
    qd = Qd(tmp_path)
    qd.write_fleet()
    return qd, lambda **options: Room(Opening(load_fleet(qd.fleet_file), OPERATOR, observe=False, **options))


async def test_who_waits_elsewhere_is_chosen_first(make_quiet: tuple[Qd, Callable[..., Room]]) -> None:
    """The key that promotes would open the card of another target's rollout."""
    qd, make_room = make_quiet
    id = stands(qd, "staging/api", before=1)
    room = make_room(target="production/web", settings=Settings(keymap={"promote": ("u",)}))
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "? staging api v2 waits at 5 %" in pane_text(room, "alert"), "what waits")
        assert "! choose it" in pane_text(room, "alert")
        assert "promote " not in pane_text(room, "alert")
        await pilot.press("exclamation_mark")
        assert (room.place.target, room.chosen_rollout) == ("staging/api", id)
        await until(pilot, lambda: "u promote" in pane_text(room, "alert"), "the operator's own key for it")
        await pilot.press("2")
        room.choose(rollout=id - 1)
        await until(
            pilot, lambda: "! choose it" in pane_text(room, "alert"), "another rollout of it is chosen in the list"
        )
        await pilot.press("exclamation_mark")
        assert room.chosen_rollout == id


async def test_the_key_for_a_plan_opens_the_one_that_the_band_speaks_of(
    make_quiet: tuple[Qd, Callable[..., Room]],
) -> None:
    qd, make_room = make_quiet
    oldest = stands(qd, "staging/api", "approval")
    newest = stands(qd, "staging/web", "approval")
    room = make_room(target="production/web")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "? staging api" in pane_text(room, "alert"), "what waits")
        assert "a approve (+1 more)" in pane_text(room, "alert")
        await pilot.press("a")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.rollout_id for card in room.cards() if isinstance(card, ApprovalCard)] == [oldest]
        await pilot.press("escape")
        await until(pilot, lambda: not list(room.cards()), "no card")
        room.choose("staging/web")
        await until(pilot, lambda: "! choose it" in pane_text(room, "alert"), "a would open the chosen target's")
        await pilot.press("a")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.rollout_id for card in room.cards() if isinstance(card, ApprovalCard)] == [newest]


async def test_windows_are_those_of_the_environment_that_is_frozen(make_quiet: tuple[Qd, Callable[..., Room]]) -> None:
    qd, make_room = make_quiet
    with qd.journal() as journal:
        journal.freeze("production", None, "INC-77")
    room = make_room(target="staging/web")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "# PRODUCTION is frozen" in pane_text(room, "alert"), "what is frozen")
        assert "! choose it" in pane_text(room, "alert")
        await pilot.press("exclamation_mark")
        assert room.place.target == "production/web"
        await until(pilot, lambda: "F windows" in pane_text(room, "alert"), "the key for its windows")


async def test_a_rollout_that_failed_at_a_step_and_asks_is_what_is_wrong(
    make_quiet: tuple[Qd, Callable[..., Room]],
) -> None:
    """Its hosts may all be healthy: half of them on each release, until somebody says how it goes on."""
    qd, make_room = make_quiet
    stands(qd, "staging/web")
    stands(qd, "staging/api", "hook", said="stg-1: hook 'bin/smoke' ended with 1")
    room = make_room(target="staging/api")
    async with room.run_test(size=(120, 30)) as pilot:
        await until(
            pilot, lambda: "!! staging api v1: rollout 2 stands still: stg-1: hook" in pane_text(room, "alert"), "it"
        )
        assert "A take it back  p go on" in pane_text(room, "alert")
        services = [line.split()[0].lstrip(">") for line in pane_text(room, "matrix").splitlines() if "v1" in line]
        assert services == ["api", "web"], "what has failed comes first"


async def test_a_rollout_that_is_held_between_two_steps_is_said(make_quiet: tuple[Qd, Callable[..., Room]]) -> None:
    qd, make_room = make_quiet
    stands(qd, "staging/api", "stage", said="paused by lena@bastion")
    room = make_room(target="staging/api")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "? staging api v1 paused by lena@bastion" in pane_text(room, "alert"), "it")
        assert "p resume" in pane_text(room, "alert")


async def test_a_way_back_that_has_closed_is_said_where_nothing_is_wrong(filled: Qd, make_room: MakeRoom) -> None:
    """And nothing of it where the journal tells of something worse, or nothing is in the way."""
    with filled.journal() as journal:
        picture = take_picture(load_fleet(filled.fleet_file), journal)
    fine = {
        name: msgspec.structs.replace(
            seen, moving=None, last=None, release="r2", version="v2", health="healthy", hosts=()
        )
        for name, seen in picture.targets.items()
    }
    names = [name for name in fine if name.startswith("production/")]
    shut = WayBack("degraded", "r1", "v1", ("web-2: no copy of v1",))
    gone = {name: msgspec.structs.replace(fine[name], back=shut) for name in names}
    room = make_room(target=next(name for name in fine if name not in names))
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        room.picture = msgspec.structs.replace(picture, targets=fine, rollouts=())
        room.renew()
        await until(pilot, lambda: "way back" not in pane_text(room, "alert"), "nothing is in the way")
        room.picture = msgspec.structs.replace(picture, targets=fine | gone, rollouts=())
        room.renew()
        service = names[0].partition("/")[2]
        await until(
            pilot,
            lambda: f"~ PRODUCTION {service} v2 way back to v1 not whole" in pane_text(room, "alert"),
            "what has closed",
        )
        assert "! choose it" in pane_text(room, "alert")
        await pilot.press("exclamation_mark")
        assert room.place.target == names[0]
        await until(pilot, lambda: "7 why" in pane_text(room, "alert"), "where it is told")
