"""Which versions of a target's service are known, how they did, and where copies of them lie. From the journal alone."""

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.journal import Journal

MOST = 200  # releases that are looked at for each target


class KnownVersion(msgspec.Struct, frozen=True):
    """``release``: its id on this target, None when only other environments had it. ``good_in``: environments where it was
    good last. ``copies``: hosts of the target where it lies intact, of ``hosts`` that were ever seen."""

    version: str
    release: str | None
    verdict: str  # untried | good | bad; new: nobody has released it yet
    why: str = ""
    first_seen: str = ""
    last_good: str | None = None
    digest: str = ""
    runs: bool = False
    copies: int = 0
    hosts: int = 0
    good_in: tuple[str, ...] = ()
    size: int | None = None  # bytes, of one that is new


def known_versions(journal: Journal, fleet: Fleet, target: str) -> tuple[KnownVersion, ...]:
    """The one seen first latest first; then those that only other environments know. Raises JournalError."""
    environment, _, service = target.partition("/")
    kept = [seen.body.get("kept") for seen in journal.observations(target)]
    known = [set(names) for names in kept if names is not None]
    current = journal.current_release(target)
    good: dict[str, list[str]] = {}
    elsewhere: dict[str, KnownVersion] = {}
    for name in fleet.environments:
        other = f"{name}/{service}"
        if name == environment or other not in fleet.targets:
            continue
        for row in journal.releases(other, limit=MOST):
            version = row.release.version
            if row.verdict == "good" and name not in good.setdefault(version, []):
                good[version].append(name)
            found = KnownVersion(
                version, None, "untried", first_seen=row.first_seen, digest=row.release.artifact.sha256
            )
            if version not in elsewhere or elsewhere[version].first_seen < row.first_seen:
                elsewhere[version] = found
    here = [
        KnownVersion(
            row.release.version,
            row.id,
            row.verdict,
            row.verdict_reason,
            row.first_seen,
            row.last_good,
            row.release.artifact.sha256,
            row.id == current,
            sum(row.id in names for names in known),
            len(known),
            tuple(good.get(row.release.version, ())),
        )
        for row in journal.releases(target, limit=MOST)
    ]
    have = {version.version for version in here}
    others = [
        KnownVersion(
            found.version,
            None,
            "untried",
            first_seen=found.first_seen,
            digest=found.digest,
            hosts=len(known),
            good_in=tuple(good.get(found.version, ())),
        )
        for found in sorted(elsewhere.values(), key=lambda found: found.first_seen, reverse=True)
        if found.version not in have
    ]
    return (*here, *others)
