"""The rollback card in real terminals, on real hosts: `R`, look, `y`; and everything that must not start one."""

import asyncio
import os
import re
import signal
import time

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.opening import Opening
from tests.room.playing import GROUP, LONG, Play, eventually, play
from tests.room.seen import until
from tests.room.terminal import Terminal
from tests.room.test_terminal_life import stuff

__all__ = ["play"]
pytestmark = [pytest.mark.xdist_group(GROUP), pytest.mark.timeout(300)]

READY = "hosts answered"


def titles(terminal: Terminal) -> list[str]:
    return [found.decode() for found in re.findall(rb"\x1b\]2;([^\x07]*)\x07", terminal.received)]


def opened(terminal: Terminal, target: str) -> None:
    """The card, with all its facts, and its key alive."""
    service, environment = target.split("/")[1], target.split("/")[0].upper()
    terminal.send("R")
    terminal.wait_for(f"ROLL BACK  {service} @ {environment}")
    terminal.wait_for(READY)
    terminal.wait_for("y roll back")


def test_seen_rolled_back_gone_at_80x24_without_colour(play: Play) -> None:
    play.ship("production/api", "v2")
    with play.room("production/api", environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("[=v2")
        opened(terminal, "production/api")
        shown = terminal.text
        for words in (
            "PRODUCTION",
            "from  v2",
            "to    v1",
            "3 of 3 hosts change: prod-1 prod-2 prod-3",
            "copy of v1 on 3/3",
        ):
            assert words in shown, shown
        assert b"\x1b[38;" not in terminal.received
        terminal.send("y")
        terminal.wait_for("succeeded  rollback v2 -> v1")
        terminal.wait_for("v1 runs on 3 of 3 hosts, read back and healthy")
        terminal.wait_until(
            lambda: titles(terminal)[-1:] == ["qd playground: production/api rollback SUCCEEDED"], "the title"
        )
        assert b"\x07" in re.sub(rb"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", b"", terminal.received), "the bell"
        terminal.send("n")
        terminal.wait_for("Why it was needed")
        terminal.send("v2 answers 500\r")
        terminal.wait_for("why   v2 answers 500")
        terminal.send("\x1b")
        terminal.wait_gone("ROLL BACK  ")
        terminal.wait_for("[=v1")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
    assert play.runs("production/api") == ["v1"] * 3
    done = play.rollouts("production/api")[0]
    assert (done.kind, done.state, done.reason) == (RolloutKind.ROLLBACK, RolloutState.SUCCEEDED, "v2 answers 500")


def test_typed_at_once_it_starts_nothing_and_escape_gives_the_worker_up(play: Play) -> None:
    play.ship("staging/api", "v2")
    with play.room("staging/api") as terminal:
        terminal.wait_for("[=v2")
        terminal.send("Ry\ry")
        terminal.wait_for("ROLL BACK  api @ STAGING")
        terminal.wait_for(READY)
        terminal.wait_for("y roll back")  # the dead time is over, and nothing has gone
        armed = play.rollouts("staging/api")[0]
        assert (armed.kind, armed.state, armed.epoch) == (RolloutKind.ROLLBACK, RolloutState.ARMED, 0)
        terminal.send("\r")
        terminal.send("\x1b")
        terminal.wait_gone("ROLL BACK  ")
        eventually(
            lambda: play.rollouts("staging/api")[0].state is RolloutState.CANCELLED, "the armed worker to be cancelled"
        )
    assert play.rollouts("staging/api")[0].id == armed.id
    assert play.runs("staging/api") == ["v2", "v2"]


def test_what_was_typed_while_the_loop_stood_still_starts_nothing(play: Play) -> None:
    play.ship("staging/api", "v2")
    with play.room("staging/api") as terminal:
        terminal.wait_for("[=v2")
        terminal.send("R")
        terminal.wait_for("ROLL BACK  api @ STAGING")
        os.kill(terminal.pid, signal.SIGSTOP)
        try:
            terminal.send("y")
            time.sleep(0.5)  # longer than the dead time: time passes, and the loop has not turned
            terminal.send("y\ry")
        finally:
            os.kill(terminal.pid, signal.SIGCONT)
        terminal.wait_for(READY)
        terminal.wait_for("y roll back")
        armed = play.rollouts("staging/api")[0]
        assert (armed.kind, armed.epoch) == (RolloutKind.ROLLBACK, 0)
        terminal.send("y")  # and that was all that was missing
        terminal.wait_for("succeeded")
        assert play.rollouts("staging/api")[0].id == armed.id


def test_what_is_chosen_behind_the_card_does_not_change_what_it_does(play: Play) -> None:
    play.ship("staging/web", "v2")
    with play.room("staging/web") as terminal:
        terminal.wait_for("[=v2")
        opened(terminal, "staging/web")
        terminal.send("jjjkl")  # none of these reaches the matrix
        play.ship("dev/api", "v2")  # news change its order
        terminal.wait_for("y roll back")
        terminal.send("y")
        terminal.wait_for("succeeded  rollback v2 -> v1")
    assert play.runs("staging/web") == ["v1", "v1"]
    assert play.rollouts("staging/web")[0].kind is RolloutKind.ROLLBACK


def test_a_killed_room_leaves_the_rollout_alone_and_a_new_one_shows_it(play: Play) -> None:
    play.ship("production/web", "v2")
    with play.room("production/web") as terminal:
        terminal.wait_for("[=v2")
        opened(terminal, "production/web")
        terminal.send("y")
        eventually(lambda: play.rollouts("production/web")[0].epoch > 0, "the rollback to begin")
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.wait_ended()
    with play.room("production/web") as again:
        again.wait_for("[=v1")
    assert play.rollouts("production/web")[0].state is RolloutState.SUCCEEDED
    assert play.runs("production/web") == ["v1"] * 3


def test_a_rollout_does_not_wait_for_a_terminal_that_nobody_reads(play: Play) -> None:
    with play.room("staging/worker", fleet=play.slow("8s")) as terminal:
        terminal.wait_for("[=v1")
        terminal.send(":deploy staging/worker v2\r")
        terminal.wait_for("y deploy")
        terminal.send("y")
        terminal.wait_for("running  deploy v1 -> v2")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY  ")
        terminal.paused = True
        stuff(terminal)
        eventually(lambda: play.rollouts("staging/worker")[0].state is RolloutState.SUCCEEDED, "the deploy to end")
        terminal.paused = False
        terminal.wait_for("[=v2")
    assert play.runs("staging/worker") == ["v2", "v2"]


def test_of_two_rooms_one_wins_and_the_other_is_told_who(play: Play) -> None:
    play.ship("production/worker", "v2")
    with play.room("production/worker") as first, play.room("production/worker", size=(120, 35)) as second:
        for terminal in (first, second):
            terminal.wait_for("[=v2")
            opened(terminal, "production/worker")
        first.send("y")
        first.wait_for("succeeded  rollback v2 -> v1")
        winner = next(r for r in play.rollouts("production/worker") if r.epoch > 0)
        told = second.wait_for(f"rollout {winner.id} (rollback v1) by {winner.requested_by.split('@')[0]}")
        assert "look again" in told, "before any key: what it shows is no more"
        second.wait_gone("y roll back")
        second.send("y")
        second.wait_for("nothing was started: r looks again")
        second.send("r")
        second.wait_gone("came in between")
    begun = [r for r in play.rollouts("production/worker") if r.kind is RolloutKind.ROLLBACK and r.epoch > 0]
    assert len(begun) == 1
    assert play.runs("production/worker") == ["v1"] * 3


async def test_y_on_a_card_that_became_old_this_moment_is_answered(play: Play) -> None:
    """The dead time begins anew then, and the key may fall into it: nothing was started, and that is said."""
    play.ship("dev/worker", "v2")
    fleet = load_fleet(play.directory / "fleet.yml")
    room = Room(Opening(fleet, current_operator(), target="dev/worker"))
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("R")
        card = next(room.cards())
        assert isinstance(card, RollbackCard)
        await until(pilot, lambda: card.planned and card.guard.open, "the card to be ready")
        await asyncio.to_thread(play.qd, "rollback", "dev/worker", "--yes", timeout=LONG)
        await until(pilot, lambda: card.old, "the news of the other rollout")
        card.guard.restart()
        await pilot.press("y")
        assert "nothing was started: r looks again" in card.said
        assert not card.went
    assert play.runs("dev/worker") == ["v1"]


async def test_a_stale_plan_is_refused_and_armed_anew(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.ship("dev/web", "v2")
    fleet = load_fleet(play.directory / "fleet.yml")
    room = Room(Opening(fleet, current_operator(), target="dev/web"))
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("R")
        card = next(room.cards())
        assert isinstance(card, RollbackCard)
        await until(pilot, lambda: card.planned and card.guard.open, "the card to be ready")
        shown = card.rollout_id
        assert shown is not None
        assert card.seen is not None
        now = card.seen.rollout
        monkeypatch.setattr(card, "news", lambda _news: None)  # what changes now is not seen before the key
        with Journal.open(play.directory / "state", operator=current_operator()) as journal:
            journal.set_plan(shown, now.plan, "f" * 64, to_release=now.to_release, from_release=now.from_release)
        await pilot.press("y")
        monkeypatch.undo()
        await until(pilot, lambda: card.rollout_id not in (None, shown), "it to be armed anew")
        assert "has changed since it was shown" in card.said
        await until(pilot, lambda: card.planned and card.guard.open, "the new plan")
        assert play.runs("dev/web") == ["v2"]
        await pilot.press("y")
        await until(pilot, lambda: card.seen is not None and card.seen.ended, "the rollback")
    assert play.runs("dev/web") == ["v1"]
    states = {rollout.id: rollout.state for rollout in play.rollouts("dev/web")}
    assert states[shown] is RolloutState.CANCELLED


def test_leaving_the_room_gives_up_what_is_armed(play: Play) -> None:
    play.ship("dev/api", "v2")
    with play.room("dev/api") as terminal:
        terminal.wait_for("[=v2")
        opened(terminal, "dev/api")
        terminal.send("\x11")  # ctrl-q
        assert terminal.wait_ended() == 0
    eventually(lambda: play.rollouts("dev/api")[0].state is RolloutState.CANCELLED, "the armed worker to leave")
    assert play.runs("dev/api") == ["v2"]


def test_a_red_line_asks_for_the_services_name(play: Play) -> None:
    play.ship("staging/worker", "v2")
    play.qd("rollback", "staging/worker", "--yes", timeout=LONG)  # v2 is marked bad by it, and v1 is all that is left
    with play.room("staging/worker") as terminal:
        terminal.wait_for("[=v1")
        terminal.send("R")
        terminal.wait_for("Nothing was started.")
        terminal.wait_for("no earlier release that worked")
        terminal.send("v")
        terminal.wait_for("BAD")
        terminal.send("\r")
        terminal.wait_for("was marked bad")
        terminal.send("o")
        terminal.wait_for("is set aside. Why?")
        terminal.send("v1 is worse\r")
        terminal.wait_for("v2 was bad")
        terminal.wait_for("y roll back, by typing worker")
        terminal.send("y")
        terminal.wait_for("type worker to roll back")
        terminal.send("worker")  # at once: typed ahead
        terminal.wait_gone("(wait)")
        terminal.send("web\r")
        terminal.wait_for("> web_")
        assert play.rollouts("staging/worker")[0].epoch == 0
        terminal.send("\x7f\x7f\x7f" + "worker")
        terminal.wait_for("succeeded  rollback v1 -> v2")
    assert play.runs("staging/worker") == ["v2", "v2"]
