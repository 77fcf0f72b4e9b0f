"""The alert band: it never lets go of what is wrong, and names keys only where they act on what it speaks of."""

from datetime import timedelta

import msgspec

from quarterdeck.config.load import load_fleet
from quarterdeck.config.settings import Settings
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.picture import take_picture
from quarterdeck.rollouts.promoting import failed_at
from quarterdeck.rollouts.rollout_seen import RolloutSeen
from quarterdeck.rollouts.target_seen import WayBack
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.overview.cells import in_trouble
from quarterdeck.tui.room.overview.worst import waiting_key
from tests.cli.qd_command import Qd
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
    def key(outcome: str) -> str:
        return waiting_key(RolloutSeen(rollout(state=RolloutState.PAUSED, outcome=outcome), "v1", "v2"))

    assert key("paused by lena@bastion, because: INC-77") == "p resume"
    assert key("waits at 5 % (1 of 5 hosts), until somebody promotes: qd promote 7") == "p promote"


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
        await until(pilot, lambda: "no way back" not in pane_text(room, "alert"), "nothing is in the way")
        room.picture = msgspec.structs.replace(picture, targets=fine | gone, rollouts=())
        room.renew()
        service = names[0].partition("/")[2]
        await until(
            pilot, lambda: f"~ PRODUCTION {service} v2 no way back to v1" in pane_text(room, "alert"), "what has closed"
        )
        assert "! choose it" in pane_text(room, "alert")
        await pilot.press("exclamation_mark")
        assert room.place.target == names[0]
        await until(pilot, lambda: "7 why" in pane_text(room, "alert"), "where it is told")


async def test_a_rollout_that_stands_at_a_failure_is_what_is_wrong(make_acme: MakeAcme) -> None:
    """Nobody looks into it by itself: a person is waited for, and its hosts may all be healthy."""
    room = make_acme(target="preprod/web")
    async with room.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        seen = room.picture.targets["preprod/web"]
        assert seen.moving is not None
        assert not in_trouble(seen), "somebody holds it: nothing has failed"
        outcome = "analysis golden-signals failed: 17 % of 126 requests bad\x1b[2J; retry, skip or abort"
        failed = msgspec.structs.replace(
            seen.moving,
            rollout=msgspec.structs.replace(seen.moving.rollout, outcome=outcome),
            steps=(msgspec.structs.replace(seen.moving.steps[0], state=StepState.FAILED), *seen.moving.steps[1:]),
        )
        stands = msgspec.structs.replace(seen, moving=failed)
        room.picture = msgspec.structs.replace(room.picture, targets={"preprod/web": stands}, rollouts=(failed,))
        room.renew()
        words = f"!! preprod web v89: rollout {failed.id}: analysis golden-signals failed: 17 % of 126 requests bad"
        await until(pilot, lambda: words in pane_text(room, "alert"), "what failed")
        assert "R back  2 rollout" in pane_text(room, "alert")
        held = msgspec.structs.replace(failed.rollout, outcome="paused by lena@bastion")
        assert failed_at(held, failed.steps) is None
