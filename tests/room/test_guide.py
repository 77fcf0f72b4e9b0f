"""The guided first incident: it goes on only by what the fleet does, is skipped, replayed, and is for the playground alone."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.guide import Incident, Stage, guide_rows, stage_of
from quarterdeck.tui.room.keymap import DEFAULT
from quarterdeck.tui.room.rows import width_of
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal

pytestmark = pytest.mark.timeout(400)  # what its tests may wait, all together, on a busy machine

INCIDENT = Incident("production/web", "v4", shipped=4)


@pytest.fixture
def rollout(filled: Qd) -> Rollout:
    with filled.journal() as journal:
        return journal.rollouts(limit=1)[0]


def picture(
    rollout: Rollout, version: str, kind: RolloutKind | None = None, shipped: RolloutState = RolloutState.SUCCEEDED
) -> Picture:
    """production/web on ``version``, with a rollout of ``kind`` under way, and what became of shipping v4."""
    moving = None
    if kind is not None:
        moving = RolloutSeen(
            msgspec.structs.replace(rollout, id=9, kind=kind, state=RolloutState.RUNNING, epoch=3), "v4", "v2"
        )
    seen = TargetSeen("production/web", "production", "web", release="r", version=version, moving=moving)
    done = RolloutSeen(msgspec.structs.replace(rollout, id=4, state=shipped), "v2", "v4")
    return Picture("playground", ("production",), ("web",), {"production/web": seen}, (done,))


def test_the_story_follows_what_the_fleet_does(rollout: Rollout) -> None:
    running = RolloutState.RUNNING
    steps = [
        (picture(rollout, "v2", shipped=running), False, Stage.RELEASING),
        (picture(rollout, "v2", RolloutKind.DEPLOY, running), False, Stage.RELEASING),
        (picture(rollout, "v4"), False, Stage.BAD),
        (picture(rollout, "v4"), True, Stage.CARD),
        (picture(rollout, "v4"), False, Stage.BAD),  # esc: nothing was changed
        (picture(rollout, "v4"), True, Stage.CARD),
        (picture(rollout, "v4", RolloutKind.ROLLBACK), True, Stage.GOING_BACK),
        (picture(rollout, "v2"), True, Stage.DONE),
        (picture(rollout, "v2"), False, Stage.DONE),
    ]
    stage = Stage.RELEASING
    for now, card_open, wanted in steps:
        stage = stage_of(INCIDENT, now, stage, card_open=card_open)
        assert stage is wanted


def test_a_release_that_never_came_there_is_no_story(rollout: Rollout) -> None:
    cancelled = picture(rollout, "v2", shipped=RolloutState.CANCELLED)
    assert stage_of(INCIDENT, cancelled, Stage.RELEASING, card_open=False) is Stage.FAILED


@pytest.mark.parametrize("stage", Stage)
def test_its_words_fit_the_smallest_usual_terminal(stage: Stage) -> None:
    rows = guide_rows(stage, INCIDENT, DEFAULT)
    assert len(rows) == 2
    assert max(width_of(line) for line in rows) <= 80


async def test_elsewhere_there_is_no_guide(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.press("colon", *"guide", "enter")
        await until(pilot, lambda: "qd demo opens it" in room.said, "the refusal")
        assert not room.pane("guide").display


def test_the_demo_on_a_terminal_ends_its_traffic_with_itself(tmp_path: Path) -> None:
    """Real: a playground, two releases on it, the room with the guide, a bad release that arrives while one watches; and all of it again
    on a playground that somebody has played with."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(tmp_path / "state"), "LANG": "C.UTF-8",
        "QD_PLAYGROUND_ENGINE": "no",
    }  # fmt: skip
    qd = [sys.executable, "-m", "quarterdeck.tui.main"]
    try:
        with Terminal(["env", "-C", str(home), *qd, "demo"], environment=environment) as terminal:
            terminal.wait_for("guide: a first incident", deadline=90.0)
            terminal.wait_for("v4 is bad", deadline=60.0)
            traffic = loads(tmp_path)
            assert traffic
            terminal.send("\x1b")
            terminal.wait_gone("guide: a first incident")
            terminal.send(":guide\r")
            terminal.wait_for("v4 is bad")
            terminal.send("R")  # what it says: R, then y
            terminal.wait_for("The card is armed")
            terminal.wait_for("y roll back", deadline=60.0)
            terminal.send("y")
            terminal.wait_for("is back on what worked", deadline=90.0)
            terminal.send("\x11")  # ctrl-q leaves from a card too
            assert terminal.wait_ended() == 0
            terminal.wait_until(lambda: not loads(tmp_path), "the traffic to end")
        # Played with: a target that is back on v1, where a deploy stands still from now on until somebody promotes it.
        fleet = tmp_path / "state/quarterdeck/playground/fleet.yml"
        back = ["--fleet", str(fleet), "rollback", "production/api", "--yes", "--wait"]
        with Terminal(["env", "-C", str(home), *qd, *back], environment=environment) as terminal:
            assert terminal.wait_ended(deadline=60.0) == 0
        rolling, canary = "{rolling: {max_unavailable: 1}}", "{canary: {steps: [{set_weight: 34}, {pause: {}}]}}"
        fleet.write_text(fleet.read_text().replace(rolling, canary))
        with Terminal(["env", "-C", str(home), *qd, "demo"], environment=environment) as terminal:
            terminal.wait_for("guide: a first incident", deadline=60.0)
            terminal.wait_for("api v2 waits at 34 %")
            terminal.send("\x11")
            assert terminal.wait_ended() == 0
    finally:
        with Terminal(["env", "-C", str(home), *qd, "demo", "down"], environment=environment) as terminal:
            assert terminal.wait_ended() == 0


def loads(state: Path) -> list[int]:
    """Processes that send traffic to the playground below ``state``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"load" in words and b"demo" in words and str(state).encode() in variables:
            found.append(int(process.name))
    return found
