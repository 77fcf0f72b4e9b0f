"""A drill in a real terminal, on real hosts: its card, hooks that are not practised unnoticed, and the age of the last one."""

import pytest

from quarterdeck.history.records import RolloutState
from tests.driver import TARGET
from tests.field import Field
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


@pytest.fixture
def field(tmp_path_factory: pytest.TempPathFactory, sshd_fleet: SshdFleet) -> Field:
    made = Field(tmp_path_factory.mktemp("drill"), sshd_fleet)
    made.clear_hosts()
    made.deploy("v1")
    made.write(hooks={"before": [{"run": "true", "where": "here", "on_rollback": "false"}]})
    made.deploy("v2")
    return made


def test_it_is_practised_from_the_room_at_80x24_without_colour(field: Field) -> None:
    environment = {"HOME": str(field.directory), "PATH": "/usr/bin:/bin", "QD_CACHED": "1", "NO_COLOR": "1"}
    with Terminal(field.command(TARGET, "--cached"), size=(80, 24), environment=environment) as terminal:
        terminal.send("7")
        terminal.wait_for("readiness: is the way back open")
        terminal.wait_for("never")
        terminal.send(":drill\r")
        terminal.wait_for("DRILL  web @")
        terminal.wait_for("drill runs no hooks")
        terminal.send("o")
        terminal.wait_for("hooks are not run, here nor back")
        terminal.wait_for("then v2 comes again")
        terminal.wait_for("y practise it")
        terminal.send("y")
        terminal.wait_for("5 of 5 hosts there and back", deadline=120.0)
        assert field.ended(4).state is RolloutState.SUCCEEDED
        terminal.send("\x1b")
        terminal.wait_gone("there and back")
        terminal.wait_gone("never never")
        terminal.send("Q")
    assert field.running() == ["v2"] * 5
