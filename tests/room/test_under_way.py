"""Deploying from the screen, and what can be asked of a rollout under way: on real hosts, in a real terminal."""

import pytest

from quarterdeck.history.records import RolloutState
from tests.room.playing import GROUP, Play, eventually, play
from tests.room.test_terminal_life import stuff

__all__ = ["play"]
pytestmark = [pytest.mark.xdist_group(GROUP), pytest.mark.timeout(300)]


def test_deploy_pause_resume_abort(play: Play) -> None:
    with play.room("staging/web", fleet=play.slow("12s")) as terminal:
        terminal.wait_for("[=v1")
        terminal.send("D")
        terminal.wait_for("versions of staging/web")
        terminal.wait_for("commits: not known")
        terminal.send("tv2\r")
        terminal.wait_for("DEPLOY  web @ STAGING")
        terminal.wait_for("rolling: 2 of 2 hosts change")
        for words in ("1  stg-1", "2  pause 12s", "3  stg-2", "policy allows it"):
            terminal.wait_for(words)
        terminal.wait_for("y deploy")
        terminal.send("y")
        terminal.wait_for("pause 12s, ")  # it is in it
        terminal.send("P")
        terminal.wait_for("paused at once, its time runs on")
        terminal.wait_for("paused  deploy v1 -> v2")
        rollout = play.rollouts("staging/web")[0]
        assert rollout.state is RolloutState.PAUSED

        # pressed again it does nothing, and says why
        terminal.send("P")
        terminal.wait_for("there is nothing to pause")

        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        terminal.send("2")
        terminal.wait_for(f"rollout {rollout.id}  staging/web")
        terminal.wait_for(", alive")
        terminal.wait_for("p resume   A abort")
        terminal.send("p")
        terminal.wait_for("GO ON")
        terminal.wait_for("goes on with the")
        # Dead for a moment, and a key that comes too early is dropped; on a busy machine it may not be too early.
        terminal.send("r")
        terminal.wait_until(
            lambda: "r resume" in terminal.text or "GO ON" not in terminal.text, "the key, or what it does"
        )
        terminal.send("r")
        terminal.wait_gone("GO ON")
        eventually(lambda: play.rollouts("staging/web")[0].state is RolloutState.SUCCEEDED, "it to go on to its end")
    with play.journal() as journal:
        asked = [(request.kind, request.state) for request in journal.requests(rollout.id)]
    assert asked == [("go", "done"), ("pause", "done"), ("resume", "done")]


def test_a_canary_waits_until_it_is_promoted(play: Play) -> None:
    play.ship("staging/web", "v1")
    steps = "[{set_weight: 50}, {pause: {}}, {set_weight: 100}, {bake: 1h}]"
    canary = play.by("canary.yml", f"{{canary: {{steps: {steps}}}}}")
    with play.room("staging/web", fleet=canary) as terminal:
        terminal.wait_for("[=v1")
        terminal.send("D")
        terminal.wait_for("versions of staging/web")
        terminal.send("tv2\r")
        for words in ("1  stg-1", "2  pause until promoted at 50 % (1 of 2 hosts)", "3  stg-2", "4  bake 1h00m"):
            terminal.wait_for(words)
        terminal.wait_for("y deploy")
        terminal.send("y")
        terminal.wait_for("p promote")
        terminal.wait_for("waits at 50 % (1 of 2 hosts), until somebody promotes")
        assert play.runs("staging/web") == ["v2", "v1"]
        terminal.send("p")
        terminal.wait_for("ends the pause now")
        terminal.wait_for("p promote   esc no")
        terminal.send("pp")  # asked once, however often it is pressed
        terminal.wait_gone("GO ON")
        terminal.wait_for("bake 1h00m, ")
        assert play.runs("staging/web") == ["v2", "v2"]
        terminal.send("p")
        terminal.wait_for("ends the bake now")
        terminal.wait_for("p promote   esc no")
        terminal.send("\x1b")
        terminal.wait_gone("GO ON")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        rollout = play.rollouts("staging/web")[0].id
        terminal.send(f":promote {rollout}\r")
        terminal.wait_for("ends the bake now")
        terminal.send("\x1b")
    play.qd("promote", str(rollout), "--wait")
    assert play.rollouts("staging/web")[0].state is RolloutState.SUCCEEDED


