"""What differs between two releases, as values and as lines. Pure; knows secrets only by reference and fingerprint."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from quarterdeck.config.release import Release, to_json
from quarterdeck.rollouts.container_words import compose_words


class Change(msgspec.Struct, frozen=True):
    """One thing that differs. ``before`` or ``after`` is None where it does not exist."""

    name: str
    before: str | None
    after: str | None


class FileChange(msgspec.Struct, frozen=True):
    """A configuration file that differs; ``diff`` is a unified diff without line ends."""

    path: str
    kind: str  # added | removed | changed
    diff: tuple[str, ...]


class SecretChange(msgspec.Struct, frozen=True):
    """A secret of either release. ``value``: same (the same fingerprint), same reference, other reference, added or removed.

    Every fingerprint has a salt of its own: two of them may stand for one value, and only who has the value could tell.
    """

    name: str
    value: str
    before: str | None  # the reference: «env NAME»
    after: str | None


class Difference(msgspec.Struct, frozen=True):
    before: str
    after: str
    facts: tuple[Change, ...] = ()  # target, version, digest, path, commit
    env: tuple[Change, ...] = ()
    files: tuple[FileChange, ...] = ()
    secrets: tuple[SecretChange, ...] = ()  # all of them: «same» is worth knowing
    settings: Mapping[str, tuple[Change, ...]] = msgspec.field(
        default_factory=dict
    )  # runner, container, health, hooks, logs

    @property
    def empty(self) -> bool:
        return not (
            self.facts
            or self.env
            or self.files
            or any(self.settings.values())
            or any(s.value != "same" for s in self.secrets)
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """How much of the configuration changes: ``env``, ``files`` and what of the settings does, each with how many. An entry of a list
        (a hook) counts once, however much of it is new. Facts and secrets are the release's own, and not counted."""
        lists = {"env": len(self.env), "files": len(self.files)}
        settings = {
            name: len({change.name.partition("]")[0] for change in changes}) for name, changes in self.settings.items()
        }
        return {name: count for name, count in (lists | settings).items() if count}


def compare(before: Release, after: Release) -> Difference:
    """All that differs from ``before`` to ``after``."""
    return Difference(
        before.id,
        after.id,
        facts=tuple(
            changes_between(
                {
                    "target": before.target,
                    "version": before.version,
                    "digest": before.artifact.sha256,
                    "path": before.path,
                    **_image(before),
                }
                | ({"commit": before.commit} if before.commit else {}),
                {
                    "target": after.target,
                    "version": after.version,
                    "digest": after.artifact.sha256,
                    "path": after.path,
                    **_image(after),
                }
                | ({"commit": after.commit} if after.commit else {}),
            )
        ),
        env=tuple(changes_between(before.env, after.env)),
        files=tuple(_files(before, after)),
        secrets=tuple(_secrets(before, after)),
        settings={
            name: tuple(changes_between(flat(to_json(getattr(before, name))), flat(to_json(getattr(after, name)))))
            for name in ("runner", "health", "hooks", "logs")
        }
        | _containers(before, after),
    )


def _containers(before: Release, after: Release) -> dict[str, tuple[Change, ...]]:
    """Key by key, in Compose's words; nothing where neither is one."""
    if before.container is None and after.container is None:
        return {}
    old, new = (compose_words(one.container) if one.container is not None else {} for one in (before, after))
    return {"container": tuple(changes_between(old, new))}


