"""What a scalar's text means where a duration, a share, an address … is expected: text in, value out, or Unfit."""

import ipaddress
import re
from collections.abc import Callable, Sequence

from quarterdeck.config.model import Share

NAME = r"[a-z0-9][a-z0-9_.-]{0,62}"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
PERSON = r"@?[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?"
DURATION = r"0|(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?"
PERCENT = r"[0-9]{1,3}(\.[0-9]+)?%"
WEIGHT = r"[0-9]{1,3}(?:\.[0-9]{1,3})?%?"
MODE = r"0?[0-7]{3}"
UNIT = r"[A-Za-z0-9_:][A-Za-z0-9_:.@\\-]*\.(service|socket|target|timer|path)"
SSH = (
    r"([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?(\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(:[0-9]{1,5})?"
)
ADDRESS = r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?"
SHA256 = r"[0-9A-Fa-f]{64}"
DOCKER = r"(unix:///.+|ssh://[^/]+(/.+)?|tcp://[^/]+:[0-9]{1,5}|context://[A-Za-z0-9][A-Za-z0-9_.+-]*)"
NODES = r"(unix:///.+|ssh://[^/]+(/.+)?|tcp://[^/]+:[0-9]{1,5}|context://[A-Za-z0-9{][A-Za-z0-9_.+{}-]*)"
IMAGE_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
REGISTRY = r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?"
IMAGE = rf"({REGISTRY}/)?{IMAGE_PART}(/{IMAGE_PART})*"
REGISTRY_PART = rf"{REGISTRY}(/{IMAGE_PART})*"
LONGEST_IMAGE = 255
URL_PATH = r"/[!-~]*"

LONGEST_SECONDS = 10 * 365 * 86400.0
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Unfit(ValueError):
    """A text that does not mean what is expected. The message says why, when there is more to say than that."""

    def __init__(self, why: str = "", *, nearest: str | None = None) -> None:
        super().__init__(why)
        self.nearest = nearest


def duration(text: str) -> float:
    """Seconds of `30s`, `5m`, `2h`, `30d`, `1h30m`, `0.5s`, `200ms`, `0`. Raises ``Unfit``."""
    if not re.fullmatch(DURATION, text):
        bare = re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)
        raise Unfit("the unit is missing" if bare else "", nearest=f"{text}s" if bare else None)
    parts = re.findall(r"([0-9.]+)(ms|[dhms])", text)
    if any(len(number) > 15 for number, _ in parts):
        raise Unfit("it is longer than ten years")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST_SECONDS:
        raise Unfit("it is longer than ten years")
    return float(seconds)


def positive_duration(text: str) -> float:
    """Seconds, more than none. Raises ``Unfit``."""
    seconds = duration(text)
    if seconds <= 0:
        raise Unfit("it must be longer than 0")
    return seconds


def share(text: str) -> Share:
    """A number of hosts, or a percentage of them. Raises ``Unfit``."""
    if re.fullmatch(r"[1-9][0-9]{0,5}", text):
        return Share(count=int(text))
    if re.fullmatch(PERCENT, text) and 0 < float(text[:-1]) <= 100:
        return Share(percent=float(text[:-1]))
    raise Unfit()


def weight(text: str) -> float:
    """Percent: more than 0, up to 100; the sign may be left out. Raises ``Unfit``."""
    if not re.fullmatch(WEIGHT, text) or not 0 < float(text.removesuffix("%")) <= 100:
        raise Unfit()
    return float(text.removesuffix("%"))


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole decimal numbers from ``least`` to ``most``, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text) or not least <= int(text) <= most:
            raise Unfit()
        return int(text)

    return read


def mode(text: str) -> int:
    """File permissions of `0644` or `600`, always read as octal. Raises ``Unfit``."""
    if not re.fullmatch(MODE, text):
        raise Unfit()
    return int(text, 8)


def true_or_false(text: str) -> bool:
    """`true` or `false`, nothing else: YAML 1.1's `yes`, `on`, `no`, `off` are refused. Raises ``Unfit``."""
    if text not in ("true", "false"):
        meant = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
        folded = text.casefold()
        raise Unfit(nearest=meant.get(folded, folded if folded in ("true", "false") else None))
    return text == "true"


def ssh_address(text: str) -> str:
    """`name`, `user@address`, `user@address:port`, with IPv6 in brackets. Raises ``Unfit``."""
    if not re.fullmatch(SSH, text):
        raise Unfit(
            "without ssh://" if text.startswith("ssh://") else "",
            nearest=text[6:] if text.startswith("ssh://") else None,
        )
    _, colon, port = text.rpartition(":")
    if colon and port.isdigit() and not 1 <= int(port) <= 65535:
        raise Unfit("a port is a number from 1 to 65535")
    return text


