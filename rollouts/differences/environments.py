"""What differs between two environments: how each service is declared there, and what runs there. Secrets only as references. Pure but for
the journal, which is read and never written."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from quarterdeck.config.freezes import Freeze
from quarterdeck.config.model import Environment, Fleet, Target
from quarterdeck.config.names import UnknownName, find_environment
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord, to_json
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.differences.releases import (
    Change,
    FileChange,
    change_lines,
    change_values,
    changes_between,
    compare,
    file_lines,
    file_values,
    flat,
)
from quarterdeck.rollouts.picture.fleet import take_picture

_NAMED_THERE = frozenset(
    {"path", "logs", "container"}
)  # where a text may be another only for the environment's name in it
_POLICY = ("after", "soak", "approvals", "freezes", "require", "max_parallel", "drills")
_ONE_WORD = ("on_unreachable", "on_orphan", "progress_deadline")
_SECTIONS = ("rollback", "keep", "artifact", *_ONE_WORD)


class SecretDifference(msgspec.Struct, frozen=True):
    """A secret that is not referred to alike. ``before`` and ``after``: the references («env NAME»), None: it is not set there."""

    name: str
    before: str | None
    after: str | None


class Runs(msgspec.Struct, frozen=True):
    """What runs on a target by the journal. ``since`` in ISO 8601 UTC; None where it is not known."""

    release: str
    version: str
    commit: str | None
    since: str | None
    by: str | None


class ServiceDifference(msgspec.Struct, frozen=True):
    """``only_in``: the one environment that has the service, None: both do. ``by_name``: keys that are another only for the environment's
    name in them, which nobody has to read."""

    service: str
    only_in: str | None = None
    runs: tuple[Runs | None, Runs | None] = (None, None)
    env: tuple[Change, ...] = ()
    files: tuple[FileChange, ...] = ()
    secrets: tuple[SecretDifference, ...] = ()
    settings: Mapping[str, tuple[Change, ...]] = msgspec.field(default_factory=dict)
    by_name: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether it is declared alike in both."""
        return self.only_in is None and not (self.env or self.files or self.secrets or any(self.settings.values()))


class EnvironmentsDifference(msgspec.Struct, frozen=True):
    """``journal``: whether there was one to say what runs."""

    before: str
    after: str
    policy: tuple[Change, ...]
    services: tuple[ServiceDifference, ...]
    journal: bool

    @property
    def same(self) -> bool:
        """Whether all is declared alike; what runs is another matter."""
        return not self.policy and all(service.same for service in self.services)


def compare_environments(
    fleet: Fleet, journal: Journal | None, before: str, after: str, service: str | None = None
) -> EnvironmentsDifference:
    """From ``before`` to ``after``, of all services or of one. Raises ``UnknownName`` for what there is not."""
    declared = [{target.service: target for target in find_environment(fleet, name)} for name in (before, after)]
    names = [name for name in fleet.services if any(name in side for side in declared)]
    if service is not None:
        if service not in names:
            where = f" in {before} or {after}" if service in fleet.services else ""
            raise UnknownName(f"service{where}", service, difflib.get_close_matches(service, names, n=3, cutoff=0.5))
        names = [service]
    runs = _runs(fleet, journal, [side[name].name for side in declared for name in names if name in side])
    sides = fleet.environments[before], fleet.environments[after]
    return EnvironmentsDifference(
        before,
        after,
        () if service is not None else tuple(changes_between(*(_policy(side) for side in sides))),
        tuple(_service(name, declared[0].get(name), declared[1].get(name), runs) for name in names),
        journal is not None,
    )


def _policy(environment: Environment) -> dict[str, str]:
    plain = Environment(environment.name, environment.hosts)
    found = {"hosts": f"{len(environment.hosts)}: {', '.join(environment.hosts)}"}
    for key in _POLICY:
        value = getattr(environment, key)
        if value == getattr(plain, key):
            continue
        for number, one in enumerate(value if isinstance(value, tuple) else (value,), 1):
            words = one.words if isinstance(one, Freeze) else _words(to_json(one))
            found[f"{key} {number}" if isinstance(value, tuple) else key] = words
    return found


def _runs(fleet: Fleet, journal: Journal | None, targets: list[str]) -> dict[str, Runs]:
    if journal is None:
        return {}
    found = {}
    for name, seen in take_picture(fleet, journal, targets).targets.items():
        row = journal.release(seen.release) if seen.release is not None else None
        if row is not None:
            found[name] = Runs(row.id, row.release.version, row.release.commit, seen.since, seen.by)
    return found


def _service(name: str, before: Target | None, after: Target | None, runs: Mapping[str, Runs]) -> ServiceDifference:
    there = tuple(runs.get(one.name) if one is not None else None for one in (before, after))
    if before is None or after is None:
        only = before or after
        assert only is not None  # else it would not have been named
        return ServiceDifference(name, only.environment, (there[0], there[1]))
    found = compare(_as_release(before), _as_release(after))
    path = [change for change in found.facts if change.name == "path"]
    settings: dict[str, list[Change]] = {"path": path, **{key: list(items) for key, items in found.settings.items()}}
    settings["strategy"] = _strategy(before, after)
    settings["hooks"] = [one for one in settings["hooks"] if not one.name.startswith("steps[")]  # the strategy's
    for key in _SECTIONS:
        old, new = (flat(to_json(getattr(one, key)), key if key in _ONE_WORD else "") for one in (before, after))
        settings[key] = changes_between(old, new)
    settings["hosts"] = changes_between(*({"count": str(len(one.hosts))} for one in (before, after)))
    settings["router"] = changes_between(*(_router(one) for one in (before, after)))
    by_name: list[str] = []
    for section in _NAMED_THERE & settings.keys():
        named = [one for one in settings[section] if _only_named(one, before.environment, after.environment)]
        by_name += [section if one.name == section else f"{section}.{one.name}" for one in named]
        settings[section] = [one for one in settings[section] if one not in named]
    return ServiceDifference(
        name,
        None,
        (there[0], there[1]),
        found.env,
        found.files,
        tuple(_secrets(before, after)),
        {section: tuple(items) for section, items in settings.items()},
        tuple(sorted(by_name)),
    )


