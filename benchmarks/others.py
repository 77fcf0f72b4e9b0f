"""What an operator would otherwise deploy and roll back with, each doing the same unit of work as quickly as it can be told to. A tool that
can't be had is left out with the reason; every one of them checks the hosts' keys, as the rows of our own do."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import unit
from benchmarks.environments import installed, release
from benchmarks.processes import ROOT, Cost, MeasuredFailed, cost_of
from benchmarks.report import FABRIC, PYINFRA, XARGS

HERE = ROOT / "benchmarks"


@dataclass(frozen=True, slots=True)
class Work:
    """``spec`` is what ``fleet.floor_spec`` gives, ``file`` where it is written for a tool that reads it."""

    spec: dict[str, Any]
    file: Path
    action: str
    version: str

    @property
    def environment(self) -> dict[str, str]:
        names = {"SPEC": str(self.file), "ACTION": self.action, "VERSION": self.version}
        return {f"QD_BENCHMARK_{name}": value for name, value in names.items()}


@dataclass(frozen=True, slots=True)
class Tool:
    """``name`` is the row's; ``words`` say which release it is and how it is run."""

    name: str
    words: str
    command: Callable[[Work], Sequence[str]]

    def act(self, work: Work, output: Path) -> Cost:
        """Raises ``MeasuredFailed``."""
        return cost_of(self.command(work), output, work.environment)


def _ssh(ssh: str, work: Work) -> list[str]:
    """OpenSSH's client with the algorithms of the rows of our own: with its defaults each handshake costs it more."""
    spec = work.spec
    options = {
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": spec["known_hosts"],
        "GlobalKnownHostsFile": "none",
        "BatchMode": "yes",
        "KexAlgorithms": unit.KEY_EXCHANGE,
        "Ciphers": unit.CIPHER,
        "HostKeyAlgorithms": unit.HOST_KEY,
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    place = ["-l", spec["user"], "-p", str(spec["ssh_port"]), "-i", spec["key"], "{}"]
    return [ssh, "-F", "none", "-T", *words, *place, unit.command(spec, work.action, work.version)]


def _with_xargs() -> Tool:
    xargs, ssh = _system("xargs"), _system("ssh")

    def command(work: Work) -> list[str]:
        addresses = work.file.with_suffix(".addresses")
        addresses.write_text("".join(f"{address}\n" for address in work.spec["addresses"]))
        each = _ssh(ssh, work)
        if work.action == "deploy":
            each = ["sh", "-c", 'exec "$@" <"$0"', unit.artifact(work.spec, work.version), *each]
        return [xargs, "-a", str(addresses), "-P", "0", "-I{}", *each]

    said = subprocess.run([ssh, "-V"], check=False, capture_output=True, text=True, timeout=10).stderr
    return Tool(XARGS, f"{said.partition(',')[0].strip()}, all hosts at once", command)


def _with_fabric() -> Tool:
    program = installed("fabric", "fab", "fabric>=3,<4")
    python = str(program.with_name("python"))

    def command(work: Work) -> list[str]:
        return [python, "-m", "benchmarks.with_fabric", str(work.file), work.action, work.version]

    return Tool(FABRIC, f"fabric {release(program, 'fabric')}, a thread for each host", command)


def _with_pyinfra() -> Tool:
    program = installed("pyinfra", "pyinfra", "pyinfra>=3,<4")

    command = [str(program), "-y", "--no-wait", str(HERE / "pyinfra_hosts.py"), str(HERE / "pyinfra_work.py")]
    words = f"pyinfra {release(program, 'pyinfra')}, no host waits for another between operations"
    return Tool(PYINFRA, words, lambda _: command)


def _system(program: str) -> str:
    where = shutil.which(program)
    if where is None:
        raise OSError(f"{program} is not installed on this machine")
    return where


WAYS: dict[str, Callable[[], Tool]] = {XARGS: _with_xargs, FABRIC: _with_fabric, PYINFRA: _with_pyinfra}


def available(notes: list[str]) -> list[Tool]:
    """Those that can be had here, installed first if need be; ``notes`` says which they are, and why one is not among them."""
    found = []
    for name, way in WAYS.items():
        try:
            tool = way()
        except OSError as error:
            notes.append(f"not measured: {name}: {error}")
        else:
            found.append(tool)
            notes.append(f"{name}: {tool.words}")
    return found


class OtherRows:
    """The tools on one number of hosts, each with a directory of its own on every host."""

    def __init__(self, tools: Sequence[Tool], directory: Path, spec_of: Callable[[str], dict[str, Any]]) -> None:
        self._output = directory / "output-of-others"
        self._ready: dict[str, tuple[Tool, dict[str, Any], Path]] = {}
        for number, tool in enumerate(tools):
            base = f"other-{number}"
            spec, file = spec_of(base), directory / f"{base}.json"
            file.write_text(json.dumps(spec))
            self._ready[tool.name] = (tool, spec, file)

    def names(self) -> list[str]:
        return list(self._ready)

    def act(self, name: str, action: str, version: str) -> Cost:
        """Raises ``MeasuredFailed``."""
        tool, spec, file = self._ready[name]
        return tool.act(Work(spec, file, action, version), self._output)

    def prepare(self, version: str) -> dict[str, MeasuredFailed]:
        """Deploys what is rolled back to. A tool that can't is left out from here on, and its failure given."""
        failed = {}
        for name in self.names():
            try:
                self.act(name, "deploy", version)
            except MeasuredFailed as error:
                failed[name] = error
                self.leave_out(name)
        return failed

    def leave_out(self, name: str) -> None:
        del self._ready[name]
