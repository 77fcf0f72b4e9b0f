"""Whole rollouts on real Docker engines, from a real registry, by the real command: what is said, and what the engines run.

Promises 19, 23 and 27 were seen to fail with the image fetched by its tag, without a restart counting as drift, and with the newest release
alone read from the engines.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState
from tests.docker_fleet import SOON, DockerField, docker_field_in, push
from tests.driver import TARGET
from tests.engine import DockerEngine
from tests.field import HEALTH as SSH_HEALTH
from tests.field import START, tarball
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises

EATS_WHEN_TOLD = (
    "trap 'exit 0' TERM; httpd -p 8080 -h /www; until [ -e /tmp/eat ]; do sleep 0.1; done; exec tail /dev/zero"
)
pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


def test_deploy_and_what_is_bad_is_taken_back_by_itself(docks: DockerField) -> None:
    """Of a release that never becomes healthy, one that ends at once, and a tag that nobody has pushed: each is named."""
    first = docks.deploy("1")
    assert first["status"] == "succeeded"
    assert {host["version"] for host in first["hosts"]} == {"1"}
    docks.deploy("2")
    assert docks.running() == docks.everywhere("2")
    docks.write(health=SOON)
    bad = docks.deploy("bad", status=3)
    assert bad["status"] == "rolled_back"
    # With the words of the last check: on a busy machine nothing may have answered yet.
    last = "(does not say 'bad': 'unwell|refused by |no answer from )"
    assert re.search(rf"box-[12]: bad did not become healthy within 1 s: .*{last}", bad["reason"]), bad["reason"]
    assert docks.running() == docks.everywhere("2")
    crashed = docks.deploy("crash", status=3)
    assert crashed["status"] == "rolled_back"
    # Seen by the switch itself, or by the health checks where it had not ended yet.
    assert re.search(r"box-[12]: .*(the container of crash-\w+|its container) ended with status 1", crashed["reason"])
    assert docks.running() == docks.everywhere("2")
    missing = docks.qd("deploy", TARGET, "2.0.1", "--wait")
    assert missing.returncode == 2, missing.stderr
    assert "2.0.1" in missing.stderr
    assert docks.registry.name in missing.stderr
    assert docks.running() == docks.everywhere("2")
    back = docks.rollback()
    assert back["status"] == "succeeded"
    assert docks.running() == docks.everywhere("1")
    assert docks.strays() == []
    for engine in docks.engines:
        assert {one["State"] for one in docks.containers(engine)} <= {"running", "exited", "created"}


def test_another_fleets_target_of_the_same_name_is_left_alone(docks: DockerField) -> None:
    """Two fleets may share an engine, and both have a staging/web. One that was renamed adopts what it has there."""
    docks.engines = docks.engines[:1]
    docks.write()
    first = docks.begin("deploy", "1")
    assert docks.ended(first).state is RolloutState.SUCCEEDED
    docks.quiet(first)
    docks.state.rename(docks.directory / "another bastion's")
    docks.file.write_text(json.dumps(json.loads(docks.file.read_text()) | {"fleet": "harbour"}))
    refused = docks.qd("deploy", TARGET, "2", "--wait", status=1).stderr
    assert re.search(r"1-\w+ runs there as staging/web of the fleet docks, and this is the fleet harbour", refused)
    assert docks.running() == ["1"]
    docks.qd("adopt", TARGET, status=0)
    assert docks.ended(docks.begin("deploy", "2")).state is RolloutState.SUCCEEDED
    assert docks.running() == ["2"]
    assert docks.live(docks.engines[0])["Config"]["Labels"]["dev.quarterdeck.fleet"] == "harbour"


def test_a_bad_first_release_leaves_nothing_running(docks: DockerField) -> None:
    docks.write(health=SOON)
    result = docks.deploy("bad", status=3)
    assert "nothing" in result["reason"]
    assert docks.running() == docks.everywhere(None)
    assert docks.strays() == []


def test_a_container_that_ignores_sigterm_is_killed_after_its_grace(docks: DockerField) -> None:
    docks.engines = docks.engines[:1]
    docks.write()
    docks.deploy("stubborn")
    docks.deploy("1")
    assert docks.running() == ["1"]
    (old,) = [one for one in docks.containers(docks.engines[0]) if one["State"] != "running"]
    state = docks.engines[0].client.inspect_container(old["Id"])["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (137, False), "SIGKILL, and nothing else"


@pytest.mark.trust(19)
def test_what_was_approved_runs_though_its_tag_is_moved(docks: DockerField, promise: Promises) -> None:
    """Promise 19: the digest that was shown is what runs, also where the tag leads elsewhere by then, and what a rollback brings back."""
    engine, registry = docks.engines[0], docks.registry
    repository = "shop/moving"
    docks.write(artifact={"image": f"{registry.name}/{repository}"})
    before = push(registry, engine, "1", repository)
    with docks.journal() as journal:
        from quarterdeck.history.identity import current_operator
        from quarterdeck.rollouts.control import Control

        control = Control(docks.fleet(), journal, current_operator())
        rollout = control.arm_deploy(TARGET, "1").id
        wait_for(lambda: journal.rollout(rollout).plan, "it is armed", 30)
        plan = journal.rollout(rollout).plan or {}
        after = push(registry, engine, "1", repository, files={"/www/moved": "yes\n"})
        assert after != before
        assert f"sha256:{plan['digest']}" == before
        control.go(rollout)
    assert docks.ended(rollout).state is RolloutState.SUCCEEDED
    for one in docks.engines:
        image = one.client.inspect_image(docks.live(one)["Image"])
        assert [name.rpartition("@")[2] for name in image["RepoDigests"]] == [before]
    docks.deploy("1", arguments=["--force", "--reason", "the tag was moved"])
    assert all(_digest(one, docks) == after for one in docks.engines)
    docks.rollback()
    assert all(_digest(one, docks) == before for one in docks.engines)
    promise(19).count("tags moved after they were approved", 2)


def _digest(engine: DockerEngine, docks: DockerField) -> str:
    names: list[str] = engine.client.inspect_image(docks.live(engine)["Image"])["RepoDigests"]
    return names[0].rpartition("@")[2]


def test_a_secret_that_has_changed_is_said_at_a_rollback_and_its_new_value_used(docks: DockerField) -> None:
    secret = docks.directory / "password"
    secret.write_text("first-value-of-it\n")
    docks.write(env={"GREETING": "old"}, secrets={"PASSWORD": {"file": str(secret)}})
    docks.deploy("1")
    docks.write(env={"GREETING": "new"})
    docks.deploy("2")
    secret.write_text("second-value-of-it\n")
    plan = json.loads(docks.qd("rollback", TARGET, "--plan", "--json", status=0).stdout)
    assert plan["secrets"] == {"PASSWORD": "changed"}
    assert any("secret PASSWORD has changed" in warning for warning in plan["warnings"])
    assert docks.running() == docks.everywhere("2"), "a plan changes nothing"
    docks.rollback()
    assert docks.running() == docks.everywhere("1")
    for engine in docks.engines:
        env = docks.live(engine)["Config"]["Env"]
        assert "GREETING=old" in env
        assert "PASSWORD=second-value-of-it" in env
    secret.unlink()
    docks.deploy("2", status=1)
    docks.rollback(arguments=["--to", "2", "--force", "--reason", "as before"])
    assert docks.running() == docks.everywhere("2"), "a secret that can't be read stops no rollback"


def test_a_plan_says_where_the_kept_container_stands_ready(docks: DockerField) -> None:
    """It has somebody's word for nothing: one that was removed meanwhile is not there, and the image alone is enough to go back."""
    docks.deploy("1")
    docks.deploy("2")

    def ready() -> list[tuple[bool, bool]]:
        plan = json.loads(docks.qd("rollback", TARGET, "--plan", "--json", status=0).stdout)
        return [(host["has_release"], host["warm"]) for host in plan["hosts"]]

    assert ready() == [(True, True)] * len(docks.engines)
    assert "has a copy, kept warm" in docks.qd("rollback", TARGET, "--plan", status=0).stdout
    engine = docks.engines[-1]
    (kept,) = (one["Id"] for one in docks.containers(engine) if one["State"] != "running")
    engine.client.remove_container(kept)
    assert ready() == [(True, True)] * (len(docks.engines) - 1) + [(True, False)]
    docks.rollback()
    assert docks.running() == docks.everywhere("1")


