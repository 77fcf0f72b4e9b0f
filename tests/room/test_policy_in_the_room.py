"""Approvals and freezes in a real terminal, on real hosts: who is waited for, two keys that agree, before it begins and at a step of it,
and what is frozen."""

import pytest

from quarterdeck.history.records import RolloutState
from tests.driver import TARGET
from tests.field import Field
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


@pytest.fixture
def field(tmp_path_factory: pytest.TempPathFactory, sshd_fleet: SshdFleet) -> Field:
    made = Field(tmp_path_factory.mktemp("policy"), sshd_fleet)
    made.clear_hosts()
    made.deploy("v1")
    hosts = [host.name for host in made.hosts.hosts]
    made.extra["environments"] = {"staging": {"hosts": hosts, "approvals": {"prevent_self_review": False}}}
    made.write()
    return made


def test_a_deploy_is_agreed_to_and_an_environment_frozen(field: Field) -> None:
    environment = {"HOME": str(field.directory), "PATH": "/usr/bin:/bin", "QD_CACHED": "1"}
    with Terminal(field.command(TARGET, "--cached"), size=(110, 30), environment=environment) as terminal:
        terminal.wait_for("freeze: none")
        field.qd("deploy", TARGET, "v2", "--detach", "--reason", "CHG-812", status=0)
        terminal.wait_for("STAGING web v2 waits for 1 approval (plan ")
        terminal.send("a")
        terminal.wait_for("APPROVE  web @")
        terminal.wait_for("because: CHG-812")
        terminal.wait_for("approve this plan")
        terminal.send("y")
        terminal.wait_for("approved rollout 2 of staging/web: it begins")
        assert field.ended(2).state is RolloutState.SUCCEEDED

        terminal.send("F")
        terminal.wait_for("FREEZE  STAGING")
        terminal.wait_for("freeze it now, with a reason")
        terminal.send("f")
        terminal.wait_for("Why?")
        terminal.send("INC-77\r")
        terminal.wait_for("end what was frozen by hand")
        terminal.send("\x1b")
        terminal.wait_gone("FREEZE  STAGING")
        terminal.wait_for("freeze: staging")
        terminal.send("g")  # what the last action came to stands there until the next key
        terminal.wait_for("STAGING is frozen until somebody ends it: INC-77")
        terminal.send(":deploy staging/web v3\r")
        terminal.wait_for("INC-77. It can be set aside")
        terminal.send("o")
        terminal.wait_for("the freeze is set aside. Why?")
        terminal.send("hotfix\r")
        terminal.wait_for("by typing web")
        terminal.wait_for("agreed to it (a)")
        terminal.send("y")
        terminal.wait_for("type web to deploy")
        terminal.wait_gone("(wait)")
        terminal.send("web")
        terminal.wait_for("A abort")
        terminal.send("\x1b")
        terminal.wait_gone("A abort   n reason")
        terminal.send("a")
        terminal.wait_for("APPROVE  web @")
        terminal.wait_for("aside freeze (until somebody ends it: INC-77)")
        terminal.wait_for("y approve this plan")  # the keys are not dead any more
        terminal.send("x")
        terminal.wait_for("It ends, nothing was changed. Why?")
        terminal.send("not in a freeze\r")
        terminal.wait_gone("APPROVE  web @")
        terminal.send("F")
        terminal.wait_for("freeze it now, with a reason")  # the keys are not dead any more
        terminal.send("u")
        terminal.wait_for("not frozen")
        terminal.send("\x1b")
        terminal.wait_for("freeze: none")
        terminal.send("Q")
    assert field.running() == ["v2"] * 5


def test_a_canary_stands_until_a_key_agrees_to_its_step(field: Field) -> None:
    hosts = [host.name for host in field.hosts.hosts]
    field.extra["environments"] = {"staging": {"hosts": hosts}}
    asks = {"approval": {"prevent_self_review": False, "timeout": "30m"}}
    field.extra["notify"] = [{"name": "oncall", "to": {"env": "NOBODYS_URL"}, "on": []}]
    tells = {"notify": {"to": ["oncall"], "body": "it is there"}}
    field.write(strategy={"canary": {"steps": [{"set_weight": 20}, asks, {"set_weight": 60}, asks, tells]}})
    environment = {"HOME": str(field.directory), "PATH": "/usr/bin:/bin", "QD_CACHED": "1"}
    with Terminal(field.command(TARGET, "--cached"), size=(110, 30), environment=environment) as terminal:
        terminal.wait_for("freeze: none")
        terminal.send(":deploy staging/web v2\r")
        terminal.wait_for("2  approval by 1 of anybody within 30m00s at 20 % (1 of 5 hosts)")
        terminal.wait_for("tell oncall: it is there")
        terminal.wait_for("y deploy")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        field.qd("deploy", TARGET, "v2", "--detach", "--reason", "CHG-813", status=0)
        terminal.wait_for("STAGING web v2 waits for 1 approval until 20")
        terminal.wait_for("a approve")
        terminal.send("2")
        terminal.wait_for("until people agree")
        terminal.wait_for("a approve   A abort")
        terminal.send("p")
        terminal.wait_for("a, or qd approve")
        terminal.send("\x1b")
        terminal.wait_gone("GO ON")
        terminal.send("a")
        terminal.wait_for("APPROVE  web @")
        terminal.wait_for(": 1 of 5 hosts have it")
        terminal.wait_for("approve this step")
        terminal.send("y")
        terminal.wait_for("of staging/web: it goes on")
        terminal.wait_for("at step 11 (60 %,")
        with Terminal(field.command("approve", "3"), size=(110, 60), environment=environment) as shell:
            shell.wait_for("approval by 1 of anybody within 30m00s at 60 % (3 of 5 hosts)")
            shell.wait_for("Approve going on at step 11 of rollout 3 of staging/web?")
            shell.send("n\r")
            shell.wait_for("nothing was said")
        terminal.send("a")
        terminal.wait_for(": 3 of 5 hosts have it")
        terminal.wait_for("approve this step")
        terminal.send("x")
        terminal.wait_for("It is taken back from 3 of 5 hosts. Why?")
        terminal.send("the graph looks wrong\r")
        terminal.wait_for(": it is taken back")
        terminal.send("Q")
    with field.journal(read_only=True) as journal:
        rollout = journal.rollouts(TARGET)[0].id
    assert ": the graph looks wrong; taken back: v1 on 3 hosts" in field.ended(rollout).outcome
    assert field.running() == ["v1"] * 5
