"""The kinds of single values that stand in a fleet file, each with its words for errors and its JSON Schema."""

from typing import Any

from quarterdeck.config import freeze_reading, scalars
from quarterdeck.config.shapes import TEXT_SCHEMA, Scalar

PLACE = {"environment": "environment", "service": "service"}  # stand-ins, to check a path before its names are known


_MATCHED = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}"  # no router has a second meaning for any of it


def _pattern(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _or_number(pattern: str, least: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least}, _pattern(pattern)]}


TEXT = Scalar("text", scalars.any_text)
SOME_TEXT = Scalar("text", scalars.some_text)
COMMAND = Scalar("a shell command", scalars.some_text, {"type": "string", "minLength": 1})
NAME = Scalar(
    "a name of at most 63 small letters, digits, `.`, `_`, `-`, beginning with a letter or digit",
    scalars.matching(scalars.NAME),
    TEXT_SCHEMA,
)
VARIABLE = Scalar(
    "the name of a variable: letters, digits and `_`, not beginning with a digit",
    scalars.matching(scalars.VARIABLE),
    _pattern(scalars.VARIABLE),
)
OWN_VARIABLE = Scalar(VARIABLE.expected, scalars.variable, VARIABLE.json)
LABEL = Scalar("the name of a label", scalars.one_line)
PERSON = Scalar("a unix user or @group", scalars.matching(scalars.PERSON), _pattern(scalars.PERSON))
BOOLEAN = Scalar("`true` or `false`", scalars.true_or_false, {"type": "boolean"})
_DURATION_JSON = {"anyOf": [_pattern(scalars.DURATION), {"const": 0}]}
DURATION = Scalar("a duration such as 30s, 5m, 2h or 30d", scalars.duration, _DURATION_JSON)
SOME_TIME = Scalar("a duration such as 30s, 5m, 2h or 30d", scalars.positive_duration, _DURATION_JSON)
SHARE = Scalar("a number of hosts such as 2, or a share such as 25%", scalars.share, _or_number(scalars.PERCENT, 1))
WEIGHT = Scalar(
    "a percentage above 0, up to 100, such as 25",
    scalars.weight,
    {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 100}, _pattern(scalars.WEIGHT)]},
)
FLAG_PERCENT = Scalar(
    "a whole percentage from 1 to 100, such as 25",
    scalars.whole_number(1, 100),
    {"type": "integer", "minimum": 1, "maximum": 100},
)
MODE = Scalar("permissions such as 0644", scalars.mode, _or_number(scalars.MODE, 0))
PORT = Scalar(
    "a port from 1 to 65535", scalars.whole_number(1, 65535), {"type": "integer", "minimum": 1, "maximum": 65535}
)
STATUS = Scalar(
    "an HTTP status from 100 to 599",
    scalars.whole_number(100, 599),
    {"type": "integer", "minimum": 100, "maximum": 599},
)
FEW = Scalar(
    "a whole number from 0 to 100", scalars.whole_number(0, 100), {"type": "integer", "minimum": 0, "maximum": 100}
)
COUNT = Scalar(
    "a whole number from 1 to 1000", scalars.whole_number(1, 1000), {"type": "integer", "minimum": 1, "maximum": 1000}
)
MATCHED = Scalar("a value of letters, digits and . _ ~ -", scalars.matching(_MATCHED), _pattern(_MATCHED))
IP = Scalar("an IP address", scalars.ip_address, {"type": "string", "format": "ip"})
ADDRESS = Scalar("a host name or an IP address", scalars.matching(scalars.ADDRESS), _pattern(scalars.ADDRESS))
SSH_ADDRESS = Scalar(
    "a name of your ~/.ssh/config, or [user@]address[:port]", scalars.ssh_address, _pattern(scalars.SSH)
)
DOCKER_ADDRESS = Scalar(
    "unix:///path, ssh://[user@]address[:port][/socket], tcp://address:port or context://NAME",
    scalars.docker_address,
    _pattern(scalars.DOCKER),
)
NODE_ADDRESS = Scalar(
    "an engine's address with {address} or {hostname} of a node in it, such as ssh://deploy@{address}",
    scalars.node_address,
    _pattern(scalars.NODES),
)
IMAGE = Scalar(
    "a repository of images such as registry.acme.io/api, without a tag",
    scalars.image_repository,
    {**_pattern(scalars.IMAGE), "maxLength": scalars.LONGEST_IMAGE},
)
REGISTRY = Scalar(
    "a registry such as registry.acme.io:5000, or a part of one such as gitlab.acme.io/shop",
    scalars.registry_part,
    _pattern(scalars.REGISTRY_PART),
)
MOMENT = Scalar(
    "a time of the week such as Fri 16:00, or a day such as 2026-12-20 or 2026-12-20 18:00",
    freeze_reading.edge,
    _pattern(freeze_reading.EDGE),
)
ZONE = Scalar("a time zone such as Europe/Berlin", freeze_reading.zone, _pattern(freeze_reading.ZONE))
URL_PATH = Scalar("a path that begins with /", scalars.matching(scalars.URL_PATH), _pattern(scalars.URL_PATH))
UNIT_NAME = Scalar(
    "the name of a systemd unit such as web.service", scalars.matching(scalars.UNIT), _pattern(scalars.UNIT)
)
RELEASE_PATH = Scalar("a relative path below the release's directory", scalars.release_path)


def _host_path(text: str) -> str:
    scalars.host_path(scalars.fill(text, PLACE))
    return text


def _log_path(text: str) -> str:
    scalars.host_path(scalars.fill(text, {**PLACE, "slot": "slot"}))
    return text


HOST_PATH = Scalar(
    "an absolute path on the hosts, or ~/… for the login user's home there", _host_path, _pattern("~?/.+")
)
LOG_PATH = Scalar(HOST_PATH.expected, _log_path, HOST_PATH.json)
