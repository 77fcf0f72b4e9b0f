"""Compose's two ways to write a mount, and tmpfs. Names of volumes are still the project's own: they are looked up later."""

import re
from collections.abc import Mapping
from typing import Any

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import scalars
from quarterdeck.config.compose.shapes import BOOLEAN, ByForm, Pairs, WithPlace
from quarterdeck.config.container import Mount
from quarterdeck.config.kinds import TEXT
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Fields, Key, Keys, Scalar, wrong

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
SIZE = Scalar("a size such as 512m or 1g", scalars.size, {"type": ["string", "integer"]})
MODE = Scalar("permissions such as 0440", scalars.mode, {"type": ["string", "integer"]})
_DEFAULT_TMPFS = ("rw", "noexec", "nosuid", "nodev")  # what an engine gives anyway


def short_mount(text: str) -> Mount:
    """`TARGET`, `SOURCE:TARGET`, `SOURCE:TARGET:ro,z`. Raises ``Unfit``."""
    if re.match(r"[A-Za-z]:[\\/]", text):
        raise Unfit("a single letter is a drive of Windows, to Compose as well; give the volume a longer name")
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise Unfit
    if len(parts) == 1:
        return Mount("volume", scalars.container_path(parts[0]))
    source, target, *options = parts
    kind = "bind" if source[0] in "/.~" or "/" in source or "\\" in source else "volume"
    found: dict[str, Any] = {}
    for option in options[0].split(",") if options else ():
        if option in ("ro", "rw"):
            found["read_only"] = option == "ro"
        elif option in ("z", "Z") and kind == "bind":
            found["selinux"] = option
        elif option in PROPAGATIONS and kind == "bind":
            found["propagation"] = option
        elif option == "nocopy" and kind == "volume":
            found["nocopy"] = True
        else:
            raise Unfit(f"the option `{option}` is not supported for a {kind}")
    if kind == "bind":
        source = scalars.bind_source(source)
    elif not re.fullmatch(scalars.NAME, source):
        raise Unfit("that is neither a path nor the name of a volume")
    return Mount(kind, scalars.container_path(target), source, **found)


def short_tmpfs(text: str) -> Mount:
    """`/run`, `/run:size=64m,mode=1777`. Raises ``Unfit``."""
    target, colon, options = text.partition(":")
    found: dict[str, Any] = {}
    for option in options.split(",") if colon else ():
        name, _, value = option.partition("=")
        if name == "size":
            found["size"] = scalars.size(value)
        elif name == "mode":
            found["mode"] = scalars.mode(value if value.startswith("0") else f"0{value}")
        elif option not in _DEFAULT_TMPFS:
            raise Unfit(f"the option `{option}` is not supported, only size and mode")
    return Mount("tmpfs", scalars.container_path(target), **found)


_BIND = Keys(
    "the options of a bind mount",
    (
        Key("propagation", Choice(PROPAGATIONS), "How mounts below it are passed on."),
        Key("create_host_path", BOOLEAN, "Whether a missing directory is made on the host.", default="true"),
        Key("selinux", Choice(("z", "Z")), "How SELinux relabels it: shared or private."),
    ),
    refused={"recursive": "is not supported by this version"},
    compose=True,
)
_VOLUME = Keys(
    "the options of a volume's mount",
    (
        Key("nocopy", BOOLEAN, "Whether what the image has there is not copied into a new volume.", default="false"),
        Key("subpath", TEXT, "The path within the volume that is mounted."),
    ),
    refused={"labels": "is not supported by this version"},
    compose=True,
)
_TMPFS = Keys(
    "the options of a tmpfs",
    (
        Key("size", SIZE, "How large it may grow."),
        Key("mode", MODE, "Its permissions."),
    ),
    compose=True,
)
EXTERNAL = ByForm(
    "`true` or `false`",
    scalar=BOOLEAN,
    mapping=Keys(  # as older files say it
        "an external name",
        (Key("name", Scalar("a name", fleet_scalars.one_line), "Its name.", required=True),),
        make=lambda name: name,
        compose=True,
    ),
)
DEFINITION = (
    Key("external", EXTERNAL, "Whether it is made by others; then it must be there already.", default="false"),
    Key(
        "name",
        Scalar("a name as an engine takes it", fleet_scalars.matching(scalars.RESOURCE)),
        "Its name on the engine.",
    ),
    Key("driver", TEXT, "The driver that makes it."),
    Key("driver_opts", Pairs("a mapping of options to text", bare=False), "Options for the driver."),
    Key("labels", Pairs("a mapping or a list of labels"), "Labels that it is made with."),
)
"""What a compose file declares of a volume at its top level; in place it stands at the mount itself."""


