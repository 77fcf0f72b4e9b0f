"""`qd env setup HOST`: on real sshd hosts, as root and as an ordinary user, and on a real engine. It looks, asks, makes what the login user
may make, prints what is root's, reads back, and finds nothing to do the second time."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.journal import Journal
from tests.cli.qd_command import Qd
from tests.conftest import StartFleet
from tests.engine import DockerEngine
from tests.requirements_here import need
from tests.sshd import SshdFleet

NOBODY = 65534
SERVICE = {
    "artifact": {"tarball": "/srv/artifacts/web-{version}.tar.gz"},
    "commands": {"start": "true", "stop": "true"},
}


def write(qd: Qd, hosts: SshdFleet, services: dict[str, dict[str, Any]], **more: Any) -> None:
    body = {
        "fleet": "acme",
        "state": str(qd.state),
        "ssh": {"config": [str(hosts.ssh_config)], "known_hosts": [str(hosts.known_hosts)]},
        "hosts": {"web-1": {"ssh": hosts[0].name}},
        "environments": {"staging": {"hosts": ["web-1"]}},
        "services": {name: SERVICE | keys for name, keys in services.items()},
    }
    qd.fleet_file.write_text(json.dumps(body | more))


def events(qd: Qd) -> list[Any]:
    with Journal.open(qd.state, read_only=True) as journal:
        return [event for event in journal.events() if event.kind == "host.prepared"]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where any user may go, unlike a test's own directory."""
    directory = Path(tempfile.mkdtemp(prefix="qd-setup-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def as_nobody(place: Path, bin: Path | None = None) -> str:
    """A line of sshd_config: whoever logs in is an ordinary user, with everybody's rights. ``bin``: programs of the host's own."""
    way = place / "login"
    path = f"{bin}:$PATH" if bin is not None else "$PATH"
    way.write_text(
        f'#!/bin/sh\nexport HOME={place}/home PATH="{path}"\nexec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups '
        'sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    way.chmod(0o755)
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    return f"ForceCommand {way}"


@pytest.mark.sshd
def test_what_the_login_user_may_make_is_made_once(qd: Qd, start_sshd_fleet: StartFleet) -> None:
    hosts = start_sshd_fleet(1)
    web = hosts[0].directory / "srv" / "web"
    write(qd, hosts, {"web": {"path": str(web)}})

    plan = qd("env", "setup", "web-1", "--plan", "--read-only")
    assert f"+ make {web} with releases/ and shared/log/" in plan.stdout
    assert not web.exists()
    refused = qd("env", "setup", "web-1", status=5)
    assert "give --yes to make it" in refused.stderr
    assert not web.exists()
    assert "--read-only was given" in qd("env", "setup", "web-1", "--yes", "--read-only", status=5).stderr
    assert not web.exists()

    done = qd("env", "setup", "web-1", "--yes", "--json")
    found = json.loads(done.stdout)
    assert (found["host"], found["ready"], found["left"], found["failed"]) == ("web-1", True, [], [])
    assert found["made"] == [f"make {web} with releases/ and shared/log/"]
    assert "mkdir -p" in done.stderr, "what is run is shown before"
    assert (web / "shared" / "log").is_dir()
    assert (web / "releases").stat().st_mode & 0o777 == 0o755

    (event,) = events(qd)
    assert event.host == "web-1"
    assert event.body["made"] == found["made"]
    assert event.who

    again = qd("env", "setup", "web-1")  # nobody is asked: there is nothing to ask
    assert "= nothing to do" in again.stdout
    assert len(events(qd)) == 1


@pytest.mark.sshd
@pytest.mark.root
def test_an_ordinary_user_is_told_the_commands_of_root(qd: Qd, place: Path, start_sshd_fleet: StartFleet) -> None:
    need(os.geteuid() == 0, "root (to be somebody else on the host)")
    hosts = start_sshd_fleet(1, options=[as_nobody(place)])
    (place / "srv").mkdir()
    write(
        qd,
        hosts,
        {
            "web": {"path": f"{place}/srv/my web"},
            "own": {"path": "~/own"},
            "asks": {
                "path": "~/asks",
                "commands": {"start": "sudo -n systemctl restart asks && true", "stop": "sudo systemctl stop asks"},
            },
        },
    )
    done = qd("env", "setup", "web-1", "--yes", status=1)
    assert "= done: make ~/own with releases/ and shared/log/" in done.stdout
    assert (place / "home" / "own" / "releases").stat().st_uid == NOBODY
    assert f"install -d -o nobody -g \"$(id -gn nobody)\" -m 0755 '{place}/srv/my web'" in done.stdout
    assert "nobody ALL=(root) NOPASSWD: /usr/bin/systemctl restart asks, /usr/bin/systemctl stop asks" in done.stdout
    assert not (place / "srv" / "my web").exists()

    # Root does what was printed, and the second run goes on from there.
    line = next(line for line in done.stdout.splitlines() if "install -d" in line)
    subprocess.run(["sh", "-c", line], check=True, timeout=30)
    again = qd("env", "setup", "web-1", "--yes", status=1)
    assert f"= done: make {place}/srv/my web with releases/ and shared/log/" in again.stdout
    assert (place / "srv" / "my web" / "shared" / "log").stat().st_uid == NOBODY


@pytest.mark.sshd
@pytest.mark.root
def test_with_sudo_the_commands_of_root_are_run_and_shown(qd: Qd, place: Path, start_sshd_fleet: StartFleet) -> None:
    """sudo itself is seldom where tests run: a program that has root's rights by its file's mode stands in for it."""
    need(os.geteuid() == 0, "root (to be somebody else on the host)")
    bin = place / "bin"
    bin.mkdir()
    really = shutil.which("setpriv")
    assert really
    shutil.copy(really, bin / "as-root")
    (bin / "as-root").chmod(0o4755)
    (bin / "sudo").write_text(
        f'#!/bin/sh\n[ "$1" = -n ] || exit 1\n[ "$2" = -l ] && exit 1\nshift\necho "$*" >>{place}/asked\n'
        f'exec {bin}/as-root --reuid=0 --regid=0 --clear-groups "$@"\n'
    )
    (bin / "sudo").chmod(0o755)
    (place / "asked").touch()
    (place / "asked").chmod(0o666)
    hosts = start_sshd_fleet(1, options=[as_nobody(place, bin)])
    (place / "srv").mkdir()
    (place / "srv" / "there").mkdir()
    write(qd, hosts, {"web": {"path": f"{place}/srv/web"}, "old": {"path": f"{place}/srv/there"}})

    qd("env", "setup", "web-1", "--yes", status=1)
    assert (place / "asked").read_text() == "", "sudo is never run by itself"
    done = qd("env", "setup", "web-1", "--yes", "--sudo", "--json")
    found = json.loads(done.stdout)
    assert found["ready"]
    assert found["made"][:2] == [f"make {place}/srv/web for nobody", f"give {place}/srv/there to nobody"]
    assert len(found["made"]) == 4  # and, once root had opened them, what lies in them
    assert "sudo sh -c 'install -d" in done.stderr
    for name in ("web", "there"):
        assert (place / "srv" / name / "releases").stat().st_uid == NOBODY
    assert len((place / "asked").read_text().splitlines()) == 2
    (event,) = events(qd)
    assert len(event.body["sudo"]) == 2
    assert "= nothing to do" in qd("env", "setup", "web-1", "--sudo").stdout


@pytest.mark.sshd
def test_a_unit_that_is_not_there_is_left_to_a_person(qd: Qd, start_sshd_fleet: StartFleet, tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "systemctl").write_text("#!/bin/sh\necho not-found\n")
    (bin / "systemctl").chmod(0o755)
    hosts = start_sshd_fleet(1, environment=[f"PATH={bin}:{os.environ['PATH']}"])
    web = hosts[0].directory / "srv"
    unit = {"path": str(web), "unit": "web.service"}
    write(qd, hosts, {"web": unit})
    body = json.loads(qd.fleet_file.read_text())
    del body["services"]["web"]["commands"]
    qd.fleet_file.write_text(json.dumps(body))
    done = qd("env", "setup", "web-1", "--yes", status=1)
    assert "# write the unit /etc/systemd/system/web.service: complete its ExecStart, then the command" in done.stdout
    assert f"    WorkingDirectory={web}/current\n" in done.stdout
    assert "  systemctl daemon-reload && systemctl enable web.service" in done.stdout
    assert (web / "releases").is_dir()


@pytest.mark.sshd
def test_names_rights_and_hosts_that_do_not_answer(qd: Qd, start_sshd_fleet: StartFleet) -> None:
    hosts = start_sshd_fleet(1)
    write(qd, hosts, {"web": {"path": "~/web"}})
    assert "did you mean web-1" in qd("env", "setup", "web-2", status=2).stderr
    assert "--plan, --yes" in qd("env", "setup", "staging", "--yes", status=2).stderr
    write(qd, hosts, {"web": {"path": "~/web"}}, operators={"deploy": ["@nobody-is-in-this-group"]})
    assert "may not change anything" in qd("env", "setup", "web-1", "--yes", status=5).stderr
    write(qd, hosts, {"web": {"path": "~/web"}}, environments={"web-1": {"hosts": ["web-1"]}})
    assert "is an environment and a host" in qd("env", "setup", "web-1", status=2).stderr
    assert "+ make ~/web" in qd("env", "setup", "web-1", "--host", "--plan").stdout
    hosts[0].stop()
    gone = qd("env", "setup", "web-1", "--host", "--yes", status=6)
    assert "web-1" in gone.stderr
    assert events(qd) == [] if qd.state.exists() else True


@pytest.mark.docker
def test_an_engine_gets_external_networks_and_volumes_only_when_asked(qd: Qd, docker_engine: DockerEngine) -> None:
    client = docker_engine.client
    body = {
        "fleet": "acme",
        "state": str(qd.state),
        "hosts": {"box-1": {"docker": docker_engine.as_host().docker}},
        "environments": {"staging": {"hosts": ["box-1"]}},
        "services": {
            "web": {
                "artifact": {"image": "127.0.0.1:1/shop/web"},
                "container": {
                    "networks": {"edge": {"name": "setup-edge", "external": True}},
                    "volumes": [{"type": "volume", "source": "setup-data", "target": "/data", "external": True}],
                },
            }
        },
    }
    qd.fleet_file.write_text(json.dumps(body))
    with contextlib.ExitStack() as after:
        found = json.loads(qd("env", "setup", "box-1", "--yes", "--json", status=1).stdout)
        assert [(need["kind"], need["name"]) for need in found["left"]] == [
            ("network", "setup-edge"),
            ("volume", "setup-data"),
        ]
        assert client.networks(names=["setup-edge"]) == []
        told = qd("env", "setup", "box-1", status=1).stdout
        assert "Docker engine " in told
        assert "  docker network create setup-edge\n" in told
        after.callback(lambda: client.remove_network("setup-edge"))
        after.callback(lambda: client.remove_volume("setup-data"))
        made = json.loads(qd("env", "setup", "box-1", "--yes", "--make", "--json").stdout)
        assert made["ready"]
        assert [one["Name"] for one in client.networks(names=["setup-edge"])] == ["setup-edge"]
        assert client.inspect_volume("setup-data")["Labels"] in (None, {}), "it is not ours to remove"
        assert "= nothing to do" in qd("env", "setup", "box-1", "--make").stdout
        assert len(events(qd)) == 1
