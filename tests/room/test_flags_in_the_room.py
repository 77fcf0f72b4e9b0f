"""`:flag-off` in a real terminal: the kill switch, while a rollout puts the flag up."""

from typing import Any

import pytest

from quarterdeck.history.records import RolloutState
from quarterdeck.tui.room.cards.deploy import wave_rows
from tests.driver import TARGET
from tests.field import Field
from tests.flagged import UNTIL_PROMOTED, Flagged
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


@pytest.fixture
def flagged(tmp_path_factory: pytest.TempPathFactory, sshd_fleet: SshdFleet) -> Flagged:
    field = Field(tmp_path_factory.mktemp("flags"), sshd_fleet)
    field.clear_hosts()
    return Flagged(field)


def test_one_line_switches_it_off(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED, {"set_flag": 100})
    flagged.waiting(rollout, "pause")
    environment = {"HOME": str(field.directory), "PATH": "/usr/bin:/bin", "QD_CACHED": "1"}
    with Terminal(field.command(TARGET, "--cached"), size=(150, 30), environment=environment) as terminal:
        terminal.wait_for("waits at 5 % of flag checkout")
        terminal.send(":flag-off\r")
        terminal.wait_for(":flag-off FLAG WHY switches a feature flag off; there is checkout")
        terminal.send(":flag-off chekout it burns\r")
        terminal.wait_for("did you mean checkout?")
        assert flagged.percent == 5
        terminal.send(":flag-off checkout carts are lost\r")
        terminal.wait_for("switched checkout off: it was at 5 %; rollout 2 of staging/web sets it and goes no further")
        assert flagged.percent == 0
        terminal.send("2")
        terminal.wait_for("! flag checkout was switched off at")
        flagged.files[0].unlink()
        terminal.send(":flag-off checkout once more\r")
        terminal.wait_for("flag checkout on host-1: read ~/flags.json: there is no file")
    with field.journal(read_only=True) as journal:
        told = [
            (event.kind, event.body["reason"]) for event in journal.events(target=TARGET) if "by_hand" in event.body
        ]
    assert told == [("flag.set", "carts are lost"), ("flag.failed", "once more")]
    field.qd("abort", str(rollout), "--wait", status=4)
    assert field.ended(rollout).state is RolloutState.FAILED


def test_cards_show_to_what_the_flag_goes_and_when() -> None:
    here = {"host": "(here)", "flag": "checkout"}
    steps: list[dict[str, Any]] = [
        {"action": "switch", "host": "a", "batch": 1},
        {"action": "flag", "batch": 2, "percent": 5, **here},
        {"action": "pause", "host": "(here)", "batch": 3, "promote": True},
        {"action": "flag", "batch": 4, "percent": 100, **here},
        {"action": "flag", "batch": 5, "percent": 100, "verify": True, **here},
    ]
    assert ["".join(span.text for span in row)[6:] for row in wave_rows(steps, 80)] == [
        "a",
        "flag checkout to 5 %",
        "pause until promoted",
        "flag checkout to 100 %",
    ]
