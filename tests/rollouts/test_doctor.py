"""What the doctor finds on this machine and, over real SSH, on a host; each fault comes with its fix."""

import os
import subprocess
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.contract import TargetFacts
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Artifact, Commands, Runner, Slots, Target
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.doctor.engines import target_findings
from quarterdeck.rollouts.doctor.examining import detachment, examine, kills_user_processes
from quarterdeck.rollouts.doctor.findings import Finding, Verdict
from quarterdeck.rollouts.doctor.hosts import (
    HostLook,
    command_findings,
    host_findings,
    path_findings,
    questions,
    sudo_commands,
    unit_findings,
)
from quarterdeck.rollouts.logs.merged import open_backend
from quarterdeck.rollouts.setting_up.hosts import By, sudo_needs
from tests.conftest import StartFleet
from tests.sshd import SshdFleet

SECRET = "a-value-that-must-not-be-seen"


def write(path: Path, hosts: SshdFleet, **names: str) -> Path:
    host = hosts[0]
    text = f"""\
fleet: acme
state: {path.parent}/state
ssh: {{config: ["{hosts.ssh_config}"], known_hosts: ["{names.get("known_hosts", hosts.known_hosts)}"]}}
hosts: {{{host.name}: {{ssh: "{names.get("ssh", host.name)}"}}}}
environments: {{staging: {{hosts: [{host.name}]}}}}
services:
  web:
    artifact: {{tarball: "{path.parent}/artifacts/web-{{version}}.tar.gz"}}
    path: "{names.get("path", str(host.directory / "srv"))}"
    {names.get("runner", "commands: {start: 'true', stop: 'true'}")}
    secrets:
      TOKEN: {{env: {names.get("secret", "QD_TEST_TOKEN")}}}
"""
    path.write_text(text)
    return path


async def findings(path: Path) -> dict[str, Finding]:
    fleet = load_fleet(path)
    said: list[Finding] = []
    with Journal.open(fleet.state) as journal:
        found = await examine(open_backend(fleet), fleet, journal, current_operator(), list(fleet.targets), said.append)
    assert sorted(map(str, said)) == sorted(map(str, found))
    assert SECRET not in str(found)
    worst = [Verdict.OK, Verdict.WARN, Verdict.FAIL]
    return {finding.subject: finding for finding in sorted(found, key=lambda one: worst.index(one.verdict))}


@pytest.fixture
def hosts(start_sshd_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SshdFleet:
    monkeypatch.setenv("QD_TEST_TOKEN", SECRET)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "web-v1.tar.gz").write_bytes(b"x")
    return start_sshd_fleet(1)


@pytest.mark.sshd
async def test_a_sound_fleet(hosts: SshdFleet, tmp_path: Path) -> None:
    found = await findings(write(tmp_path / "fleet.yml", hosts))
    assert {subject: str(finding.verdict) for subject, finding in found.items()} == dict.fromkeys(found, "ok")
    assert {"fleet file", "journal engine", "state directory", "operator", "detachment", "host host-1"} <= set(found)
    assert "v1" in found["artifact staging/web"].sentence


