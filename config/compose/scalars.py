"""What Compose's single values mean: sizes, durations, numbers, words of a command. Text in, value out, or Unfit."""

import ipaddress
import re
import shlex
from collections.abc import Callable

from quarterdeck.config.scalars import Unfit, true_or_false

NAME = r"[a-zA-Z0-9._-]{1,255}"
RESOURCE = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}"  # what an engine takes as the name of a container, a volume or a network
PROJECT = r"[a-z0-9][a-z0-9_-]{0,62}"
RESTART = r"(no|always|unless-stopped|on-failure(:[0-9]{1,6})?)?"  # empty is Compose's way to say nothing
LARGEST = 2**63 - 1  # what the engine's numbers hold

_SIZE = re.compile(r"([0-9]{1,19})(\.[0-9]{1,9})? ?([kmgtp]?)(i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d|w)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip
LONGEST_SECONDS = 10 * 365 * 86400.0


def boolean(text: str) -> bool:
    """`true` or `false` in any of YAML's three spellings, such as `True`; `yes` and `on` are refused. Raises ``Unfit``.

    The fleet file's own keys take one spelling; Compose takes all of them, so compose files of others hold them.
    """
    return true_or_false(text.lower() if text in ("True", "TRUE", "False", "FALSE") else text)


def size(text: str) -> int:
    """Bytes of `512m`, `1g`, `1gb`, `1.5GiB`, `1024`; k, m, g are powers of 1024 as everywhere in Docker. Raises ``Unfit``."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Unfit
    whole, fraction, unit, _ = found.groups()
    factor = 1 << (10 * _POWERS[unit.lower()])
    # Whole numbers stay whole: no float has all 63 bits.
    number = int(whole) * factor + (int(float(fraction) * factor) if fraction else 0)
    if number > LARGEST:
        raise Unfit("it is larger than an engine can count")
    return number


def size_or_unlimited(text: str) -> int:
    """Bytes, or -1 for no limit. Raises ``Unfit``."""
    return -1 if text == "-1" else size(text)


def duration(text: str) -> float:
    """Seconds of `1m30s`, `90s`, `1.5h`, `200ms`, `0`. Raises ``Unfit``."""
    if text in ("0", "+0", "-0"):
        return 0.0
    at, seconds = 0, 0.0
    while at < len(text):
        found = _DURATION.match(text, at)
        if found is None:
            bare = re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)
            raise Unfit("the unit is missing" if bare else "", nearest=f"{text}s" if bare else None)
        seconds += float(found[1]) * _SECONDS[found[2]]
        at = found.end()
    if not text:
        raise Unfit
    if seconds > LONGEST_SECONDS:
        raise Unfit("it is longer than ten years")
    return seconds


def whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` to ``most``, both included, which may be negative."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text) or not least <= int(text) <= most:
            raise Unfit
        return int(text)

    return read


def cpus(text: str) -> float:
    """A number of CPUs such as `0.5`; `0` is no limit. Raises ``Unfit``."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text):
        raise Unfit
    return float(text)


def mode(text: str) -> int:
    """Permissions, always octal, and so written: `0440`. Raises ``Unfit``."""
    found = re.fullmatch(r"0o?([0-7]{1,4})", text)
    if found is None:
        # Compose reads a bare 440 as a decimal number, "440" as an octal one: neither is guessed at here.
        octal = re.fullmatch(r"[0-7]{3}", text)
        raise Unfit("permissions begin with 0" if octal else "", nearest=f"0{text}" if octal else None)
    return int(found[1], 8)


def words(text: str) -> tuple[str, ...]:
    """The words of a command line, split as a shell splits them. Raises ``Unfit``."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Unfit(f"it can't be split into words: {str(error).lower()}") from None


def container_path(text: str) -> str:
    """An absolute path in the container. Raises ``Unfit``."""
    if not text.startswith("/"):
        raise Unfit("it must be an absolute path in the container")
    if "\0" in text or "\n" in text:
        raise Unfit
    return text if text == "/" else text.rstrip("/") or "/"


def bind_source(text: str) -> str:
    """The absolute path of a directory or file on the hosts. Raises ``Unfit``."""
    if text.startswith("~"):
        raise Unfit("whose home would that be? Write the absolute path on the hosts")
    if not text.startswith("/"):
        raise Unfit(
            "it is relative to this machine, and the container runs on others: write the absolute path on the hosts, or bring "
            "the file as one of the configs, or say directory: /PATH where the fleet file points at the compose file"
        )
    parts = text.split("/")
    if ".." in parts:
        raise Unfit("it must not contain ..")
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def address(text: str) -> str:
    """An IP address, without brackets. Raises ``Unfit``."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise Unfit from None
    return bare


def subnet(text: str) -> str:
    """A network such as `172.28.0.0/16`. Raises ``Unfit``."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Unfit from None
    return text


def variable(text: str) -> str:
    """The name of a variable of a container: anything without `=`, but nothing of ours. Raises ``Unfit``."""
    if not text or any(character in text for character in "=\0\n") or text != text.strip():
        raise Unfit
    if text.startswith("QD_"):
        raise Unfit("names that begin with QD_ are set by Quarterdeck")
    return text


def namespace(*names: str, container: bool = True) -> Callable[[str], str]:
    """A reader of ``names``, and of `container:NAME`. `service:NAME` is refused: which container that is changes."""

    def read(text: str) -> str:
        if text in names or (container and re.fullmatch(rf"container:{RESOURCE}", text)):
            return text
        if text.startswith("service:"):
            raise Unfit("services are rolled out each on its own, so none may live in another's namespace")
        raise Unfit

    return read


def security_option(text: str) -> str:
    """An option as the engine takes it, `key=value`. Raises ``Unfit``."""
    text = re.sub(r"^(no-new-privileges|seccomp|apparmor|label|systempaths):", r"\1=", text, count=1)
    key, _, value = text.partition("=")
    if key == "seccomp" and value != "unconfined" and value != "builtin":
        raise Unfit("a profile of this machine can't be sent; only unconfined and builtin are supported")
    if not text.strip():
        raise Unfit
    return text


def extra_host(text: str) -> str:
    """`name:address` of `name:address`, `name=address`, IPv6 with or without brackets. Raises ``Unfit``."""
    found = re.fullmatch(r"([^\s:=]+)\s*[:=]\s*(\S+)", text)
    if found is None:
        raise Unfit
    where = found[2]
    return f"{found[1]}:{where if where == 'host-gateway' else address(where)}"


def project_name(text: str) -> str:
    """A name as Compose makes one of a directory's: small letters, digits, `-`, `_`. Empty when nothing is left."""
    return re.sub(r"[^-_a-z0-9]", "", text.lower()).lstrip("_-")
