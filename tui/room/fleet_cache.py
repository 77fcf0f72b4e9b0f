"""A short description of each fleet that was opened, kept so that the first paint need not read YAML: names, hosts, where the
journal is. Holds no secret, is for this user only, and is taken for nothing when anything about it is odd."""

import binascii
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from quarterdeck.config.model import Fleet
    from quarterdeck.rollouts.picture.needs import PicturedFleet

FORMAT: Final = 4
MOST_BYTES: Final = 8 * 1024 * 1024
KEPT: Final = 400  # services on hosts, from which on a picture is kept: fewer are read in some milliseconds
LARGE: Final = 4000  # likewise, from which on reading what their hosts said since takes too long for a first paint


class KnownHost(msgspec.Struct, frozen=True):
    name: str


class KnownEnvironment(msgspec.Struct, frozen=True):
    after: str | None
    until: str | None = None


class KnownTarget(msgspec.Struct, frozen=True):
    name: str
    environment: str
    service: str
    hosts: tuple[KnownHost, ...]
    routed: bool


class KnownFleet(msgspec.Struct, frozen=True):
    """What a picture needs of a fleet, by the same names (see config.model.Fleet). ``look``: the one worn last."""

    name: str
    state: Path
    environments: Mapping[str, KnownEnvironment]
    services: tuple[str, ...]
    targets: Mapping[str, KnownTarget]
    look: str


def is_kept(fleet: "PicturedFleet") -> bool:
    """Whether its picture is kept for the next first paint (see known_picture.py)."""
    return _on_hosts(fleet) >= KEPT


def is_large(fleet: "PicturedFleet") -> bool:
    """Whether that paint leaves out what hosts said since."""
    return _on_hosts(fleet) >= LARGE


def _on_hosts(fleet: "PicturedFleet") -> int:
    return sum(len(target.hosts) for target in fleet.targets.values())


def cache_path(fleet_file: Path, environment: Mapping[str, str] | None = None) -> Path:
    """$XDG_CACHE_HOME/quarterdeck/fleet-<CRC-32 of the fleet file's path>.json."""
    variables = os.environ if environment is None else environment
    given = variables.get("XDG_CACHE_HOME", "")
    home = variables.get("HOME") or os.path.expanduser("~")
    base = Path(given) if given.startswith("/") else Path(home) / ".cache"
    # No hash that takes longer to load: two files with the same number take each other's place, and each is known by its key.
    name = f"{binascii.crc32(os.fsencode(os.path.abspath(fleet_file))):08x}"
    return base / "quarterdeck" / f"fleet-{name}.json"


def _key(fleet_file: Path) -> list[Any]:
    """What changes when the file does. (Files that it includes are not looked at: the room itself reads them a moment later.)"""
    found = os.stat(fleet_file)
    return [FORMAT, os.path.abspath(fleet_file), found.st_mtime_ns, found.st_size]


def _directory(previews: Path) -> list[Any]:
    """What changes when a preview is made, extended (its file is replaced) or removed."""
    try:
        return [str(previews), os.stat(previews).st_mtime_ns]
    except OSError:
        return [str(previews), 0]


def remember(fleet: "Fleet", look: str, environment: Mapping[str, str] | None = None) -> None:
    """Writes it down for the next start, unless the same is there. Never raises: it is a convenience."""
    from quarterdeck.rollouts.picture.hosts import Names
    from quarterdeck.tui.room.own_files import write_own

    try:
        lists: dict[tuple[str, ...], int] = {}  # of hosts: most targets of an environment have the same
        names = Names()
        hosts = {name: lists.setdefault(names.of(target), len(lists)) for name, target in fleet.targets.items()}
        text = json.dumps(
            {
                "key": _key(fleet.file),
                "name": fleet.name,
                "state": str(fleet.state),
                "look": look,
                "environments": [[name, each.after, each.until] for name, each in fleet.environments.items()],
                "previews": _directory(fleet.previews_in),
                "services": list(fleet.services),
                "hosts": [list(names) for names in lists],
                "targets": [
                    [target.environment, target.service, hosts[name], target.routed is not None]
                    for name, target in fleet.targets.items()
                ],
            }
        )
        path = cache_path(fleet.file, environment)
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_own(path, text)
    except (OSError, ValueError, TypeError):
        return


def recall(fleet_file: Path, environment: Mapping[str, str] | None = None) -> KnownFleet | None:
    """The description of that very file as it is now, None when there is none that can be trusted."""
    try:
        descriptor = os.open(
            cache_path(fleet_file, environment), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        )
        with open(descriptor, encoding="utf-8") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                return None
            if found.st_size > MOST_BYTES:
                return None
            body = json.load(file)
        if body["key"] != _key(fleet_file) or body["previews"] != _directory(Path(_text(body["previews"][0]))):
            return None
        return _known(body)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _known(body: dict[str, Any]) -> KnownFleet:
    """Raises ValueError, KeyError, TypeError for what has another shape."""
    environments = {
        _text(name): KnownEnvironment(None if after is None else _text(after), None if until is None else _text(until))
        for name, after, until in body["environments"]
    }
    lists = [tuple(KnownHost(_text(host)) for host in hosts) for hosts in body["hosts"]]
    targets = {}
    for environment, service, hosts, routed in body["targets"]:
        name = f"{_text(environment)}/{_text(service)}"
        targets[name] = KnownTarget(name, environment, service, lists[_number(hosts)], bool(routed))
    state = Path(_text(body["state"]))
    if not state.is_absolute() or not targets:
        raise ValueError("state")
    services = tuple(_text(name) for name in body["services"])
    return KnownFleet(_text(body["name"]), state, environments, services, targets, _text(body["look"]))


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