def _strategy(before: Target, after: Target) -> list[Change]:
    """A step that only one of them has is one line, whatever its place."""
    plain = []
    for one in (before, after):
        keys = to_json(one.strategy)
        del keys["steps"]
        plain.append({name: text for name, text in flat(keys).items() if text})
    old, new = ([_words(to_json(step)) for step in one.strategy.steps] for one in (before, after))
    found = changes_between(*plain)
    for kind, first, last, start, end in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind != "equal":
            found += [Change("step", step, None) for step in old[first:last]]
            found += [Change("step", None, step) for step in new[start:end]]
    return found


def _words(value: Any) -> str:
    """A declared value in one line: only what is set."""
    match value:
        case Mapping():
            said = [(key, _words(item)) for key, item in value.items() if item not in (None, "", [], {})]
            return ", ".join(text if key == "step" else f"{key} {text}" for key, text in said)
        case list() | tuple():
            return " ".join(f"({text})" if ", " in text else text for text in map(_words, value))
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _as_release(target: Target) -> Release:
    """A target as if it were released, for what is compared alike: no version, no fingerprint."""
    return Release(
        target.name,
        "declared",
        ResolvedArtifact("", ""),
        target.path,
        target.runner,
        target.env,
        target.files,
        {name: SecretRecord(reference, "") for name, reference in target.secrets.items()},
        target.health,
        target.hooks,
        target.logs,
        container=target.container,
    )


def _router(target: Target) -> dict[str, str]:
    return {} if target.routed is None else {"router": target.routed.router, **flat(to_json(target.routed))}


def _secrets(before: Target, after: Target) -> Iterable[SecretDifference]:
    for name in sorted({*before.secrets, *after.secrets}):
        old, new = (
            f"{reference.kind} {reference.source}" if reference is not None else None
            for reference in (before.secrets.get(name), after.secrets.get(name))
        )
        if old != new:
            yield SecretDifference(name, old, new)


def _only_named(change: Change, before: str, after: str) -> bool:
    if change.before is None or change.after is None:
        return False
    return _without(change.before, before) == _without(change.after, after)


def _without(text: str, name: str) -> str:
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "\0", text)


def to_value(found: EnvironmentsDifference) -> dict[str, Any]:
    """As JSON."""
    return {
        "before": found.before,
        "after": found.after,
        "same": found.same,
        "policy": change_values(found.policy),
        "services": [
            {
                "service": one.service,
                "only_in": one.only_in,
                "same": one.same,
                "runs": {
                    side: msgspec.to_builtins(runs) if runs is not None else None
                    for side, runs in zip(("before", "after"), one.runs, strict=True)
                },
                "env": change_values(one.env),
                "files": file_values(one.files),
                "secrets": [{"name": s.name, "before": s.before, "after": s.after} for s in one.secrets],
                "settings": {section: change_values(items) for section, items in one.settings.items() if items},
                "by_name": list(one.by_name),
            }
            for one in found.services
        ],
    }


def lines(found: EnvironmentsDifference) -> list[tuple[str, str]]:
    """For people: (text, mark), where mark is ``=`` for a heading, ``-`` for what ``before`` has and ``+`` for what ``after`` has,
    ``~`` for what is only worth knowing, else empty."""
    told: list[tuple[str, str]] = [(f"{found.before} (-) against {found.after} (+), as declared", "=")]
    told += change_lines("environment", found.policy)
    for one in found.services:
        told += [("", ""), (one.service, "=")]
        for name, runs in zip((found.before, found.after), one.runs, strict=True):
            if one.only_in in (None, name) and found.journal:
                told.append((f"  {name} runs {_running(runs)}", "~"))
        if one.only_in is not None:
            told.append((f"  is in {one.only_in} only", "-" if one.only_in == found.before else "+"))
            continue
        if one.same:
            told.append(("  nothing differs", ""))
        told += change_lines("env", one.env)
        told += file_lines(one.files)
        told += _secret_lines(found, one.secrets)
        for section, items in one.settings.items():
            told += change_lines(section, items)
        if one.by_name:
            told.append((f"  other only by the environment's name: {', '.join(one.by_name)}", "~"))
    if not found.services:
        told.append(("no service is in either of them", ""))
    if not found.journal:
        told.append(("what runs is not known: there is no journal yet", "~"))
    return told


def _running(runs: Runs | None) -> str:
    if runs is None:
        return "nothing that the journal knows of"
    parts = [runs.release]
    if runs.commit:
        parts.append(f"commit {runs.commit[:8]}")
    if runs.since:
        parts.append(f"since {runs.since[:16].replace('T', ' ')}Z")
    if runs.by:
        parts.append(f"by {runs.by}")
    return ", ".join(parts)


def _secret_lines(found: EnvironmentsDifference, secrets: Iterable[SecretDifference]) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    for one in secrets:
        if one.before is None or one.after is None:
            where, mark = (found.before, "-") if one.after is None else (found.after, "+")
            told.append((f"{mark} {one.name}: set in {where} only ({one.before or one.after})", mark))
        else:
            told += [(f"- {one.name}: {one.before}", "-"), (f"+ {one.name}: {one.after}", "+")]
    return [("secrets (where they are found, never their values)", "="), *told] if told else []