@pytest.mark.sshd
async def test_each_fault_has_its_fix(hosts: SshdFleet, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    path = tmp_path / "fleet.yml"

    key = (await findings(write(path, hosts, known_hosts=str(empty))))["host host-1"]
    assert (key.verdict, key.unreachable) == (Verdict.FAIL, True)
    assert "key" in key.sentence
    assert key.fix

    nobody = (await findings(write(path, hosts, ssh="deploy@127.0.0.1:1")))["host host-1"]
    assert (nobody.verdict, nobody.unreachable) == (Verdict.FAIL, True)
    assert f"ssh -v -F {hosts.ssh_config} -p 1 deploy@127.0.0.1 true" in nobody.fix, (
        "it can be pasted, and goes qd's way"
    )

    missing = await findings(write(path, hosts, secret="QD_TEST_NO_SUCH_TOKEN"))
    assert missing["secret TOKEN of staging/web"].verdict is Verdict.FAIL

    (tmp_path / "artifacts" / "web-v1.tar.gz").unlink()
    assert (await findings(write(path, hosts)))["artifact staging/web"].verdict is Verdict.WARN


async def test_a_registry_that_does_not_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yml"
    path.write_text(f"""\
fleet: acme
state: {tmp_path}/state
hosts: {{box: {{docker: "unix://{tmp_path}/none.sock"}}}}
environments: {{staging: {{hosts: [box]}}}}
services: {{web: {{artifact: {{image: "127.0.0.1:1/shop/web"}}, container: {{}}}}}}
""")
    artifact = (await findings(path))["artifact staging/web"]
    assert artifact.verdict is Verdict.FAIL
    assert artifact.sentence.startswith("127.0.0.1:1/shop/web: can't list the versions: ")


@pytest.mark.sshd
async def test_a_unit_that_does_not_exist(hosts: SshdFleet, tmp_path: Path) -> None:
    found = await findings(write(tmp_path / "fleet.yml", hosts, runner="unit: no-such-thing.service"))
    finding = found["host host-1"]
    assert finding.verdict is Verdict.FAIL  # and not the warning about sudo, which only root does not get
    assert (
        "systemctl" in finding.sentence or "no-such-thing.service" in finding.sentence
    )  # with and without systemd here
    assert finding.fix


def test_what_work_that_was_cut_short_has_left_on_an_engine_is_listed() -> None:
    target = Target("staging", "web", (), "", Artifact(image="registry.acme.io/web"), Runner())
    facts = TargetFacts(
        "1-a", True, (), 3, "", "", ("1-a",), None, left=("elated_blackburn", "staging-web.2-b.making-1f")
    )
    (found,) = target_findings("host box-1", target, facts)
    assert (found.verdict, found.sentence) == (
        Verdict.WARN,
        "staging/web: work that was cut short has left elated_blackburn, staging-web.2-b.making-1f",
    )
    assert found.fix.endswith("by hand: docker rm -v elated_blackburn staging-web.2-b.making-1f")


def test_a_place_that_may_not_be_written() -> None:
    """The script that hosts are asked with, run here as somebody who is not root."""
    target = Target("staging", "web", (), "/etc/qd test/web", Artifact("/a"), Runner(commands=Commands("a", "b")))
    command = ["/bin/sh", "-c", questions([target])]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    answers = dict(
        line.removeprefix("target 0 ").split(" ", 1)
        for line in asked.stdout.splitlines()
        if line.startswith("target 0 ")
    )
    assert answers["unwritable"] == "/etc"
    assert int(answers["free"]) > 0
    assert answers["user"] != "root"
    [finding] = path_findings("host web-1", target, answers)
    assert finding.verdict is Verdict.FAIL
    assert f"{answers['user']} can't write /etc" in finding.sentence
    assert finding.fix.endswith(f"install -d -o {answers['user']} '/etc/qd test/web'")


def test_units_that_a_switch_could_not_handle() -> None:
    system = Target("staging", "web", (), "/srv/web", Artifact("/a"), Runner(unit="web.service"))
    user = Target("staging", "web", (), "/srv/web", Artifact("/a"), Runner(unit="web.service", user_unit=True))
    assert unit_findings("host", system, {"unit": "loaded", "restart": "yes"}) == []
    assert unit_findings("host", user, {"unit": "loaded", "linger": "yes"}) == []
    [unknown] = unit_findings("host", system, {"unit": "not-found", "restart": "yes"})
    assert (unknown.verdict, "daemon-reload" in unknown.fix) == (Verdict.FAIL, True)
    [sudo] = unit_findings("host", system, {"unit": "loaded", "restart": "no deploy"})
    assert (sudo.verdict, "NOPASSWD" in sudo.fix) == (Verdict.WARN, True)
    [linger] = unit_findings("host", user, {"unit": "loaded", "linger": "no deploy"})
    assert (linger.verdict, linger.fix) == (Verdict.FAIL, "on the host: loginctl enable-linger deploy")


def test_whether_workers_outlive_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    booted, linger, logind = tmp_path / "booted", tmp_path / "linger", tmp_path / "logind.conf"
    linger.mkdir()

    def verdict() -> Verdict:
        [finding] = detachment(booted=booted, linger=linger, logind=logind)
        return finding.verdict

    assert verdict() is Verdict.OK  # no systemd
    booted.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("USER", "alice")
    assert verdict() is Verdict.OK  # logind's default leaves processes alone
    logind.write_text("[Login]\nKillUserProcesses=yes\n")
    [finding] = detachment(booted=booted, linger=linger, logind=logind)
    assert (finding.verdict, finding.fix) == (Verdict.FAIL, "loginctl enable-linger alice")
    (linger / "alice").touch()
    assert verdict() is Verdict.OK


def test_the_last_word_of_logind_counts(tmp_path: Path) -> None:
    configuration = tmp_path / "logind.conf"
    assert not kills_user_processes(configuration)
    configuration.write_text("[Login]\n#KillUserProcesses=yes\n")
    assert not kills_user_processes(configuration)
    configuration.write_text("[Login]\nKillUserProcesses=yes\n")
    assert kills_user_processes(configuration)
    (tmp_path / "logind.conf.d").mkdir()
    (tmp_path / "logind.conf.d" / "site.conf").write_text("[Login]\nKillUserProcesses=no\n")
    assert not kills_user_processes(configuration)


@pytest.mark.sshd
async def test_rights_and_open_files(hosts: SshdFleet, tmp_path: Path) -> None:
    path = write(tmp_path / "fleet.yml", hosts)
    path.write_text(path.read_text() + 'operators: {deploy: ["@nobody-is-in-this-group"]}\n')
    path.chmod(0o666)
    state = tmp_path / "state"
    Journal.open(state).close()
    state.chmod(0o705)
    found = await findings(path)
    assert found["operator"].verdict is Verdict.WARN
    assert found["fleet file"].fix.startswith("chmod o-w")
    assert found["state directory"].fix.startswith("chmod o=")


def test_of_a_template_the_instances_in_the_slots_are_asked_for() -> None:
    runner = Runner(unit="web@.service", slots=Slots(8081, 8082))
    target = Target("staging", "web", (), "/srv/web", Artifact("/a"), runner)
    script = questions([target])
    assert "--value web@blue.service" in script
    assert "systemctl restart web@blue.service" in script
    [sudo] = unit_findings("host", target, {"unit": "loaded", "restart": "no deploy"})
    for verb in ("restart", "stop"):
        for slot in ("blue", "green"):
            assert f"/usr/bin/systemctl {verb} web@{slot}.service" in sudo.fix


def test_commands_that_say_sudo_are_asked_about_one_by_one() -> None:
    commands = Commands(
        "sudo -n systemctl restart web && echo ok", "sudo systemctl stop web; true", status='sudo kill -0 "$(cat pid)"'
    )
    target = Target("staging", "web", (), "/srv/web", Artifact("/a"), Runner(commands=commands))
    wanted = [["systemctl", "restart", "web"], ["systemctl", "stop", "web"]]
    assert sudo_commands(target) == wanted, "what a shell has to make of variables can't be asked about"
    script = questions([target])
    assert "sudo -n -l systemctl restart web >/dev/null" in script
    assert "sudo systemctl" not in script, "nothing is run"
    said = {"sudo-0": "systemctl restart web", "sudo-1": "systemctl stop web"}
    [finding] = command_findings("host web-1", target, said)
    assert finding.verdict is Verdict.FAIL
    assert "systemctl restart web, systemctl stop web" in finding.sentence


def test_what_sudo_allowed_before_stays_allowed() -> None:
    """Its file holds all that the target runs with sudo, by the paths that the host has."""
    commands = Commands("sudo systemctl start web", "sudo service web stop", restart="sudo systemctl restart web")
    target = Target("staging", "web", (), "/srv/web", Artifact("/a"), Runner(commands=commands))
    programs = {"program-0": "/usr/bin/systemctl", "program-1": "/usr/sbin/service", "program-2": "/usr/bin/systemctl"}
    assert sudo_needs(target, programs, "deploy", "acme") == []
    [need] = sudo_needs(target, {**programs, "sudo-2": "systemctl restart web"}, "deploy", "acme")
    assert need.by is By.ROOT
    line = "/usr/bin/systemctl start web, /usr/sbin/service web stop, /usr/bin/systemctl restart web"
    assert need.text == f"deploy ALL=(root) NOPASSWD: {line}"
    [other] = sudo_needs(target, {**programs, "sudo-2": "systemctl restart web"}, "deploy", "tools")
    assert need.command.partition(">")[2] != other.command.partition(">")[2], "two fleets on one host have two files"
    [by_hand] = sudo_needs(target, {"sudo-0": "systemctl start web"}, "deploy", "acme")
    assert by_hand.by is By.PERSON, "a program that the host does not have"


@pytest.mark.parametrize(("ahead", "words"), [(75.0, "75 s before"), (-90.0, "90 s behind"), (2.0, ""), (None, "")])
def test_a_clock_that_is_off(ahead: float | None, words: str) -> None:
    found = host_findings("host web-1", HostLook("deploy", (), (), ahead, "", True), [])
    assert [words in finding.sentence for finding in found] == ([True] if words else [])


@pytest.mark.sshd
async def test_a_clock_that_is_off_is_seen_on_a_host(start_sshd_fleet: StartFleet, tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "date").write_text('#!/bin/sh\necho $(($(/bin/date "$@") + 120))\n')
    (bin / "date").chmod(0o755)
    hosts = start_sshd_fleet(1, environment=[f"PATH={bin}:{os.environ['PATH']}"])
    (tmp_path / "artifacts").mkdir()
    found = await findings(write(tmp_path / "fleet.yml", hosts))
    assert found["host host-1"].verdict is Verdict.WARN
    assert "its clock is 1" in found["host host-1"].sentence
