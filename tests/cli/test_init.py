"""`qd init` as a person and as a pipeline meet it: what it asks, what it never overwrites, what it prints."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from quarterdeck.tui.cli.exits import MissingConfirmation
from quarterdeck.tui.cli.init import _write
from tests.cli.qd_command import DEADLINE, Qd

COMPOSE = "services:\n  api: {image: registry.example.com/api}\n"


@pytest.fixture
def shop(qd: Qd) -> Qd:
    """A directory with a compose file, and a home with two SSH hosts and a Docker context."""
    (qd.directory / "compose.yaml").write_text(COMPOSE)
    ssh = qd.directory / "home" / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "config").write_text("Host web-1 web-2\n  User deploy\n")
    context = qd.directory / "home" / ".docker" / "contexts" / "meta" / "1"
    context.mkdir(parents=True)
    (context / "meta.json").write_text('{"Name": "prod", "Endpoints": {"docker": {"Host": "ssh://deploy@10.0.0.1"}}}')
    return qd


def answered(qd: Qd, *arguments: str, typed: str) -> tuple[int, str]:
    """Runs it on a terminal, with these answers; exit status and everything that was on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        qd.command("init", *arguments),
        cwd=qd.directory,
        env=qd.environ({"TERM": "xterm"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    return process.wait(timeout=DEADLINE), seen.decode()


def test_without_a_terminal_it_takes_what_lies_here_and_says_what_it_assumed(shop: Qd) -> None:
    told = shop.json("init")
    assert told["file"] == "fleet.yml"
    assert told["from"] == ["compose.yaml"]
    assert told["hosts"] == ["here"]
    assert told["targets"] == ["production/api"]
    assert any("only host is the Docker engine" in sentence for sentence in told["assumed"])
    assert told["next"][0] == "qd check"
    assert shop.json("check")["ok"]
    assert sorted(path.name for path in shop.directory.iterdir()) == ["compose.yaml", "fleet.yml", "home"]


def test_nothing_is_overwritten_and_with_force_the_old_one_is_kept(shop: Qd) -> None:
    shop.fleet_file.write_text("fleet: mine\n")
    refused = shop.inside("init", status=5)
    assert "was left as it is" in refused.stderr
    assert "--force" in refused.stderr
    assert shop.fleet_file.read_text() == "fleet: mine\n"
    for number in (1, 2):
        before = shop.fleet_file.read_text()
        told = shop.json("init", "--force", "--name", f"fleet-{number}")
        assert told["kept"] == f"fleet.yml.{number}"
        assert (shop.directory / f"fleet.yml.{number}").read_text() == before
    assert shop.json("check")["fleet"] == "fleet-2"
    # A link that leads nowhere is there as well.
    shop.fleet_file.unlink()
    shop.fleet_file.symlink_to("elsewhere")
    shop.inside("init", status=5)
    assert not (shop.directory / "elsewhere").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten_and_the_old_one_is_put_back(tmp_path: Path) -> None:
    to = tmp_path / "fleet.yml"
    to.write_text("somebody else's")
    with pytest.raises(MissingConfirmation, match="appeared just now"):
        _write(to, "ours", force=False)
    assert to.read_text() == "somebody else's"
    before = os.link

    def link(_new: Path, there: Path) -> None:
        there.write_text("quicker")
        before(_new, there)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "link", link)
        with pytest.raises(MissingConfirmation):
            _write(to, "ours", force=True)
    assert to.read_text() == "quicker"
    assert (tmp_path / "fleet.yml.1").read_text() == "somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.yml", "fleet.yml.1"]


def test_a_compose_file_without_an_image_says_so(shop: Qd) -> None:
    (shop.directory / "compose.yaml").write_text("services: {api: {build: .}}\n")
    assert "it has no image" in shop.inside("init", status=2).stderr


def test_flags_say_all_that_would_be_asked(shop: Qd) -> None:
    arguments = ("--from", "ssh", "--hosts", "web-2", "--name", "acme", "--environment", "dev", "--service", "shop")
    done = shop("init", *arguments, "--yes", "--to", "ops.yml", environment={"NO_COLOR": "1"})
    assert "\x1b" not in done.stdout
    assert "qd --fleet ops.yml doctor" in done.stdout
    fleet = shop.json("check", "ops.yml")
    assert fleet["fleet"] == "acme"
    assert fleet["targets"] == ["dev/shop"]
    both = shop.json("init", "--from", "docker", "--from", "compose.yaml")
    assert both["hosts"] == ["prod"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--from", "kubernetes"), "there is no file"),
        (("--from", "home"), "is not an ordinary file"),
        (("--from", "ssh", "--hosts", "web-9"), "no source has a host web-9; there is web-1, web-2"),
        (("--name", "No Good"), "--name takes a name"),
        (("--to", "nowhere/fleet.yml"), "there is no directory"),
        (("--to", "home", "--force"), "home is a directory"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_written(shop: Qd, arguments: tuple[str, ...], word: str) -> None:
    done = shop.inside("init", *arguments, status=2)
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not shop.fleet_file.exists()


def test_an_empty_directory_says_what_else_there_is(shop: Qd) -> None:
    (shop.directory / "compose.yaml").unlink()
    done = shop.inside("init", status=2)
    assert "--from ssh, --from docker" in done.stderr
    assert not shop.fleet_file.exists()


def test_on_a_terminal_it_offers_what_it_found_and_asks(shop: Qd) -> None:
    # Which sources: the SSH hosts alone; which hosts: one; names: as offered, but for the environment; yes.
    status, screen = answered(shop, typed="2\nweb-1\nacme\nNot Good\nstaging\nshop\ny\n")
    assert status == 0, screen
    assert "1  compose" in screen
    assert "Hosts: web-1, web-2" in screen
    assert "is none" in screen
    fleet = shop.json("check")
    assert (fleet["fleet"], fleet["targets"], fleet["hosts"]) == ("acme", ["staging/shop"], 1)


def test_on_a_terminal_no_means_that_nothing_is_written(shop: Qd) -> None:
    status, screen = answered(shop, typed="\n\n\nn\n")
    assert status == 5, screen
    assert "nothing was written" in screen
    assert not shop.fleet_file.exists()


def test_with_yes_nothing_is_asked_on_a_terminal_either(shop: Qd) -> None:
    status, screen = answered(shop, "--yes", typed="")
    assert status == 0, screen
    assert "?" not in screen.split("not taken over")[0]
    assert shop.json("check")["targets"] == ["production/api"]
