"""A frozen environment takes no deploy, but for a reason that is journalled; it always takes a rollback. On real hosts, by the command."""

import json
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from tests.field import Field

pytestmark = pytest.mark.sshd

ALWAYS = {"from": "2000-01-01", "to": "2900-01-01", "zone": "Europe/Berlin", "reason": "year end"}


def declare(field: Field, **environment: Any) -> None:
    every = {"hosts": [host.name for host in field.hosts.hosts]}
    field.extra["environments"] = {"staging": every | environment}
    field.write()


def test_a_freeze_refuses_a_deploy_and_never_a_rollback(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    declare(field, freezes=[ALWAYS])
    refused = field.qd("deploy", "staging/web", "v3", "--wait", status=5)
    said = " ".join(refused.stderr.split())
    assert "staging is frozen until Sat 2900-01-02 00:00 Europe/Berlin (23:00Z): year end" in said
    assert "--override freeze --reason" in said
    assert field.running() == ["v2"] * 5
    assert "# staging is frozen until Sat 2900" in field.qd("status", "--cached", status=0).stdout
    assert "need a reason" in field.qd("deploy", "staging/web", "v3", "--override", "freeze", status=5).stderr

    field.rollback()
    assert field.running() == ["v1"] * 5

    done = field.deploy("v3", arguments=("--override", "freeze", "--reason", "INC-77"))
    assert field.running() == ["v3"] * 5
    with field.journal(read_only=True) as journal:
        told = journal.events(rollout=int(done["rollout"]), kind="override")
        assert [(event.body["policy"], event.body["reason"]) for event in told] == [("freeze", "INC-77")]
        assert not journal.events(rollout=int(done["rollout"]) - 1, kind="override"), "a rollback sets nothing aside"


def test_going_to_what_was_marked_bad_is_told_as_what_is_set_aside_once_it_is_let_go(field: Field) -> None:
    declare(field, hosts=[field.hosts.hosts[0].name])
    field.deploy("v1")
    field.deploy("v2")
    field.rollback()
    again = ("--force", "--reason", "INC-80")
    planned = json.loads(field.qd("deploy", "staging/web", "v2", "--plan", "--json", *again, status=0).stdout)
    deployed = field.deploy("v2", arguments=again)
    field.rollback()
    back = json.loads(
        field.qd("rollback", "staging/web", "--to", "v2", "--yes", "--wait", "--json", *again, status=0).stdout
    )
    with field.journal(read_only=True) as journal:
        assert not journal.events(rollout=int(planned["rollout"]), kind="override"), "nothing went out"
        for done in (deployed, back):
            (told,) = journal.events(rollout=int(done["rollout"]), kind="override")
            assert (told.body["policy"], told.body["reason"]) == ("verdict", "INC-80")
            assert "was marked bad" in told.body["words"]
    shown = field.qd("show", str(back["rollout"]), status=0).stdout
    assert f"  aside    verdict (release {back['to']} was marked bad" in shown


def test_what_is_under_way_goes_on_when_a_freeze_begins(field: Field) -> None:
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "1h"}})
    rollout = field.begin("deploy", "v2")
    field.until(rollout, lambda _: "v2" in field.running())
    frozen = json.loads(field.qd("freeze", "staging", "--reason", "INC-78", "--json", status=0).stdout)
    assert frozen["environments"][0]["now"]["until"] is None
    with field.journal() as journal:
        assert journal.rollout(rollout).state is RolloutState.RUNNING
        journal.ask(rollout, "abort")
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK, "an abort is never blocked"
    again = field.qd("retry", str(rollout), "--wait", status=5)
    said = " ".join(again.stderr.split())
    assert "until somebody ends it: INC-78" in said
    assert "or: qd deploy staging/web v2 --override freeze --reason" in said, "qd retry has no such option"
    assert json.loads(field.qd("unfreeze", "staging", "--json", status=0).stdout)["environments"][0]["now"] is None


def test_a_card_that_was_armed_before_the_freeze_does_not_go_in_it(field: Field) -> None:
    with field.journal() as journal:
        control = Control(load_fleet(field.file), journal, journal.operator)
        armed = control.arm_deploy("staging/web", "v2")
        field.until(armed.id, lambda now: bool(now.plan_hash))
        field.qd("freeze", "staging", "--for", "2h", "--reason", "INC-79", status=0)
        control.go(armed.id)
    ended = field.ended(armed.id)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert "INC-79" in ended.outcome
    assert field.running() == [None] * 5


def test_who_may_not_deploy_may_not_freeze_either(field: Field) -> None:
    from quarterdeck.rollouts.freezing import end_freezes, freeze

    field.extra["operators"] = {"deploy": ["somebody-else"]}
    field.write()
    with field.journal() as journal:
        control = Control(load_fleet(field.file), journal, journal.operator)
        with pytest.raises(Refused, match="may not change anything"):
            freeze(control, "staging", None, "x")
        with pytest.raises(Refused, match="may not change anything"):
            end_freezes(control, "staging")
        assert journal.made_freezes() == []


def test_what_the_command_says_of_freezes(field: Field) -> None:
    declare(field, freezes=[{"from": "Fri 16:00", "to": "Mon 08:00", "zone": "Europe/Berlin", "reason": "weekend"}])
    shown = json.loads(field.qd("freeze", "--json", status=0).stdout)["environments"]
    assert [one["environment"] for one in shown] == ["staging"]
    assert shown[0]["next"]["declared"] == "Fri 16:00 to Mon 08:00 Europe/Berlin"
    assert "there is no environment 'stagin'" in field.qd("freeze", "stagin", "--reason", "x", status=2).stderr
    assert "needs a reason" in field.qd("freeze", "staging", "--for", "1h", status=5).stderr
    assert "is over" in field.qd("freeze", "staging", "--until", "2020-01-01", "--reason", "x", status=5).stderr
    assert "; --for takes 30m, 4h, 2d" in field.qd("freeze", "staging", "--for", "4x", "--reason", "x", status=2).stderr
    assert "comes every week" in field.qd("freeze", "staging", "--until", "Fri", "--reason", "x", status=2).stderr