@pytest.mark.trust(27)
def test_lose_the_bastion_lose_nothing(docks: DockerField, promise: Promises) -> None:
    """Promise 27: the state directory is gone, ``qd adopt`` reads the engines, rollback works."""
    docks.write(env={"GREETING": "old"})
    docks.deploy("1")
    docks.write(env={"GREETING": "new"})
    docks.quiet(docks.deploy("2")["rollout"])
    shutil.rmtree(docks.state)
    docks.qd("adopt", "--json", status=0)
    assert docks.status()["version"] == "2"
    result = docks.rollback()
    assert result["status"] == "succeeded"
    assert docks.running() == docks.everywhere("1")
    assert all("GREETING=old" in docks.live(engine)["Config"]["Env"] for engine in docks.engines)
    docks.deploy("3")
    assert docks.running() == docks.everywhere("3")
    promise(27).count("bastions lost")


def test_one_environment_of_engines_and_ssh_hosts(tmp_path: Path, docks: DockerField, start_sshd_fleet: Any) -> None:
    """A container on the engine, a tarball on the SSH host; each target goes its own way, and ``qd status`` shows both."""
    ssh: SshdFleet = start_sshd_fleet(1)
    for version in ("v1", "v2"):
        digest = tarball(tmp_path / f"batch-{version}.tar.gz", {"start": 'echo "$QD_RELEASE" > ../../running\n'})
        (tmp_path / f"batch-{version}.tar.gz.sha256").write_text(f"{digest}  batch-{version}.tar.gz\n")
    batch = {
        "artifact": {
            "tarball": f"{tmp_path}/batch-{{version}}.tar.gz",
            "sha256": f"{tmp_path}/batch-{{version}}.tar.gz.sha256",
        },
        "path": "~/srv",
        "commands": {"start": START, "stop": "rm -f ../../running", "status": "test -s ../../running"},
        "health": SSH_HEALTH,
    }
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    name = ssh[0].name
    more: dict[str, Any] = {"ssh": ssh, "services": {"batch": batch}, "hosts": {name: {"ssh": name}}}
    with docker_field_in(mixed, docks.engines[:1], docks.registry, **more) as field:
        for version in ("1", "2"):
            field.deploy(version)
            field.qd("deploy", "staging/batch", f"v{version}", "--wait", status=0)
        targets = json.loads(field.qd("status", "--json", status=0).stdout)["targets"]
        seen = {
            one["target"]: {(host["host"], host["version"], host["health"]) for host in one["hosts"]} for one in targets
        }
        assert seen == {TARGET: {("box-1", "2", "healthy")}, "staging/batch": {(name, "v2", "healthy")}}
        field.rollback()
        field.qd("rollback", "staging/batch", "--yes", "--wait", status=0)
        assert field.running() == ["1"]
        assert (ssh[0].directory / "home" / "srv" / "running").read_text().startswith("v1-")


