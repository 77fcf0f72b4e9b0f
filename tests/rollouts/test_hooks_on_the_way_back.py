"""Which hooks a rollback undoes, over real hosts: those that the journal says ran and that nobody has undone since. A schema that is taken
down twice, or without having been taken up, is data that is lost at three in the morning.

All but one were seen to fail when a rollback went by what the release declares, and undid nothing where no host moved.
"""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import TARGET, Field
from tests.rollouts.test_when_things_go_wrong import GATED, SLOW, assert_nothing_waits, begun, command_of, make_sick
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


class Note:
    """A file on this machine into which hooks write what they do, in place of a database's schema."""

    def __init__(self, field: Field) -> None:
        self.path = field.directory / "note"

    def hook(self, up: str, down: str, **more: Any) -> dict[str, Any]:
        return {
            "run": f"echo {up} >> {self.path}",
            "where": "here",
            "on_rollback": f"echo {down} >> {self.path}",
            **more,
        }

    @property
    def words(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


@pytest.fixture
def note(field: Field) -> Note:
    return Note(field)


def sleeps_here() -> bool:
    """Whether anything on this machine runs what hangs."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return any(b"4321" in command_of(pid).split(b"\0") for pid in found)


def test_a_host_that_was_lost_while_a_deploy_was_taken_back_undoes_no_hook_again(field: Field, note: Note) -> None:
    field.write(health=GATED, rollback={"automatic": False})
    field.deploy("v1")
    field.write(hooks={"before": [note.hook("up", "down")]})
    make_sick(field, 0)
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.PAUSED)
    assert field.running()[4] == "v2"
    make_sick(field, 0, sick=False)
    field.hosts[4].stop()
    try:
        field.qd("abort", str(rollout))
        ended = field.ended(rollout)
        assert (ended.state, note.words) == (RolloutState.FAILED, ["up", "down"]), ended.outcome
    finally:
        field.hosts[4].start()
    back = field.rollback()
    assert back["status"] == "succeeded"
    assert field.running() == ["v1"] * len(field.hosts)
    assert note.words == ["up", "down"]


def test_a_rollback_after_one_that_a_host_missed_undoes_no_hook_again(field: Field, note: Note) -> None:
    field.deploy("v1")
    field.write(hooks={"before": [note.hook("up", "down")]})
    field.deploy("v2")
    field.hosts[4].stop()
    try:
        field.rollback(status=4)
        assert note.words == ["up", "down"]
    finally:
        field.hosts[4].start()
    field.rollback()
    assert field.running() == ["v1"] * len(field.hosts)
    assert note.words == ["up", "down"]


def half_out(field: Field, note: Note) -> int:
    """A deploy of v2 that pauses after its first host: its hook before has run, the one after has not."""
    field.deploy("v1")
    field.write(
        strategy={"rolling": {"batches": [1, "100%"], "pause": "5m"}},
        hooks={"before": [note.hook("up", "down")], "after": [note.hook("warm", "cold")]},
    )
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: field.running().count("v2") == 1, "the first host has changed")
    return rollout


def test_a_hook_that_never_ran_is_not_undone(field: Field, note: Note) -> None:
    rollout = half_out(field, note)
    planned = field.qd("rollback", TARGET, "--plan", status=0)
    assert ("echo down" in planned.stdout + planned.stderr, "echo cold" in planned.stdout + planned.stderr) == (
        True,
        False,
    )
    field.rollback()
    assert field.ended(rollout).state is RolloutState.SUPERSEDED
    assert field.running() == ["v1"] * len(field.hosts)
    assert note.words == ["up", "down"]


def test_a_deploy_that_ends_while_its_rollback_waits_for_a_go_is_undone_as_far_as_it_came(
    field: Field, note: Note
) -> None:
    """What was planned while it was under way is planned anew: its last hook has run since. Seen to fail without that."""
    rollout = half_out(field, note)
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        back = control.arm_rollback(TARGET)
        wait_for(lambda: journal.rollout(back.id).plan_hash, "its plan is there", 30)
        control.promote(rollout)
        assert field.ended(rollout).state is RolloutState.SUCCEEDED
        control.go(back.id)
    ended = field.ended(back.id)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == ["v1"] * len(field.hosts)
    assert note.words == ["up", "warm", "cold", "down"]


def test_a_release_that_came_again_has_its_hooks_undone_again(field: Field, note: Note) -> None:
    """What was undone counts until the hook runs the next time. (This one held before, too.)"""
    field.deploy("v1")
    field.write(hooks={"before": [note.hook("up", "down")]})
    for _ in range(2):
        field.deploy("v2", arguments=["--force", "--reason", "once more"])
        field.rollback()
    assert note.words == ["up", "down", "up", "down"]


def test_who_supersedes_what_was_being_taken_back_goes_on_where_that_was(field: Field, note: Note) -> None:
    """One hook is undone, the next one hangs here while it is being undone: that is ended, and done anew."""
    field.deploy("v1")
    hangs, mended = field.directory / "hangs", field.directory / "mended"
    slow = f"test -e {mended} || {{ touch {hangs}; sleep 4321; }}; echo down-1 >> {note.path}"
    first = note.hook("up-1", "", on_rollback=slow, timeout="5m")
    field.write(hooks={"before": [first, note.hook("up-2", "down-2"), {"run": "exit 1", "where": "here"}]})
    rollout = field.begin("deploy", "v2")
    wait_for(hangs.exists, "the first hook is being undone", 30)
    assert note.words == ["up-1", "up-2", "down-2"]
    mended.touch()
    back = field.rollback()
    assert back["status"] == "succeeded"
    assert field.ended(rollout).state is RolloutState.SUPERSEDED
    assert note.words == ["up-1", "up-2", "down-2", "down-1"]
    wait_for(lambda: not sleeps_here(), "what hung is gone", 30)


def test_a_rollback_wins_while_a_hook_hangs_that_is_to_be_reversed(field: Field) -> None:
    """No host has changed yet: only the hook has to be undone."""
    field.deploy("v1")
    field.write(hooks={"before": [{"run": SLOW, "where": "each", "timeout": "60s", "on_rollback": "touch ../../back"}]})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: begun(field), "the hook runs everywhere", 30)
    back = field.rollback()
    assert (back["status"], field.ended(rollout).state) == ("succeeded", RolloutState.SUPERSEDED), back["reason"]
    assert all((field.home(host) / "back").exists() for host in field.hosts.hosts)
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)


def test_a_rollback_ends_a_hook_that_hangs_here_and_undoes_it(field: Field, note: Note) -> None:
    field.deploy("v1")
    runs = f"echo up >> {note.path}; sleep 4321; echo late >> {note.path}"
    field.write(hooks={"before": [note.hook("", "down", run=runs, timeout="5m")]})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: note.words == ["up"], "the hook runs", 30)
    back = field.rollback()
    assert (back["status"], field.ended(rollout).state) == ("succeeded", RolloutState.SUPERSEDED), back["reason"]
    assert note.words == ["up", "down"]
    wait_for(lambda: not sleeps_here(), "what hung is gone", 30)


def test_what_ran_and_can_not_be_undone_is_said_at_the_end(field: Field) -> None:
    field.deploy("v1")
    field.write(
        strategy={"rolling": {"batches": [1, "100%"], "pause": "5m"}},
        hooks={
            "before": [{"run": "true # drop", "where": "here", "reversible": False}],
            "after": [{"run": "true # never", "where": "here", "reversible": False}],
        },
    )
    field.begin("deploy", "v2")
    wait_for(lambda: field.running().count("v2") == 1, "the first host has changed", 30)
    back = field.rollback()
    assert "hook 'true # drop' of v2 can't be undone" in back["reason"]
    assert "never" not in back["reason"]


@pytest.mark.parametrize("where", ["here", "one"])
def test_a_retry_undoes_the_hook_that_could_not_be_undone(field: Field, where: str) -> None:
    at = str(field.directory) if where == "here" else "../.."
    field.deploy("v1")
    down = f"test -e {at}/ok && echo down >> {at}/note"
    field.write(hooks={"before": [{"run": f"echo up >> {at}/note", "where": where, "on_rollback": down}]})
    field.deploy("v2")
    home = field.directory if where == "here" else field.home(field.hosts[0])
    place = "(here)" if where == "here" else field.hosts[0].name
    result = field.rollback(status=4)
    everywhere = f"{len(field.hosts)} of {len(field.hosts)} hosts run v1"
    assert result["reason"].startswith(f"{everywhere}, and hook "), result["reason"]
    assert f"of v2 has not undone its part on {place}" in result["reason"]
    field.qd("retry", str(result["rollout"]), "--wait", status=4)  # nothing was mended
    (home / "ok").touch()
    field.qd("retry", str(result["rollout"]), "--wait", status=0)
    assert (home / "note").read_text().split() == ["up", "down"]
    assert field.running() == ["v1"] * len(field.hosts)


def test_a_rollback_undoes_the_hook_that_taking_back_could_not_undo(field: Field, note: Note) -> None:
    """All hosts are back already: what is left to be finished is the hook."""
    ok = field.directory / "ok"
    field.deploy("v1")
    field.write(
        hooks={
            "before": [note.hook("up", "", on_rollback=f"test -e {ok} && echo down >> {note.path}")],
            "after": [{"run": "exit 1", "where": "here"}],
        }
    )
    result = field.deploy("v2", status=4)
    assert "qd rollback" in result["reason"]
    assert (field.running(), note.words) == (["v1"] * len(field.hosts), ["up"])
    ok.touch()
    back = field.rollback()
    assert (back["status"], back["to"][:3]) == ("succeeded", "v1-")
    assert note.words == ["up", "down"]