def external_name(values: Mapping[str, Any], name: str) -> str | None:
    """What an external network, volume or secret is called; None for one that is not external."""
    external = values.get("external")
    if not external:
        return None
    return external if isinstance(external, str) else values.get("name") or name


_FITS = {"bind": "bind", "volume": "volume", "tmpfs": "tmpfs"}


def _only_its_options(node: MappingNode, values: Any, problems: Problems) -> bool:
    kind = values.get("type")
    for other in _FITS:
        if kind is not None and other != kind and other in node.entries:
            problems.add(node.key(other), f"`{other}` says nothing about a mount of type {kind}")
            return False
    for key in DEFINITION:
        if kind is not None and kind != "volume" and key.name in node.entries:
            problems.add(node.key(key.name), f"`{key.name}` is for volumes only")
            return False
    if kind == "tmpfs" and "source" in node.entries:
        problems.add(node.key("source"), "a tmpfs has no source")
        return False
    if kind == "bind" and "source" not in node.entries:
        problems.add(node, "a bind mount needs `source`: the absolute path on the hosts")
        return False
    return True


_LONG_KEYS = (
    Key(
        "type",
        Choice(
            ("bind", "volume", "tmpfs"),
            refused=dict.fromkeys(("image", "npipe", "cluster"), "is not supported by this version"),
        ),
        "What is mounted.",
        required=True,
    ),
    Key("source", TEXT, "The path on the hosts, or the volume's name. Without it: a volume of its own."),
    Key("target", Scalar("an absolute path", scalars.container_path), "Where, in the container.", required=True),
    Key("read_only", BOOLEAN, "Whether the container may not write there.", default="false"),
    Key("bind", _BIND, "What holds for a bind mount only."),
    Key("volume", _VOLUME, "What holds for a volume only."),
    Key("tmpfs", _TMPFS, "What holds for a tmpfs only."),
)
_LONG_REFUSED = {"consistency": "has no meaning on Linux hosts", "image": "is not supported by this version"}
LONG = Keys("a mount", _LONG_KEYS, refused=_LONG_REFUSED, check=_only_its_options, compose=True)
LONG_IN_PLACE = Keys(
    "a mount in place", (*_LONG_KEYS, *DEFINITION), refused=_LONG_REFUSED, check=_only_its_options, compose=True
)
_EXPECTED = 'a mount such as "data:/var/lib/data" or "/srv/data:/data:ro", or its long form (type, source, target, …)'
_SHORT = Scalar('a mount such as "data:/var/lib/data" or "/srv/data:/data:ro"', short_mount, {"type": "string"})
MOUNT = WithPlace(ByForm(_EXPECTED, scalar=_SHORT, mapping=LONG))
MOUNT_IN_PLACE = WithPlace(ByForm(_EXPECTED, scalar=_SHORT, mapping=LONG_IN_PLACE))
TMPFS = Scalar('a path such as "/run" or "/run:size=64m,mode=1777"', short_tmpfs, {"type": "string"})


def long_mount(fields: Fields, problems: Problems) -> Mount | None:
    """The mount that the long form describes; None when it was wrong."""
    values = fields.values
    kind, target, source = values.get("type"), values.get("target"), values.get("source", "")
    if kind is None or target is None or (kind == "bind" and not source):
        return None  # reported
    if kind == "bind":
        try:
            source = scalars.bind_source(source)
        except Unfit as unfit:
            wrong(fields.node.value("source"), "an absolute path on the hosts", problems, unfit)
            return None
    elif source and not re.fullmatch(scalars.NAME, source):
        wrong(fields.node.value("source"), "the name of a volume", problems)
        return None
    options = values.get(kind)
    found = dict(options.values) if isinstance(options, Fields) else {}
    return Mount(kind, target, source, read_only=values.get("read_only", False), **found)