def changes_between(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What differs key by key, in the order of ``before`` and then of what is new in ``after``."""
    return [
        Change(name, before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def _image(release: Release) -> dict[str, str]:
    """The image's repository: its digest is the release's."""
    return {"image": release.artifact.location.partition("@")[0]} if release.container is not None else {}


def _files(before: Release, after: Release) -> list[FileChange]:
    old = {file.path: file for file in before.files}
    new = {file.path: file for file in after.files}
    found = []
    for path in sorted({*old, *new}):
        first, second = old.get(path), new.get(path)
        if first == second:
            continue
        kind = "added" if first is None else "removed" if second is None else "changed"
        lines = list(
            difflib.unified_diff(
                first.content.splitlines() if first else [],
                second.content.splitlines() if second else [],
                f"{before.id}/{path}" if first else "/dev/null",
                f"{after.id}/{path}" if second else "/dev/null",
                lineterm="",
            )
        )
        if first and second and first.mode != second.mode:
            lines.insert(0, f"mode {first.mode:o} to {second.mode:o}")
        found.append(FileChange(path, kind, tuple(lines)))
    return found


def _secrets(before: Release, after: Release) -> list[SecretChange]:
    found = []
    for name in sorted({*before.secrets, *after.secrets}):
        first, second = before.secrets.get(name), after.secrets.get(name)
        if first is None or second is None:
            value = "added" if first is None else "removed"
        elif first.fingerprint == second.fingerprint:
            value = "same"
        else:
            # Each fingerprint has a salt of its own: two different ones may well stand for one value, and only
            # somebody who has
            # the value could tell. Saying «changed» would be a guess.
            value = "same reference" if first.reference == second.reference else "other reference"
        found.append(
            SecretChange(
                name,
                value,
                f"{first.reference.kind} {first.reference.source}" if first else None,
                f"{second.reference.kind} {second.reference.source}" if second else None,
            )
        )
    return found


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested JSON as ``a.b[0].c`` to text: only what is set."""
    match value:
        case None:
            return {}
        case Mapping():
            pairs = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
        case list() | tuple():
            pairs = [(f"{prefix}[{index}]", item) for index, item in enumerate(value)]
        case bool():
            return {prefix: "true" if value else "false"}
        case _:
            return {prefix: str(value)}
    found: dict[str, str] = {}
    for name, item in pairs:
        found |= flat(item, name)
    return found


def change_values(items: Iterable[Change]) -> list[dict[str, str | None]]:
    """As JSON."""
    return [{"name": item.name, "before": item.before, "after": item.after} for item in items]


def file_values(items: Iterable[FileChange]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{"path": item.path, "kind": item.kind, "diff": list(item.diff)} for item in items]


def change_lines(title: str, items: Iterable[Change]) -> list[tuple[str, str]]:
    """For people, as ``lines``: what went before what came, key by key; none where nothing differs."""
    found: list[tuple[str, str]] = []
    for item in items:
        if item.before is not None:
            found.append((f"- {item.name}: {item.before}", "-"))
        if item.after is not None:
            found.append((f"+ {item.name}: {item.after}", "+"))
    return [(title, "="), *found] if found else []


def file_lines(items: Iterable[FileChange]) -> list[tuple[str, str]]:
    """For people, as ``lines``: each file with its unified diff."""
    found: list[tuple[str, str]] = []
    for item in items:
        found.append((f"file {item.path} ({item.kind})", "="))
        found += [(line, line[:1] if line[:1] in "+-" else "") for line in item.diff]
    return found


def to_value(difference: Difference) -> dict[str, Any]:
    """As JSON."""
    return {
        "before": difference.before,
        "after": difference.after,
        "same": difference.empty,
        "facts": change_values(difference.facts),
        "env": change_values(difference.env),
        "files": file_values(difference.files),
        "secrets": [
            {"name": s.name, "value": s.value, "before": s.before, "after": s.after} for s in difference.secrets
        ],
        **{name: change_values(items) for name, items in difference.settings.items()},
    }


def lines(difference: Difference) -> list[tuple[str, str]]:
    """For people: (text, mark), where mark is ``=`` for a heading, ``-`` and ``+`` for what went and came, else
    empty."""
    found: list[tuple[str, str]] = [(f"{difference.before} -> {difference.after}", "=")]
    if difference.empty:
        found.append(("nothing differs", ""))

    found += change_lines("release", difference.facts)
    found += change_lines("env", difference.env)
    found += file_lines(difference.files)
    if difference.secrets:
        found.append(("secrets (values are never stored)", "="))
    for secret in difference.secrets:
        reference = secret.after or secret.before or ""
        if secret.before and secret.after and secret.before != secret.after:
            reference = f"{secret.before} -> {secret.after}"
        found.append(
            (f"  {secret.name}: {secret.value} ({reference})", {"added": "+", "removed": "-"}.get(secret.value, ""))
        )
    for name, items in difference.settings.items():
        found += change_lines(name, items)
    return found
