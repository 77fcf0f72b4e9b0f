"""A real flag of each kind for the contract, and a person's hand on it."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from quarterdeck.backends.flags.contract import FlagConnection
from quarterdeck.backends.flags.opening import open_flag
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.flags import CommandFlag, Flag, FlagdFlag, UnleashFlag
from quarterdeck.config.model import SecretReference
from tests.backends.flags.unleash_server import TOKEN, UnleashServer, unleash_server
from tests.sshd import SshdFleet

DEFINITIONS = """{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "colour": {"state": "ENABLED", "variants": {"red": 1.0, "blue": 1e2}, "defaultVariant": "red",
      "targeting": {"if": [{"in": ["@example.com", {"var": "email"}]}, "blue", null]}},
    "new-checkout": {
      "state": "ENABLED",
      "variants": {"on": true, "off": false},
      "defaultVariant": "off"
    },
    "täglich": {"state":"DISABLED","variants":{"a":"x"},"defaultVariant":"a"}
  }
}
"""


class Kind(Protocol):
    """``by_hand`` sets it as a person would, without the program. ``unreadable``: meanwhile nobody can say how it is."""

    def connect(self) -> FlagConnection: ...

    def by_hand(self, percent: int) -> None: ...

    def unreadable(self) -> AbstractContextManager[None]: ...


@contextmanager
def holding(file: Path, text: str) -> Iterator[None]:
    """The file says something else for a while."""
    was = file.read_text()
    file.write_text(text)
    yield
    file.write_text(was)


class FlagdHere:
    def __init__(self, directory: Path) -> None:
        self.file = directory / "flags.json"
        self.file.write_text(DEFINITIONS)
        self.flag: FlagdFlag = FlagdFlag(str(self.file), "new-checkout", name="checkout")
        self.files = [self.file]

    def connect(self) -> FlagConnection:
        return open_flag(self.flag, Hosts(), {}, Path("/"))

    def by_hand(self, percent: int) -> None:
        for file in self.files:
            whole = json.loads(file.read_text())
            whole["flags"]["new-checkout"]["targeting"] = {"fractional": [["on", percent], ["off", 100 - percent]]}
            file.write_text(json.dumps(whole, indent=2, ensure_ascii=False))

    def unreadable(self) -> AbstractContextManager[None]:
        return holding(self.file, "{")  # the first of them


class FlagdThere(FlagdHere):
    def __init__(self, fleet: SshdFleet, directory: Path) -> None:
        self.fleet = fleet
        name = f"{directory.name}-flags.json"  # the hosts are other tests' too
        self.files = [host.directory / "home" / name for host in fleet.hosts[:2]]
        for file in self.files:
            file.write_text(DEFINITIONS)
        self.file = self.files[0]
        hosts = tuple(host.name for host in fleet.hosts[:2])
        self.flag = FlagdFlag(f"~/{name}", "new-checkout", name="checkout", hosts=hosts)

    def connect(self, flag: FlagdFlag | None = None) -> FlagConnection:
        backend = Hosts([self.fleet.ssh_config], [self.fleet.known_hosts])
        return open_flag(
            flag or self.flag, backend, {host.name: host.as_host() for host in self.fleet.hosts}, Path("/")
        )

    def close(self) -> None:
        for file in self.files:
            file.unlink(missing_ok=True)


class ByCommand:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.value = directory / "value"
        self.value.write_text("0\n")

    def connect(self, **keys: Any) -> FlagConnection:
        commands = {"read": "echo of the flag:; cat value", "set": 'echo "$1" > value'}
        return open_flag(CommandFlag(name="checkout", **commands | keys), Hosts(), {}, self.directory)

    def by_hand(self, percent: int) -> None:
        self.value.write_text(f"{percent}\n")

    def unreadable(self) -> AbstractContextManager[None]:
        return holding(self.value, "no number\n")


class OnUnleash:
    """On our server, whose answers are written down."""

    def __init__(self, server: UnleashServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        (directory / "token").write_text(TOKEN + "\n")
        server.add("new-checkout")

    def connect(self, **keys: Any) -> FlagConnection:
        token = SecretReference("file", "token")
        words: dict[str, Any] = {"url": self.server.url, "flag": "new-checkout", "environment": "production"}
        flag: Flag = UnleashFlag(name="checkout", token=token, **words | keys)
        return open_flag(flag, Hosts(), {}, self.directory)

    def by_hand(self, percent: int) -> None:
        flag = self.server.flags["new-checkout"]
        flag["enabled"] = True
        flag["strategies"][0]["parameters"]["rollout"] = str(percent)

    def unreadable(self) -> AbstractContextManager[None]:
        return holding(self.directory / "token", "another one")


class OnRealUnleash:
    """On one that somebody has started, in its environment `production`."""

    def __init__(self, url: str, token: str, directory: Path) -> None:
        self.flag = f"qd-test-{uuid.uuid4().hex[:10]}"
        self.url = url
        self.directory = directory
        (directory / "token").write_text(token)
        self.client = httpx.Client(
            base_url=f"{url}/api/admin/projects/default/features", headers={"Authorization": token}
        )
        self.client.post("", json={"name": self.flag}).raise_for_status()

    def connect(self) -> FlagConnection:
        reference = SecretReference("file", "token")
        flag = UnleashFlag(name="checkout", url=self.url, flag=self.flag, environment="production", token=reference)
        return open_flag(flag, Hosts(), {}, self.directory)

    def by_hand(self, percent: int) -> None:
        place = f"/{self.flag}/environments/production"
        (strategy,) = self.client.get(place).json()["strategies"]
        body = {"name": "flexibleRollout", "parameters": {**strategy["parameters"], "rollout": str(percent)}}
        self.client.put(f"{place}/strategies/{strategy['id']}", json=body).raise_for_status()
        self.client.post(f"{place}/on", json={}).raise_for_status()

    def unreadable(self) -> AbstractContextManager[None]:
        return holding(self.directory / "token", "another one")

    def close(self) -> None:
        self.client.delete(f"/{self.flag}").raise_for_status()
        self.client.close()


KINDS = ("flagd here", "flagd over SSH", "unleash", "command") + (
    ("a real unleash",) if os.environ.get("QD_TEST_UNLEASH") else ()
)


@contextmanager
def a_flag(kind: str, directory: Path, fleet: SshdFleet) -> Iterator[Kind]:
    match kind:
        case "flagd here":
            yield FlagdHere(directory)
        case "flagd over SSH":
            over = FlagdThere(fleet, directory)
            yield over
            over.close()
        case "unleash":
            with unleash_server() as server:
                yield OnUnleash(server, directory)
        case "command":
            yield ByCommand(directory)
        case _:
            token = os.environ["QD_TEST_UNLEASH_TOKEN"]
            real = OnRealUnleash(os.environ["QD_TEST_UNLEASH"], token, directory)
            yield real
            real.close()
