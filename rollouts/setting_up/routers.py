"""The configuration that an environment's routers need for its services: worked out from the fleet file, put in place by a person."""

import getpass
from collections.abc import Iterable
from pathlib import Path

import msgspec

from quarterdeck.backends.routers.contract import Fronted, Setup
from quarterdeck.backends.routers.setup import setup_of
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.routers import CaddyRouter, Router

LOGIN = "deploy"  # where the router's host does not say as whom it is logged in to
SPARE = 2  # places for servers beyond one for each host: those that leave keep theirs for a while


class RouterSetup(msgspec.Struct, frozen=True):
    """``targets``: with the port where the clients of each come in. ``elsewhere``: further targets on the same router, which are not
    in this configuration. ``guessed``: the login, where nobody says as whom Quarterdeck is on the router's host; else empty."""

    router: Router
    targets: tuple[tuple[Target, int], ...]
    setup: Setup
    elsewhere: tuple[str, ...] = ()
    guessed: str = ""


class FilesInTheWay(Exception):
    """There are files of these names already, and they hold something else. Nothing was written."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        super().__init__(", ".join(map(str, self.paths)))


def setups(fleet: Fleet, targets: Iterable[Target], *, port: int = 80, login: str | None = None) -> list[RouterSetup]:
    """Of each router that one of ``targets`` is behind. Clients of its first service come in at ``port``, those of the next one at the
    port after it. ``login``: as whom Quarterdeck is on the router's host; None: as the fleet file says."""
    found: dict[str, list[Target]] = {}
    for target in targets:
        if target.routed is not None:
            found.setdefault(target.routed.router, []).append(target)
    result = []
    for name, behind in found.items():
        router = fleet.routers[name]
        fronted = [
            Fronted(target.routed, port + number, len(target.hosts) + SPARE)
            for number, target in enumerate(behind)
            if target.routed is not None
        ]
        made = setup_of(router, fronted, login=login or _login(fleet, router) or LOGIN)
        others = [
            other.name
            for other in fleet.targets.values()
            if other.routed is not None and other.routed.router == name and other not in behind
        ]
        ports = [one.port for one in fronted]
        known = login or _login(fleet, router)
        guessed = "" if known or isinstance(router, CaddyRouter) else LOGIN  # Caddy's needs no login
        result.append(RouterSetup(router, tuple(zip(behind, ports, strict=True)), made, tuple(others), guessed))
    return result


def _login(fleet: Fleet, router: Router) -> str:
    """Empty: the fleet file leaves it to the SSH configuration."""
    if not router.host:
        return getpass.getuser()
    user, at, _ = fleet.hosts[router.host].ssh.rpartition("@")
    return user if at else ""


def write_below(directory: Path, made: Iterable[RouterSetup]) -> list[Path]:
    """Each file below its own path, in a folder for each router where there are several. Raises ``FilesInTheWay``, ``OSError``."""
    each = list(made)
    files: dict[Path, str] = {}
    for one in each:
        below = directory / one.router.name if len(each) > 1 else directory
        files |= {below / file.path.lstrip("/"): file.text for file in one.setup.files}
    other = [path for path, text in files.items() if path.exists() and path.read_bytes() != text.encode()]
    if other:
        raise FilesInTheWay(other)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)