def test_abort(play: Play) -> None:
    play.ship("staging/web", "v1")
    play.qd("--fleet", str(play.directory / play.slow("60s")), "deploy", "staging/web", "v2", "--detach")
    rollout = play.rollouts("staging/web")[0]
    eventually(lambda: "v2" in play.runs("staging/web"), "the first host to have it")
    with play.room("staging/web") as terminal:
        terminal.wait_for("[>v2 1/2]")
        terminal.send(":")
        terminal.send(f"abort {rollout.id}\r")
        terminal.wait_for("It stops now")
        terminal.wait_for("Taken back to v1: stg-1")
        terminal.wait_for("y abort it")
        terminal.send("y")
        terminal.wait_gone("ABORT  web")
        eventually(lambda: play.rollouts("staging/web")[0].state is RolloutState.ROLLED_BACK, "it to be taken back")
        terminal.send("2")
        terminal.wait_for("taken back: v1 on")
        terminal.send("A")
        terminal.wait_for("has ended")
    assert play.runs("staging/web") == ["v1", "v1"]
    with play.journal() as journal:
        asked = [(request.kind, request.state) for request in journal.requests(rollout.id)]
    assert asked[-1] == ("abort", "done")


def test_policy_refuses_and_is_set_aside_with_a_reason_only(play: Play) -> None:
    with play.room("production/api") as terminal:
        terminal.wait_for("[=v1")
        terminal.send(":")
        terminal.send("deploy production/api v2\r")
        terminal.wait_for("takes only what has succeeded in staging/api")
        assert "--override" not in terminal.text, "a card has keys, not options"
        terminal.send("o")
        terminal.wait_for("the order of the environments is set aside. Why?")
        terminal.send("\r")  # no reason: nothing
        terminal.send("customers wait\r")
        terminal.wait_for("set aside for this rollout, with your reason")
        terminal.wait_for("y deploy, by typing api")
        terminal.send("y")
        terminal.wait_for("type api to deploy")
        terminal.wait_gone("(wait)")
        terminal.send("api")
        terminal.wait_for("succeeded  deploy v1 -> v2")
        terminal.wait_for("why   customers wait")
    assert play.runs("production/api") == ["v2"] * 3


def test_steps_are_shown_whole_at_80x24(play: Play) -> None:
    bad = play.qd("demo", "break", "staging/worker", status=3, timeout=150)
    assert "rolled back" in bad.stderr
    with play.room("staging/worker", environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("[=v1")
        terminal.send("2")
        terminal.wait_for("rolled back  deploy v1 -> v3")
        terminal.wait_for("1 taken back")
        terminal.send("\r" + "jjj")
        terminal.wait_for(">x")
        terminal.send("\r")
        terminal.wait_for("operation")
        terminal.wait_for("did not become healthy within")
        terminal.send("\x1b")
        terminal.wait_gone("operation")
        terminal.send("Q")
        assert terminal.wait_ended() == 0


def test_a_terminal_that_nobody_reads_holds_no_rollout_up(play: Play) -> None:
    """The room draws into a terminal that takes no more, while its own rollout goes on to its end; then it shows that."""
    play.ship("staging/web", "v1")
    slow = str(play.directory / play.slow("8s"))
    with play.room("staging/web") as terminal:
        terminal.wait_for("[=v1")
        play.qd("--fleet", slow, "deploy", "staging/web", "v2", "--detach")
        terminal.wait_until(lambda: "[>v2" in terminal.text or "[=v2" in terminal.text, "the rollout to be seen")
        terminal.paused = True
        stuff(terminal)
        eventually(lambda: play.rollouts("staging/web")[0].state is RolloutState.SUCCEEDED, "the rollout's end")
        assert play.runs("staging/web") == ["v2", "v2"]
        terminal.paused = False
        terminal.send("1")
        terminal.wait_for("=v2")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
