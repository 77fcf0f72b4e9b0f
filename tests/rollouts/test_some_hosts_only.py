"""``rollback --only``: some hosts go back, the target as a whole runs what it ran. And what a rollback is refused."""

import json

import pytest

from quarterdeck.history.records import RolloutState
from tests.field import TARGET, Field
from tests.sshd import wait_for

pytestmark = pytest.mark.sshd


def verdicts(field: Field) -> dict[str, str]:
    with field.journal(read_only=True) as journal:
        return {row.release.version: row.verdict for row in journal.releases(TARGET)}


def version(field: Field) -> str:
    status = json.loads(field.qd("status", "--cached", "--json", status=0).stdout)
    return str(status["targets"][0]["version"])


def test_hosts_that_go_back_alone_do_not_take_the_target_with_them(field: Field) -> None:
    note = field.directory / "reversed"
    field.deploy("v1")
    field.deploy("v2")
    field.write(hooks={"before": [{"run": "true", "where": "here", "on_rollback": f"touch {note}"}]})
    field.deploy("v3")
    one = field.hosts[4].name
    field.rollback(arguments=["--only", one])
    assert field.running() == ["v3"] * 4 + ["v2"]
    assert (version(field), verdicts(field)["v3"]) == ("v3", "good")
    assert not note.exists()  # the other hosts still run the release that the hook belongs to
    shown = json.loads(field.qd("status", "--json", status=0).stdout)["targets"][0]
    assert [host["host"] for host in shown["hosts"] if host["drift"]] == [one]
    back = field.rollback()  # the whole target: to where the one host is already, not to the release before that
    assert back["to"].startswith("v2-")
    assert field.running() == ["v2"] * 5
    assert (version(field), verdicts(field)["v3"]) == ("v2", "bad")
    assert note.exists()


def test_a_retry_is_about_the_same_hosts(field: Field) -> None:
    health = 'test ! -e ../../sick && test "$(cat ../../running)" = "$QD_RELEASE"'
    field.write(health={"command": health, "interval": "1s", "healthy_deadline": "1s"})
    field.deploy("v1")
    field.deploy("v2")
    sick = field.home(field.hosts[4]) / "sick"
    sick.touch()
    failed = field.rollback(status=4, arguments=["--only", field.hosts[4].name])
    sick.unlink()
    field.qd("retry", str(failed["rollout"]), "--reason", "the disk is back", status=0)
    assert field.running() == ["v2"] * 4 + ["v1"]
    assert version(field) == "v2"
    with field.journal(read_only=True) as journal:
        assert journal.rollouts(TARGET, limit=1)[0].reason == f"retry of {failed['rollout']}: the disk is back"


def test_a_retry_names_the_command_that_has_the_options_which_it_lacks(field: Field) -> None:
    """Of a rollback to what was marked bad since. Seen to fail (the options alone are named) where the words are those for the command
    itself."""
    health = 'test ! -e ../../sick && test "$(cat ../../running)" = "$QD_RELEASE"'
    field.write(health={"command": health, "interval": "1s", "healthy_deadline": "1s"})
    field.deploy("v1")
    field.deploy("v2")
    one = field.hosts[4].name
    sick = field.home(field.hosts[4]) / "sick"
    sick.touch()
    failed = field.rollback(status=4, arguments=["--only", one])
    sick.unlink()
    to = failed["to"]
    with field.journal() as journal:
        journal.judge(to, "bad", "5xx")
    refused = field.qd("retry", str(failed["rollout"]), status=5)
    said = " ".join(refused.stderr.split())
    assert f"to go there all the same: qd rollback {TARGET} --to {to} --only {one} --force --reason" in said


def test_some_hosts_alone_do_not_end_a_deploy_that_is_under_way(field: Field) -> None:
    field.make_version("slow", start='sleep 6; echo "$QD_RELEASE" > ../../running')
    field.write(strategy={"rolling": {"max_unavailable": 1}})
    field.deploy("v1")
    deploy = field.begin("deploy", "slow")
    wait_for(lambda: len(field.starts(field.hosts[0])) == 2, "it has begun")
    refused = field.qd("rollback", TARGET, "--yes", "--only", field.hosts[0].name, status=5)
    assert f"qd abort {deploy}" in refused.stderr
    assert "Traceback" not in refused.stderr
    field.qd("abort", str(deploy), status=3)
    assert field.ended(deploy).state is RolloutState.ROLLED_BACK
    assert field.running() == ["v1"] * 5


def test_a_rollback_to_a_bad_release_wants_force_and_a_reason(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.rollback(arguments=["--reason", "5xx"])
    refused = field.qd("rollback", TARGET, "--to", "v2", "--yes", status=5)
    assert "was marked bad (5xx)" in refused.stderr
    assert "--force --reason" in refused.stderr
    field.qd("rollback", TARGET, "--to", "v2", "--yes", "--force", status=5)
    field.rollback(arguments=["--to", "v2", "--force", "--reason", "it was the network"])
    assert field.running() == ["v2"] * 5
