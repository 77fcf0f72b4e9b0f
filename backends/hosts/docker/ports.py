"""Which port of the host a container publishes where its description leaves a range to choose from. One port is taken when it is made, so
that it keeps that port whenever it, or the engine, is started again: who sends requests there need not ask. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.backends.hosts.docker import names
from quarterdeck.config.container import ContainerSpec, PublishedPort

Taken = frozenset[str]
"""Ports of the host: ``8081/tcp``."""


def is_range(port: PublishedPort) -> bool:
    return "-" in port.published


def has_ranges(spec: ContainerSpec) -> bool:
    return any(is_range(port) for port in spec.ports)


def chosen_of(labels: Mapping[str, str]) -> Taken:
    """What was chosen for the container with these labels."""
    return frozenset(labels.get(names.PORTS, "").split())


def on_the_engine(listed: Iterable[Mapping[str, Any]]) -> Taken:
    """What running containers publish, as a list of the engine has them."""
    return frozenset(
        f"{port['PublicPort']}/{port.get('Type', 'tcp')}"
        for one in listed
        for port in one.get("Ports") or ()
        if port.get("PublicPort")
    )


def choose(spec: ContainerSpec, refused: Collection[str], *ranked: Collection[str]) -> tuple[ContainerSpec, Taken]:
    """``spec`` with one port instead of each range, and those that were chosen. ``ranked``: what is taken, by whom one would rather not
    get in the way of, the most important first; a start will show whether one can. Of ``refused`` none is chosen, unless all of them are.
    """
    own = {f"{port.published}/{port.protocol}" for port in spec.ports if not is_range(port)}
    order: tuple[Collection[str], ...] = (own, refused, *ranked)
    chosen: list[str] = []
    ports: list[PublishedPort] = []
    for port in spec.ports:
        if is_range(port):
            best = min(_choices(port), key=lambda one: [one in chosen, *(one in taken for taken in order)])
            chosen.append(best)
            ports.append(msgspec.structs.replace(port, published=best.partition("/")[0]))
        else:
            ports.append(port)
    return msgspec.structs.replace(spec, ports=tuple(ports)), frozenset(chosen)


def as_made(spec: ContainerSpec, labels: Mapping[str, str]) -> ContainerSpec:
    """``spec`` with the ports that were chosen for the container with these labels; as it is where none were."""
    chosen = chosen_of(labels)
    if not chosen:
        return spec
    return choose(spec, [one for port in spec.ports for one in _choices(port) if one not in chosen])[0]


def is_left(spec: ContainerSpec, refused: Collection[str]) -> bool:
    """Whether each range has a port that was not refused."""
    return all(any(one not in refused for one in _choices(port)) for port in spec.ports if is_range(port))


def named_in(said: str, chosen: Collection[str]) -> Taken:
    """Those of ``chosen`` that the engine's own words name."""
    return frozenset(one for one in chosen if re.search(rf":{one.partition('/')[0]}\b", said))


def _choices(port: PublishedPort) -> Sequence[str]:
    first, _, last = port.published.partition("-")
    if not first:
        return ()
    return [f"{number}/{port.protocol}" for number in range(int(first), int(last or first) + 1)]
