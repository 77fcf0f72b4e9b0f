"""From what the fleet file says of a flag to what reads and sets it. What a kind needs is loaded when there is one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.backends.flags.contract import FlagConnection
from quarterdeck.config.flags import CommandFlag, FlagdFlag, UnleashFlag
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.config.flags import Flag


def open_flag(flag: "Flag", backend: "Hosts", hosts: Mapping[str, Host], base: Path) -> FlagConnection:
    """Connects to nothing yet. ``hosts``: those of the fleet; ``base``: the fleet file's directory."""
    match flag:
        case FlagdFlag():
            from quarterdeck.backends.flags.flagd import FlagdConnection

            return FlagdConnection(flag, backend, hosts)
        case UnleashFlag():
            from quarterdeck.backends.flags.unleash import UnleashConnection

            return UnleashConnection(flag, base)
        case CommandFlag():
            from quarterdeck.backends.flags.command import CommandConnection

            return CommandConnection(flag, base)
