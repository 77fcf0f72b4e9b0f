"""Previews: environments with a lifetime that `qd env clone` declares in files of their own, beside the reviewed fleet file. A preview that
can't be used is left out and says why: it never keeps the fleet from being read.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.kinds import NAME, SOME_TEXT
from quarterdeck.config.model import Environment, Host, Preview, Target
from quarterdeck.config.parts import ENV
from quarterdeck.config.places import Places
from quarterdeck.config.problems import FleetFileErrors, Problems
from quarterdeck.config.shapes import NOTHING, Fields, Key, Keys, ListOf, Nothing, Scalar
from quarterdeck.config.source import read_node
from quarterdeck.config.strategies import DEFAULT_STRATEGY

MOST_PREVIEWS = 200
SUFFIX = ".yml"
NEVER_TAKEN_OVER = ("router", "strategy")  # of a service: no preview is behind a router, none goes step by step
_HEAD = "# A preview that qd env clone has made; qd env extend and qd env remove change it.\n"


def _instant(text: str) -> str:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise scalars.Unfit from None
    if when.tzinfo is None:
        raise scalars.Unfit("a time needs its zone, as in 2026-12-03T10:00:00Z")
    return written_time(when)


_TIME = Scalar("a time such as 2026-12-03T10:00:00Z", _instant)
_NAMES = ListOf(NAME, "a list of names", least=1, distinct=True)
PREVIEW = Keys(
    "a preview",
    (
        Key("from", NAME, "The environment whose configuration it has.", required=True, field="origin"),
        Key("hosts", _NAMES, "Hosts of the fleet.", required=True),
        Key("services", _NAMES, "Services of that environment.", required=True),
        Key("env", ENV, "Variables that are another here."),
        Key("made", _TIME, "When it was made.", required=True),
        Key("by", SOME_TEXT, "Who made it.", required=True),
        Key("until", _TIME, "When its lifetime is over.", required=True),
    ),
)


def written_time(when: datetime) -> str:
    """In UTC, to the second: ``2026-12-03T10:00:00Z``."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text_of(preview: Preview) -> str:
    """What stands in its file."""
    body: dict[str, Any] = {"from": preview.origin, "hosts": list(preview.hosts), "services": list(preview.services)}
    if preview.env:
        body["env"] = dict(preview.env)
    body |= {"made": preview.made, "by": preview.by, "until": preview.until}
    return _HEAD + "".join(f"{key}: {json.dumps(value, ensure_ascii=True)}\n" for key, value in body.items())


def read_previews(directory: Path) -> tuple[Preview, ...]:
    """Those whose files lie in ``directory``, the oldest first: where two are in each other's way it is the newer that is left out. One
    that can't be read has ``fault``. No directory: none."""
    try:
        files = sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX) and not name.startswith("."))
    except OSError:
        return ()
    found = [read_preview(directory / name) for name in files[:MOST_PREVIEWS]]
    return tuple(sorted(found, key=lambda preview: (not preview.made, preview.made, preview.name)))


def read_preview(path: Path) -> Preview:
    """The preview of one file; with ``fault`` where it can't be read."""
    name = path.name.removesuffix(SUFFIX)
    problems = Problems()
    node = read_node(path, problems)
    found = PREVIEW.read(node, problems) if node is not None else None
    try:
        NAME.make(name)
    except scalars.Unfit:
        return Preview(name, file=path, fault=f"{path.name} is not named as an environment may be")
    if problems.found or not isinstance(found, Fields):
        return Preview(name, file=path, fault=why(problems) or "it is no preview")
    return Preview(name, file=path, **found.values)


def why(problems: Problems) -> str:
    """The first problem in one line; empty where there is none."""
    try:
        problems.raise_if_any()
    except FleetFileErrors as errors:
        first = errors.problems[0]
        return f"{first.file.name}:{first.line}:{first.column}: {first.message}"
    return ""


def fault_of(preview: Preview, environments: Mapping[str, Environment], hosts: Mapping[str, Host]) -> str:
    """What it names that there is not; empty: nothing."""
    if preview.name in environments:
        return f"the fleet file has an environment {preview.name} of its own"
    if preview.origin not in environments:
        return f"there is no environment {preview.origin} any more, from which it is"
    missing = [name for name in preview.hosts if name not in hosts]
    return f"there is no host {missing[0]}" if missing else ""


def as_service(name: str, service: Fields, preview: Preview) -> Fields:
    """A service as it is declared in the environment that the preview is from, for the preview alone."""
    override = service.values.get("environments", {}).get(preview.origin)
    plain = {key: value for key, value in service.values.items() if key not in NEVER_TAKEN_OVER}
    if isinstance(override, Nothing) or name not in preview.services:
        return Fields(service.node, {**plain, "environments": {preview.name: NOTHING}})
    node = override.node if override is not None else msgspec.structs.replace(service.node, entries={})
    said = override.values if override is not None else {}
    strategy = said.get("strategy", service.values.get("strategy", DEFAULT_STRATEGY))
    own = {key: value for key, value in said.items() if key not in NEVER_TAKEN_OVER}
    own["env"] = {**own.get("env", {}), **preview.env}
    if strategy.kind == "recreate":  # the service can't run twice, there as here
        own["strategy"] = msgspec.structs.replace(strategy, bake=None)
    return Fields(service.node, {**plain, "environments": {preview.name: Fields(node, own)}})


def copy_of(places: Places, problems: Problems) -> Places:
    """What is taken by now, to be added to without anybody seeing it before it has proved right."""
    return Places(
        places.hosts,
        problems,
        places.occupied.copy(),
        places.above.copy(),
        dict(places.named),
        {key: list(taken) for key, taken in places.published.items()},
        dict(places.listened),
        dict(places.reached),
        places.engines,
    )


def in_the_way(mine: Sequence[Target], others: Sequence[Target]) -> str:
    """A unit, or a port of a health check, that a target of the preview would share with another on one machine; empty: none."""
    taken: dict[tuple[str, str], str] = {}
    for other in others:
        for key in _claims(other):
            taken.setdefault(key, other.name)
    for target in mine:
        for machine, what in _claims(target):
            if (machine, what) in taken:
                return f"{target.name} and {taken[machine, what]} would both be {what} on one host: give it hosts of its own"
    return ""


def _claims(target: Target) -> list[tuple[str, str]]:
    if target.container is not None:
        return []  # its ports and names are looked at by themselves
    found = []
    if target.runner.unit is not None:
        found.append(f"the unit {target.runner.unit}")
    if target.health is not None:
        checks = (target.health.http, target.health.tcp)
        found += [f"port {check.port} (of the health check)" for check in checks if check is not None]
    return [(host.ssh.rpartition("@")[2], what) for host in target.hosts for what in found]
