"""Compose's two ways to write a published port, read into one."""

import re
from typing import Any

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import scalars
from quarterdeck.config.compose.shapes import NUMBER_OR_TEXT, ByForm
from quarterdeck.config.container import PublishedPort
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Key, Keys, Scalar

MOST = 1000  # ports that one range may stand for
_PORTS = r"[0-9]{1,5}(?:-[0-9]{1,5})?"
_SHORT = re.compile(
    rf"(?:(?P<ip>\[[0-9A-Fa-f:.]+\]|[0-9.]+):(?P<any>{_PORTS}|):|(?P<published>{_PORTS}):)?"
    rf"(?P<target>{_PORTS})(?:/(?P<protocol>tcp|udp|sctp))?"
)


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found or found.start < 1 or found[-1] > 65535:
        raise Unfit("a port is a number from 1 to 65535, a range goes up")
    if len(found) > MOST:
        raise Unfit(f"it stands for more than {MOST} ports")
    return found


def short_ports(text: str) -> tuple[PublishedPort, ...]:
    """`80`, `8080:80`, `127.0.0.1:8080:80/udp`, with ranges of one length, or one of host ports to choose from. Raises ``Unfit``."""
    found = _SHORT.fullmatch(text)
    if found is None:
        raise Unfit
    targets = _range(found["target"])
    written = found["published"] or found["any"] or ""
    protocol = found["protocol"] or "tcp"
    host_ip = scalars.address(found["ip"]) if found["ip"] else ""
    if not written:
        return tuple(PublishedPort(target, "", host_ip, protocol) for target in targets)
    published = _range(written)
    if len(targets) == 1 and len(published) > 1:
        return (PublishedPort(targets[0], f"{published[0]}-{published[-1]}", host_ip, protocol),)
    if len(targets) != len(published):
        raise Unfit(f"{len(published)} ports of the host can't stand for {len(targets)} of the container")
    return tuple(
        PublishedPort(target, str(host), host_ip, protocol) for target, host in zip(targets, published, strict=True)
    )


def exposed(text: str) -> tuple[str, ...]:
    """`8080/tcp` for each port of `8080`, `8080/udp`, `8080-8085`. Raises ``Unfit``."""
    found = re.fullmatch(rf"({_PORTS})(?:/(tcp|udp|sctp))?", text)
    if found is None:
        raise Unfit
    return tuple(f"{port}/{found[2] or 'tcp'}" for port in _range(found[1]))


def _published(text: str) -> str:
    found = _range(text) if re.fullmatch(_PORTS, text) else None
    if found is None:
        raise Unfit
    return str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"


def _long(**found: Any) -> tuple[PublishedPort, ...]:
    return (PublishedPort(**{name: value for name, value in found.items() if name not in ("name", "app_protocol")}),)


PORT = ByForm(
    'a port such as 80, "8080:80" or "127.0.0.1:8080:80", or its long form (target, published, host_ip, protocol)',
    scalar=Scalar('a port such as 80, "8080:80" or "127.0.0.1:8080:80"', short_ports, NUMBER_OR_TEXT),
    mapping=Keys(
        "a published port",
        (
            Key(
                "target",
                Scalar("a port from 1 to 65535", fleet_scalars.whole_number(1, 65535), NUMBER_OR_TEXT),
                "The container's port.",
                required=True,
            ),
            Key(
                "published",
                Scalar("a port, or a range such as 8000-8009", _published, NUMBER_OR_TEXT),
                "The host's port, or a range of which a free one is taken.",
            ),
            Key("host_ip", Scalar("an IP address", scalars.address), "The host's address. Without it: all of them."),
            Key("protocol", Choice(("tcp", "udp", "sctp")), "The protocol.", default="tcp"),
            Key(
                "mode",
                Choice(("host", "ingress")),
                "On a swarm: on each node that runs a task, or on all; else both mean the same.",
            ),
            Key("name", Scalar("text", fleet_scalars.any_text), "A name for people; it changes nothing."),
            Key("app_protocol", Scalar("text", fleet_scalars.any_text), "A hint for people; it changes nothing."),
        ),
        make=_long,
        compose=True,
    ),
)
EXPOSED = Scalar('a port such as 8080 or "8080/udp"', exposed, NUMBER_OR_TEXT)
