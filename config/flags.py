"""Feature flags as the fleet file declares them: frozen values, no more. How a flag is read and set is a backend's. Durations: seconds."""

from collections.abc import Mapping

import msgspec

from quarterdeck.config.model import SecretReference

TARGETING_KEY = "targetingKey"


class FlagdFlag(msgspec.Struct, frozen=True, tag="flagd"):
    """A flag in a file of flag definitions that flagd, or a provider of OpenFeature, reads.

    ``hosts`` are SSH hosts of the fleet that have this file each; empty: the machine that qd runs on. ``on`` and ``off`` are variants.
    ``bucket`` is the property of the evaluation context by which somebody keeps to one of them.
    """

    file: str  # absolute, or ~/… for the login user's home
    flag: str  # its key in there
    name: str = ""
    hosts: tuple[str, ...] = ()
    on: str = "on"
    off: str = "off"
    bucket: str = TARGETING_KEY
    timeout: float = 10.0  # of reading it, and of setting it


class UnleashFlag(msgspec.Struct, frozen=True, tag="unleash"):
    """A flag of an Unleash server, in one of its environments. ``url`` is the server's, without /api."""

    url: str
    flag: str
    environment: str
    token: SecretReference
    name: str = ""
    project: str = "default"
    stickiness: str = "default"  # of a strategy that is made because there is none
    timeout: float = 10.0


class CommandFlag(msgspec.Struct, frozen=True, tag="command"):
    """Shell commands here, in the fleet file's directory. ``read`` prints a percentage, ``set`` gets one as $1 and in QD_PERCENT."""

    read: str
    set: str
    name: str = ""
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    timeout: float = 10.0


Flag = FlagdFlag | UnleashFlag | CommandFlag
