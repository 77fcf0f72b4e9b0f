"""Reads a fleet file into typed values, or says everything that is wrong with it. It changes and runs nothing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.build_reading import check_required, of_services
from quarterdeck.config.environments import environments_of, hosts_of
from quarterdeck.config.flag_reading import flags_of
from quarterdeck.config.include import Declared, read_all
from quarterdeck.config.model import Environment, Fleet, Host, Operators, Preview, Target
from quarterdeck.config.nodes import MappingNode, ScalarNode, SequenceNode
from quarterdeck.config.notifications import Destination
from quarterdeck.config.places import Places
from quarterdeck.config.previews import as_service, copy_of, fault_of, in_the_way, read_previews, why
from quarterdeck.config.problems import FleetFileErrors, Problem, Problems
from quarterdeck.config.shapes import Fields
from quarterdeck.config.targets import Assembly

__all__ = ["FleetFileErrors", "Problem", "load_fleet", "load_with_files"]


def load_fleet(path: Path) -> Fleet:
    """The fleet that ``path`` and what it includes declare. Raises ``FleetFileErrors`` with all errors at once."""
    return load_with_files(path)[0]


def load_with_files(path: Path) -> tuple[Fleet, tuple[Path, ...]]:
    """The same, with the files that were read, ``path`` first."""
    problems = Problems()
    declared = read_all(path, problems)
    if declared is None:
        problems.raise_if_any()
        raise AssertionError("a file that can't be read must have a problem")
    hosts = hosts_of(declared)
    environments = environments_of(declared, problems)
    assembly = Assembly(declared, hosts, environments, problems)
    targets = assembly.targets()
    services = declared.values["services"]
    check_required(environments, targets, services, lambda name: declared.places["environments"][name], problems)
    main = declared.main.values
    runbooks = _runbooks_of(declared, problems)
    notify = _notify_of(declared, problems)
    written_flags = declared.main.node.value("flags") if declared.main.has("flags") else None
    flags = flags_of(main.get("flags", {}), written_flags, hosts, problems)
    state = main.get("state") or default_state(main.get("fleet", ""))
    if state is None:
        problems.add(declared.main.node, "`state` is missing, and there is no home directory for its default")
    problems.raise_if_any()
    assert state is not None  # else that was a problem
    previews_in = main.get("previews") or state / "previews"
    previews = _previews_of(previews_in, declared, hosts, environments, targets, assembly.places)
    ssh = main["ssh"].values if isinstance(main.get("ssh"), Fields) else {}
    fleet = Fleet(
        name=main["fleet"],
        file=path.absolute(),
        state=state,
        hosts=hosts,
        environments={**previews.environments, **environments},
        services=tuple(services),
        targets={**previews.targets, **targets},
        operators=main.get("operators", Operators()),
        ssh_config=ssh.get("config", ()),
        known_hosts=ssh.get("known_hosts", ()),
        runbooks=runbooks,
        registries=main.get("registries", {}),
        analyses=_analyses_of(declared),
        routers=assembly.routing.routers,
        flags=flags,
        notify=notify,
        builds=of_services(services, "builds"),
        sources=of_services(services, "source"),
        previews=previews.every,
        previews_in=previews_in,
        files=(*problems.files, previews_in, *(preview.file for preview in previews.every.values())),
    )
    return fleet, fleet.files


class _Previews(msgspec.Struct):
    """``every``: those that can't be used, too, which are in neither of the others."""

    every: dict[str, Preview] = msgspec.field(default_factory=dict)
    environments: dict[str, Environment] = msgspec.field(default_factory=dict)
    targets: dict[str, Target] = msgspec.field(default_factory=dict)