def docker_address(text: str) -> str:
    """Where an engine listens: `unix:///path`, `ssh://[user@]address[:port][/socket]`, `tcp://address:port`,
    `context://NAME`. Raises ``Unfit``."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise Unfit(
            "it begins with unix://, ssh://, tcp:// or context://",
            nearest=f"unix://{text}" if text[:1] == "/" else None,
        )
    if any(character.isspace() for character in text):
        raise Unfit
    match scheme:
        case "unix":
            if not rest.startswith("/") or rest.endswith("/") or ".." in rest.split("/"):
                raise Unfit("after unix:// comes the absolute path of a socket", nearest="unix:///var/run/docker.sock")
        case "ssh":
            login, slash, path = rest.partition("/")
            ssh_address(login)
            if slash and (not path or path.endswith("/") or ".." in path.split("/")):
                raise Unfit("after the address comes nothing, or the absolute path of a socket")
        case "tcp":
            if not re.search(r":[0-9]{1,5}$", rest) and re.fullmatch(ADDRESS, rest):
                raise Unfit("the port is missing", nearest=f"{text}:2376")
            if "@" in rest:
                raise Unfit("there is no login over tcp://")
            ssh_address(rest)
        case "context":
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", rest):
                raise Unfit("after context:// comes the name of one of Docker's contexts")
        case _:
            raise Unfit("it begins with unix://, ssh://, tcp:// or context://", nearest=nearest_scheme(scheme, rest))
    return text


def node_address(text: str) -> str:
    """Where the engine of each node of a swarm listens: as an engine's, with {address} or {hostname} in it. Raises ``Unfit``."""
    docker_address(fill(text, {"address": "10.0.0.1", "hostname": "node-1"}))
    if not re.search(r"\{(address|hostname)\}", text):
        raise Unfit("with neither {address} nor {hostname} in it, it is the same for all nodes")
    return text


def nearest_scheme(scheme: str, rest: str) -> str | None:
    """What was probably meant by an address with this scheme."""
    return f"tcp://{rest}" if scheme in ("http", "https") else None


def image_repository(text: str) -> str:
    """A repository of images as in `docker pull`, without a tag and a digest. Raises ``Unfit``."""
    if len(text) > LONGEST_IMAGE:
        raise Unfit(f"it is longer than {LONGEST_IMAGE} characters")
    if "://" in text:
        raise Unfit("an image has no scheme", nearest=text.partition("://")[2])
    name, at, digest = text.partition("@")
    if at:
        raise Unfit(f"a version is resolved to its digest; leave `@{digest[:20]}` out", nearest=name)
    before, colon, tag = name.rpartition(":")
    if colon and "/" not in tag and re.fullmatch(IMAGE, before):
        raise Unfit(f"the version is the tag; leave `:{tag[:40]}` out", nearest=before)
    if not re.fullmatch(IMAGE, text):
        if re.fullmatch(IMAGE, text.lower()):
            raise Unfit("the name of an image is in small letters", nearest=text.lower())
        raise Unfit
    first, slash, _ = text.partition("/")
    _, _, port = first.rpartition(":")
    if slash and ":" in first and port.isdigit() and not 1 <= int(port) <= 65535:
        raise Unfit("a port is a number from 1 to 65535")
    return text


def registry_part(text: str) -> str:
    """A registry as it stands at the beginning of an image's name, or the beginning of its repositories' paths. Raises ``Unfit``."""
    if "://" in text:
        raise Unfit("a registry has no scheme", nearest=text.partition("://")[2].rstrip("/"))
    first, _, _ = text.partition("/")
    if first in ("index.docker.io", "registry-1.docker.io"):
        raise Unfit("Docker Hub is called docker.io", nearest="docker.io")
    # As Docker tells a registry from a part of a path.
    if not any(mark in first for mark in ".:") and first != "localhost":
        raise Unfit("it has a dot or a port, or is localhost")
    if not re.fullmatch(REGISTRY_PART, text):
        raise Unfit
    return text


def release_path(text: str) -> str:
    """A path below the release's directory, in its one shortest form. Raises ``Unfit``."""
    if text.startswith(("/", "~")):
        raise Unfit("it must be relative to the release's directory")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Unfit("it leads out of the release's directory")
    if not parts or text.endswith(("/", "/.")):
        raise Unfit("it must name a file")
    if parts[0].startswith("qd."):
        raise Unfit("names that begin with qd. are Quarterdeck's own")
    return "/".join(parts)


def ip_address(text: str) -> str:
    """In its one usual form, without brackets. Raises ``Unfit``."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Unfit from None


def host_path(text: str) -> str:
    """A path on a host in its one shortest form: absolute, or ~/… for the login user's home there. Raises ``Unfit``."""
    root = "~" if text.startswith("~/") else ""
    if not root and not text.startswith("/"):
        raise Unfit("it must begin with / or ~/, since it is a path on the hosts")
    parts = [part for part in text.removeprefix(root).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Unfit("it must not contain ..")
    if not parts:
        raise Unfit("the root directory (or a whole home) can't be given to a service")
    return root + "/" + "/".join(parts)


def fill(text: str, values: dict[str, str]) -> str:
    """``text`` with each {name} of ``values`` filled in. Raises ``Unfit`` for any other name in braces."""
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in values:
            known = " and ".join(f"{{{known}}}" for known in values)
            raise Unfit(f"{{{name}}} can't be filled in here, only {known}")
    return re.sub(r"\{([^{}]*)\}", lambda found: values[found[1]], text)


def variable(text: str) -> str:
    """The name of a variable of a service. Raises ``Unfit``."""
    if not re.fullmatch(VARIABLE, text):
        raise Unfit()
    if text.startswith("QD_"):
        raise Unfit("names that begin with QD_ are set by Quarterdeck")
    return text


def matching(pattern: str) -> Callable[[str], str]:
    """A reader of text that matches the whole ``pattern``."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Unfit()
        return text

    return read


def one_line(text: str) -> str:
    """Text that is not empty and has no line break. Raises ``Unfit``."""
    if not text.strip():
        raise Unfit("it is empty")
    if "\n" in text or "\r" in text:
        raise Unfit("it must be one line")
    return text


def some_text(text: str) -> str:
    """Text that is not empty. Raises ``Unfit``."""
    if not text.strip():
        raise Unfit("it is empty")
    return text


def any_text(text: str) -> str:
    """The text as it is."""
    return text


def either(words: Sequence[str]) -> str:
    """The words as a phrase: "`a`, `b` or `c`"."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
