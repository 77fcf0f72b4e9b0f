"""docs/getting-started.md is true: what it says is typed, is typed here, against two real sshd hosts, and prints what it shows."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import quarterdeck
from quarterdeck.config.load import load_fleet
from tests.conftest import StartFleet
from tests.sshd import processes_and_parents, wait_for

PAGE = Path(quarterdeck.__file__).resolve().parent.parent / "docs" / "getting-started.md"
DEADLINE = 120.0
# What is another with every run: how it stands in a line of the page whose dots are `[.]`, and what may be there instead.
VARYING = (
    (r"\d\d:\d\d:\d\d", r"\d\d:\d\d:\d\d"),
    (r"alice@bastion", r"\S+@\S+"),
    (r"\d+\[\.\]\ds", r"\d+[.]\ds"),
    (r" +\ds +2/2 +", r" +\d+s +2/2 +"),
    (r"\d checks", r"\d+ checks"),
)


class Block:
    """``commands``: each with the lines that the page shows of what it prints."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:] if kind == "console" else [text]
        self.commands = [
            (part.partition("\n")[0], part.partition("\n")[2].splitlines()) if kind == "console" else (part, [])
            for part in parts
        ]


def blocks(section: str) -> Iterator[Block]:
    """What is to be typed below the heading ``section``, in its order."""
    below = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert below, section
    for kind, text in re.findall(r"^```(sh|console)\n(.*?)^```", below, flags=re.MULTILINE | re.DOTALL):
        yield Block(kind, text)


class Shell:
    """Types into bash what the page says, in one directory after the other as its `cd` say."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.at = directory
        (self.home / ".ssh").mkdir(parents=True)
        programs = directory / "bin"
        programs.mkdir()
        (programs / "qd").write_text(f'#!/bin/sh\nexec {sys.executable} -m quarterdeck.tui.main "$@"\n')
        (programs / "qd").chmod(0o755)
        self.environment = {"HOME": str(self.home), "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"}

    def type(self, command: str, shown: list[str]) -> None:
        done = subprocess.run(
            ["bash", "-c", f"{command}\nended=$?; pwd > '{self.directory}/at'; exit $ended"],
            cwd=self.at,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        said = re.search(r"# exit status (\d+)$", command)
        assert done.returncode == int(said[1] if said else 0), f"{command}\nexit {done.returncode}\n{done.stdout}"
        self.at = Path((self.directory / "at").read_text().strip())
        missing = first_missing(shown, done.stdout)
        assert missing is None, f"$ {command}\nthe page shows: {missing}\nprinted was:\n{done.stdout}"

    def follow(self, section: str) -> None:
        for block in blocks(section):
            for command, shown in block.commands:
                self.type(command, shown)


def first_missing(shown: list[str], printed: str) -> str | None:
    """The first line of the page that was not printed in its place. Between two without `[…]` there may be no other."""
    pattern = ""
    for line in shown:
        pattern += r"(?:.*\n)*?" if line == "[…]" else _pattern(line) + r"\n"
        if re.match(pattern, printed) is None:
            return line
    complete = pattern if shown[-1:] == ["[…]"] else rf"{pattern}\Z"
    return None if re.match(complete, printed) else "nothing more"


def _pattern(line: str) -> str:
    pattern = re.escape(line).replace(re.escape("[…]"), ".*").replace(r"\ ", " ").replace(r"\.", "[.]")
    for shown, there in VARYING:
        pattern = re.sub(shown, there.replace("\\", "\\\\"), pattern)
    return pattern


def test_a_line_that_is_not_printed_is_found() -> None:
    printed = "a\nb 12:00:01 x\nc 1.5s\n"
    assert first_missing(["a", "[…]", "c 0.2s"], printed) is None
    assert first_missing(["a", "b 09:11:22 x", "[…]"], printed) is None
    assert first_missing(["a", "c 0.2s"], printed) == "c 0.2s"
    assert first_missing(["a", "[…]", "d"], printed) == "d"
    assert first_missing(["a"], printed) == "nothing more"
    assert first_missing([], "") is None


@pytest.mark.sshd
@pytest.mark.timeout(300)
def test_the_page_is_true_with_two_ssh_hosts(tmp_path: Path, start_sshd_fleet: StartFleet) -> None:
    hosts = start_sshd_fleet(2, names=("web-1", "web-2"))
    shell = Shell(tmp_path)
    shutil.copy(hosts.ssh_config, shell.home / ".ssh" / "config")
    shutil.copy(hosts.known_hosts, shell.home / ".ssh" / "known_hosts")
    try:
        shell.follow("With two SSH hosts")
    finally:
        # What was detached must not outlive the test: the hosts' own processes are ended with them.
        mine = str(tmp_path).encode()
        wait_for(lambda: not _workers(mine), "the workers of this fleet have left", 30)
    # What the page shows of the file is what was written, but for comments.
    written = load_fleet(shell.at / "fleet.yml")
    (tmp_path / "shown").mkdir()
    shown = tmp_path / "shown" / "fleet.yml"
    shown.write_text(re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)[0])
    assert {name: host.ssh for name, host in written.hosts.items()} == {
        name: host.ssh for name, host in load_fleet(shown).hosts.items()
    }
    for name in ("health", "commands", "path", "logs", "environment", "strategy"):
        ours, pages = (getattr(file.targets["production/web"], name, None) for file in (written, load_fleet(shown)))
        assert ours == pages, name


def _workers(mine: bytes) -> list[int]:
    found = []
    for pid, _ in processes_and_parents():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"quarterdeck" in command and mine in command:
            found.append(pid)
    return found


def test_the_page_is_true_with_docker_as_far_as_no_engine_is_needed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.follow("With Docker")
    target = load_fleet(shell.at / "fleet.yml").targets["production/web"]
    assert target.artifact is not None
    assert target.artifact.image == "nginx"
    assert target.container is not None
    assert target.container.healthcheck is not None