@pytest.mark.trust(23)
def test_a_container_that_was_changed_behind_our_back_is_drift_at_the_next_look(
    docks: DockerField, promise: Promises
) -> None:
    """Promise 23: started again, made anew, another image under its name, killed for want of memory."""
    docks.container = {"mem_limit": "32m", "restart": "no", "command": ["sh", "-c", EATS_WHEN_TOLD]}
    docks.write()
    docks.deploy("1")
    docks.deploy("2")
    one, other = docks.engines
    before = docks.status()
    assert before["health"] == "healthy"
    assert not any(host["drift"] for host in before["hosts"])

    client = one.client
    container = docks.live(one)
    client.restart(container["Id"], timeout=1)
    assert "was started again" in _drift(docks, "box-1")
    assert not _host(docks, "box-2")["drift"]
    docks.deploy("2")
    assert not _host(docks, "box-1")["drift"], "a deploy puts it right"

    name = docks.live(one)["Name"].lstrip("/")
    labels = docks.live(one)["Config"]["Labels"]
    old = next(c for c in docks.containers(one) if c["Labels"]["app.version"] == "1")
    client.remove_container(name, force=True)
    one.run(old["ImageID"], name, labels=labels)
    assert "made it anew" in _drift(docks, "box-1")
    assert _host(docks, "box-1")["health"] == "unhealthy", "it answers with another version"
    docks.deploy("2")
    assert not _host(docks, "box-1")["drift"]

    client.stop(name, timeout=1)
    client.rename(name, "elsewhere")
    assert "gone, or has another name" in _drift(docks, "box-1")
    client.rename("elsewhere", name)

    eats = other.client.exec_create(docks.live(other)["Id"], ["touch", "/tmp/eat"])
    other.client.exec_start(eats["Id"])
    wait_for(lambda: docks.live(other)["State"]["OOMKilled"], "the kernel has ended what took too much", 60)
    assert "for want of memory" in _drift(docks, "box-2")
    docks.rollback()
    assert docks.running() == docks.everywhere("1")
    promise(23).count("hosts that run something else")


def _host(docks: DockerField, name: str) -> dict[str, Any]:
    (found,) = [host for host in docks.status()["hosts"] if host["host"] == name]
    return dict(found)


def _drift(docks: DockerField, name: str) -> str:
    host = _host(docks, name)
    assert host["drift"] is True
    return " ".join(host["changed"])
