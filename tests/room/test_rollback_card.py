"""The rollback card in real terminals, on real hosts: `R`, look, `y`; and everything that must not start one."""

import os
import re
import signal
import time

import pytest

from quarterdeck.history.records import RolloutKind, RolloutState
from tests.room.playing import GROUP, LONG, Play, eventually, play
from tests.room.terminal import Terminal

__all__ = ["play"]
pytestmark = pytest.mark.xdist_group(GROUP)

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
        terminal.wait_until(lambda: titles(terminal)[-1:] == ["qd: production/api rollback SUCCEEDED"], "the title")
        assert b"\x07" in re.sub(rb"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", b"", terminal.received), "the bell"
        terminal.send("n")
        terminal.wait_for("Why it was needed")
        terminal.send("v2 answers 500\r")
        terminal.wait_for("why   v2 answers 500")
        terminal.send("\x1b")
        terminal.wait_gone("ROLL BACK")
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
        terminal.wait_gone("ROLL BACK")
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
            id = play.rollouts("staging/api")[0].id
            terminal.send("y")
            time.sleep(0.5)  # longer than the dead time: time passes, and the loop has not turned
            terminal.send("y\ry")
        finally:
            os.kill(terminal.pid, signal.SIGCONT)
        terminal.wait_for(READY)
        terminal.wait_for("y roll back")
        assert play.rollouts("staging/api")[0].epoch == 0
        terminal.send("y")  # and that was all that was missing
        terminal.wait_for("succeeded")
        assert play.rollouts("staging/api")[0].id == id


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


def test_of_two_rooms_one_wins_and_the_other_is_told_who(play: Play) -> None:
    play.ship("production/worker", "v2")
    with play.room("production/worker") as first, play.room("production/worker", size=(120, 35)) as second:
        for terminal in (first, second):
            terminal.wait_for("[=v2")
            opened(terminal, "production/worker")
        first.send("y")
        first.wait_for("succeeded  rollback v2 -> v1")
        second.send("y")
        second.wait_for("Nothing was started.")
        winner = next(r for r in play.rollouts("production/worker") if r.epoch > 0)
        assert f"rollout {winner.id}" in second.text
        assert winner.requested_by.split("@")[0] in second.text
    begun = [r for r in play.rollouts("production/worker") if r.kind is RolloutKind.ROLLBACK and r.epoch > 0]
    assert len(begun) == 1
    assert play.runs("production/worker") == ["v1"] * 3


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
        terminal.wait_for("v2 was bad")
        terminal.wait_for("y roll back, by typing worker")
        terminal.send("y")
        terminal.wait_for("type worker to roll back")
        terminal.send("worker")  # at once: typed ahead
        terminal.wait_until(lambda: "(wait)" not in terminal.text, "the dead time to end")
        terminal.send("web\r")
        terminal.wait_for("> web_")
        assert play.rollouts("staging/worker")[0].epoch == 0
        terminal.send("\x7f\x7f\x7f" + "worker")
        terminal.wait_for("succeeded  rollback v1 -> v2")
    assert play.runs("staging/worker") == ["v2", "v2"]
