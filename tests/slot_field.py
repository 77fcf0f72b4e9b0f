"""A field whose service has slots: a new release starts beside the old one on each host, and is retired there once it is healthy."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.field import HEALTH, START, Field
from tests.sshd import SshHost

RUNNING = "../../running.$QD_SLOT"
SERVICE: Mapping[str, Any] = {
    "slots": {"blue": 8081, "green": 8082},
    "commands": {"start": START, "stop": f"rm -f {RUNNING}", "status": f"test -s {RUNNING}"},
    "health": {**HEALTH, "command": f'test "$(cat {RUNNING})" = "$QD_RELEASE"'},
}


@dataclass
class SlotField(Field):
    def __post_init__(self) -> None:
        self.service = {**SERVICE, **self.service}
        super().__post_init__()

    def make_version(self, version: str, *, start: str = f'echo "$QD_RELEASE" > {RUNNING}') -> str:
        return super().make_version(version, start=start)

    def running(self) -> list[str | None]:
        """The version that runs on each host, in the slot that has it, and alone; «mixed» where it is otherwise."""
        return [self._runs(host) for host in self.hosts.hosts]

    def _runs(self, host: SshHost) -> str | None:
        home, linked = self.home(host), None
        with contextlib.suppress(FileNotFoundError):
            linked = os.readlink(home / "current").rpartition("/")[2]
        slots = {link.name: link.readlink().name for link in (home / "slots").glob("*")}
        said = {file.suffix[1:]: file.read_text().strip() for file in home.glob("running.*")}
        if linked is None and not said:
            return None
        return linked.rpartition("-")[0] if linked and said == slots and list(said.values()) == [linked] else "mixed"
