"""An environment that requires a way back takes a deploy only where there is one, and a rollback always. On real hosts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import Field
from tests.rollouts.test_approvals import MAYA, say

pytestmark = pytest.mark.sshd

HOSTS = 3


@pytest.fixture
def careful(field: Field) -> Field:
    """The first three hosts require a way back."""
    declare(field)
    return field


def declare(field: Field, hosts: int = HOSTS, **environment: Any) -> None:
    wanted = {"hosts": [host.name for host in field.hosts.hosts[:hosts]], "require": {"rollback_ready": True}}
    field.extra["environments"] = {"staging": wanted | environment}
    field.write()


def copy_of(field: Field, version: str, host: int) -> Path:
    (found,) = (field.home(field.hosts[host]) / "releases").glob(f"{version}-*")
    return found


def said(text: str) -> str:
    return " ".join(text.split())


def test_the_first_release_has_no_way_back_and_goes_all_the_same(careful: Field) -> None:
    plan = json.loads(careful.qd("deploy", "staging/web", "v1", "--plan", "--json", status=0).stdout)
    assert plan["require"]["rollback_ready"]["state"] == "first"
    shown = careful.qd("deploy", "staging/web", "v1", "--plan", status=0).stdout
    assert "  back  none: nothing that worked was ever there" in shown
    assert "there is no way back from v1: nothing that worked was ever there" in shown
    told = careful.qd("deploy", "staging/web", "v1", "--wait", status=0).stdout
    assert "there is no way back from v1: nothing that worked was ever there" in said(told)
    careful.deploy("bad", status=3)
    plan = json.loads(careful.qd("deploy", "staging/web", "v2", "--plan", "--json", status=0).stdout)
    back = plan["require"]["rollback_ready"]
    assert (back["state"], back["version"], back["copies"]) == ("open", "v1", ["host-1", "host-2", "host-3"])
    assert "  back  open: v1 lies on 3 hosts" in careful.qd("deploy", "staging/web", "v2", "--plan", status=0).stdout


def test_a_copy_that_is_gone_or_touched_closes_the_way_for_a_deploy_and_never_for_a_rollback(careful: Field) -> None:
    careful.deploy("v1")
    careful.deploy("v2")
    manifest = next(path for path in copy_of(careful, "v2", 1).rglob("*") if "manifest" in path.name)
    manifest.write_text("{}")
    refused = said(careful.qd("deploy", "staging/web", "v3", "--wait", status=5).stderr)
    assert "staging/web takes only what there is a way back from" in refused
    assert "the way back is closed: host-2: no copy of v2; nothing was changed" in refused
    assert "--override require --reason" in refused
    assert "host-1" not in refused
    assert careful.running()[:HOSTS] == ["v2"] * HOSTS
    assert "need a reason" in careful.qd("deploy", "staging/web", "v3", "--override", "require", status=5).stderr

    done = careful.deploy("v3", arguments=("--override", "require", "--reason", "INC-77"))
    with careful.journal(read_only=True) as journal:
        told = journal.events(rollout=int(done["rollout"]), kind="override")
        assert [(event.body["policy"], event.body["reason"]) for event in told] == [("require", "INC-77")]
        assert told[0].body["words"] == "the way back is closed: host-2: no copy of v2"
    followed = said(careful.qd("watch", str(done["rollout"]), status=0).stdout)
    assert "require was set aside: the way back is closed: host-2: no copy of v2; because: INC-77" in followed
    shutil.rmtree(copy_of(careful, "v2", 0))
    careful.rollback()
    assert careful.running()[:HOSTS] == ["v2"] * HOSTS


def test_a_secret_that_nobody_gives_any_more_closes_it(careful: Field) -> None:
    token = careful.directory / "token"
    token.write_text("first-value")
    careful.write(secrets={"TOKEN": {"file": str(token)}})
    careful.deploy("v1")
    careful.write(secrets={})
    token.write_text("another-value")
    careful.deploy("v2")  # has changed: a rollback uses the new value, and says so
    careful.rollback()
    token.unlink()
    refused = said(careful.qd("deploy", "staging/web", "v3", "--wait", status=5).stderr)
    assert "the way back is closed: secret TOKEN of v1 can't be read" in refused
    assert "value" not in refused


def test_what_was_open_when_it_was_shown_is_looked_at_again_before_it_begins(careful: Field) -> None:
    careful.deploy("v1")
    with careful.journal() as journal:
        control = Control(careful.fleet(), journal, current_operator())
        armed = control.arm_deploy("staging/web", "v2")
        careful.until(armed.id, lambda now: bool(now.plan_hash))
        shutil.rmtree(copy_of(careful, "v1", 2))
        control.go(armed.id)
    ended = careful.ended(armed.id)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert "host-3: no copy of v1" in ended.outcome

    declare(careful, 2, approvals={"from": ["maya"]})
    waits = careful.in_state(careful.begin("deploy", "v2"), RolloutState.QUEUED)
    shutil.rmtree(copy_of(careful, "v1", 0))
    say(careful, MAYA, waits.id)
    ended = careful.ended(waits.id)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert "host-1: no copy of v1" in ended.outcome


def test_a_host_on_which_nothing_runs_yet_has_no_way_back_of_its_own(careful: Field) -> None:
    declare(careful, 2)
    careful.deploy("v1")
    declare(careful, 3)
    plan = json.loads(careful.qd("deploy", "staging/web", "v2", "--plan", "--json", status=0).stdout)
    back = plan["require"]["rollback_ready"]
    assert (back["state"], back["bare"]) == ("open", ["host-3"])
    assert back["words"] == "open: v1 lies on 2 hosts; nothing runs yet on host-3"
    careful.deploy("v2")


def test_what_the_journal_does_not_know_is_no_way_back(careful: Field) -> None:
    careful.deploy("v1")
    shutil.rmtree(careful.state)
    refused = said(careful.qd("deploy", "staging/web", "v2", "--wait", status=5).stderr)
    assert "the journal does not know what runs there (host-1 runs v1-" in refused
    assert "qd adopt first" in refused
    careful.qd("adopt", "staging/web", status=0)
    careful.deploy("v2")
    assert careful.running()[:HOSTS] == ["v2"] * HOSTS
