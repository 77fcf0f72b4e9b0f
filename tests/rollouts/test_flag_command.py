"""`qd flag`: how each stands, and the kill switch; `qd doctor` looks at them too."""

import asyncio
import getpass
import json
from typing import Any

import pytest

from quarterdeck.history.errors import JournalFull
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.flags import AtOnce, turn_off
from quarterdeck.rollouts.logs.merged import open_backend
from tests.field import TARGET, Field
from tests.flagged import UNTIL_PROMOTED, Flagged

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


def read(field: Field, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(field.qd("flag", "--json", *arguments, status=status).stdout)["flags"]
    return found


def test_it_tells_how_each_stands(flagged: Flagged) -> None:
    field = flagged.field
    broken = {"command": {"read": "exit 3", "set": "true"}}
    field.extra["flags"]["broken"] = broken
    flagged.strategy({"set_flag": 5})
    flagged.by_hand(7)
    checkout, other = read(field, status=1)
    assert checkout == {
        "flag": "checkout",
        "place": "flag checkout on host-1, host-2",
        "target": TARGET,
        "percent": 7,
        "enabled": True,
        "reaches": 7,
        "problems": [],
        "error": None,
    }
    assert (other["percent"], other["target"]) == (None, None)
    assert "flag broken by a command: read the flag: `read` ended with 3" in other["error"]
    assert read(field, "checkout") == [checkout]
    told = field.qd("flag", status=1)
    assert told.stdout.split("\n")[1].split() == ["checkout", "7", "%", TARGET, "on", "host-1,", "host-2"]
    assert "`read` ended with 3" in told.stderr
    flagged.files[1].write_text(
        flagged.files[1].read_text().replace('["on", 7], ["off", 93]', '["on", 9], ["off", 91]')
    )
    assert "checkout: its hosts differ: host-1 7 %, host-2 9 %" in field.qd("flag", "checkout", status=0).stderr


def test_a_name_that_is_none_is_told_with_the_nearest(flagged: Flagged) -> None:
    assert "did you mean checkout?" in flagged.field.qd("flag", "chekout", status=2).stderr
    assert "there is no 'on' here" in flagged.field.qd("flag", "checkout", "on", status=2).stderr


def test_the_kill_switch_is_journalled_and_stops_the_rollout(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED, {"set_flag": 100})
    flagged.waiting(rollout, "pause")
    assert "give it with --reason" in field.qd("flag", "checkout", "off", status=5).stderr
    assert flagged.percent == 5
    done = field.qd("flag", "checkout", "off", "--reason", "carts are lost", status=0)
    assert "switched checkout off: it was at 5 %" in done.stdout
    assert f"qd abort {rollout}" in done.stdout
    assert flagged.percent == 0
    with field.journal(read_only=True) as journal:
        (event,) = journal.events(target=TARGET, kind="flag.set", limit=10)[1:]
    assert event.rollout is None
    assert event.body["reason"] == "carts are lost"
    assert (event.body["before"]["percent"], event.body["after"]["percent"]) == (5, 0)
    assert event.who.startswith(getpass.getuser())
    off = "flag checkout was switched off at"
    shown = field.qd("show", str(rollout), status=0).stdout
    assert off in shown
    assert "because: carts are lost; this rollout goes no further" in shown
    field.qd("promote", str(rollout), "--wait", status=3)
    assert off not in field.qd("show", str(rollout), status=0).stdout
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert flagged.percent == 0
    assert "it was off already" in field.qd("flag", "checkout", "off", "--reason", "x", status=0).stdout


def test_one_that_can_not_be_switched_off_is_journalled_too(flagged: Flagged) -> None:
    field = flagged.field
    flagged.strategy({"set_flag": 5})
    flagged.files[0].unlink()
    told = field.qd("flag", "checkout", "off", "--reason", "x", status=4).stderr  # not 1 or 6: something was changed
    assert "there is no file" in told
    assert "host-2 did it" in told
    flagged.files[1].unlink()
    assert "there is no file" in field.qd("flag", "checkout", "off", "--reason", "x", status=1).stderr
    with field.journal(read_only=True) as journal:
        event, _ = journal.events(target=TARGET, kind="flag.failed", limit=10)
    assert "there is no file" in event.body["error"]


def test_what_is_off_and_could_not_be_written_down_is_said_to_be_off(
    flagged: Flagged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's disk is full in that very moment."""
    field = flagged.field
    flagged.by_hand(5)
    fleet = field.fleet()

    def full(*_arguments: Any, **_words: Any) -> None:
        raise JournalFull("the journal")

    with field.journal() as journal:
        monkeypatch.setattr(journal, "record", full)
        desk = AtOnce(Control(fleet, journal, current_operator()))
        with pytest.raises(
            JournalFull, match=r"switched checkout off: it was at 5 %; but it could not be written down: "
        ):
            asyncio.run(turn_off(desk, open_backend(fleet), fleet, "checkout", "carts are lost"))
    assert flagged.percent == 0


def test_who_may_not_deploy_may_look(flagged: Flagged) -> None:
    field = flagged.field
    field.extra["operators"] = {"view": [getpass.getuser()], "deploy": ["nobody-else"]}
    field.write()
    assert len(read(field)) == 1
    assert "may not change anything" in field.qd("flag", "checkout", "off", "--reason", "x", status=5).stderr
    del field.extra["operators"]
    field.write()
    assert "--read-only" in field.qd("flag", "checkout", "off", "--reason", "x", "--read-only", status=2).stderr
    assert len(read(field, "--read-only")) == 1


def test_without_flags_there_is_nothing_to_tell(field: Field) -> None:
    field.write()
    assert field.qd("flag", status=0).stdout.strip() == "the fleet file has no `flags`"


def test_the_doctor_looks_at_them(flagged: Flagged) -> None:
    field = flagged.field
    flagged.strategy({"set_flag": 5})

    def findings() -> dict[str, dict[str, Any]]:
        told = json.loads(field.qd("doctor", "--json").stdout)["findings"]
        return {one["subject"]: one for one in told if one["subject"].startswith("flag ")}

    found = findings()["flag checkout"]
    assert (found["verdict"], found["sentence"]) == ("ok", "on host-1, host-2: 0 %")
    flagged.files[1].unlink()
    found = findings()["flag checkout"]
    assert found["verdict"] == "fail"
    assert "there is no file ~/flags.json" in found["sentence"]
    assert found["fix"] == "name the one that flagd reads in the fleet file"