def _previews_of(
    directory: Path,
    declared: Declared,
    hosts: Mapping[str, Host],
    environments: Mapping[str, Environment],
    targets: Mapping[str, Target],
    places: Places,
) -> _Previews:
    """The previews, each looked at with problems of its own: what is wrong with one is nobody else's."""
    found = _Previews()
    if not os.path.isdir(directory):  # as Path asks it, one that may not be looked at raises
        return found
    for preview in read_previews(directory):
        fault = preview.fault or fault_of(preview, environments, hosts)
        if fault:
            found.every[preview.name] = msgspec.structs.replace(preview, fault=fault)
            continue
        environment = Environment(preview.name, preview.hosts, preview=preview)
        below = declared.values["environments"][preview.origin]
        kept = {key: value for key, value in below.values.items() if key in ("env", "secrets")}
        services = {name: as_service(name, service, preview) for name, service in declared.values["services"].items()}
        written = declared.places["environments"]
        mine = Declared(
            declared.main,
            {
                "hosts": declared.values["hosts"],
                "environments": {preview.name: Fields(below.node, kept)},
                "services": services,
            },
            {**declared.places, "environments": {**written, preview.name: written[preview.origin]}},
        )
        problems = Problems()
        assembly = Assembly(mine, hosts, {preview.name: environment}, problems)
        assembly.places = copy_of(places, problems)
        made = assembly.targets()
        fault = why(problems) or in_the_way(list(made.values()), [*targets.values(), *found.targets.values()])
        if not fault and not made:
            fault = f"none of its services is in {preview.origin} any more: {', '.join(preview.services)}"
        found.every[preview.name] = msgspec.structs.replace(preview, fault=fault)
        if not fault:
            places = assembly.places
            found.environments[preview.name] = environment
            found.targets |= made
    return found


def _analyses_of(declared: Declared) -> Mapping[str, Any]:
    """The analyses by name. That steps name no others was checked with the targets."""
    found = declared.main.values.get("analyses", {})
    if not found:
        return {}
    from quarterdeck.config.analyses import Analysis

    return {name: Analysis(name, metrics) for name, metrics in found.items()}


def _notify_of(declared: Declared, problems: Problems) -> tuple[Destination, ...]:
    """The destinations of notifications, numbered; an environment or a service that is not there is a problem."""
    written = declared.main.node.value("notify") if declared.main.has("notify") else None
    for item in written.items if isinstance(written, SequenceNode) else ():
        for section, kind in (("environments", "environment"), ("services", "service")):
            names = item.value(section) if isinstance(item, MappingNode) and section in item.entries else None
            known = declared.places[section]
            for name in names.items if isinstance(names, SequenceNode) else ():
                if isinstance(name, ScalarNode) and name.text not in known:
                    problems.add(name, f"there is no {kind} `{name.text}`", nearest=problems.nearest(name.text, known))
    found: tuple[Destination, ...] = declared.main.values.get("notify", ())
    taken: set[str] = set()
    for one, item in zip(found, written.items if isinstance(written, SequenceNode) else (), strict=False):
        if one.name in taken and isinstance(item, MappingNode):
            problems.add(item.value("name"), f"another destination has the name `{one.name}`")
        taken |= {one.name} - {""}
    return tuple(msgspec.structs.replace(one, number=number) for number, one in enumerate(found, 1))


def _runbooks_of(declared: Declared, problems: Problems) -> Mapping[str, Path]:
    """The runbooks by service; a service that is not there is a problem."""
    known = declared.places["services"]
    written = declared.main.node.value("runbooks") if declared.main.has("runbooks") else None
    for entry in written.entries.values() if isinstance(written, MappingNode) else ():
        name = entry.key.text
        if name not in known:
            problems.add(entry.key, f"there is no service `{name}`", nearest=problems.nearest(name, known))
    found: Mapping[str, Path] = declared.main.values.get("runbooks", {})
    return found


def default_state(fleet: str) -> Path | None:
    """$XDG_STATE_HOME/quarterdeck/<fleet>, or ~/.local/state/quarterdeck/<fleet>; None when there is no home either."""
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return base / "quarterdeck" / fleet
