"""The commits between two releases, where the fleet file says where the source is. A git that fails, or is away, is said, and holds nothing
up: what is asked here has a deadline, and answers with words instead of an error."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.source.contract import Commit, Commits
from quarterdeck.backends.source.mirror import LISTED, Mirror
from quarterdeck.config.builds import Builds, Repository, places_in
from quarterdeck.config.model import Fleet
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalError
from quarterdeck.history.place import Place

FETCHING: Final = 300.0  # seconds, where somebody waits for just that
TIMES: Final = 2.0  # seconds for when commits were made, which only makes a figure better
UNASKED: Final = "commits not known: git is not asked with --read-only"
SHOWN: Final = 10  # commits in a list for people


class Between(msgspec.Struct, frozen=True):
    """``fault``: why nothing is known of them; a sentence without a full stop."""

    commits: Commits | None = None
    fault: str = ""


def mirror_of(repository: Repository, state: Path) -> Mirror:
    """In the state directory, which is there. Raises JournalError."""
    place = Place.prepare(state, create=False)
    place.make_directory(state / "sources")
    return Mirror(repository, state / "sources")


def names_of(version: str, builds: Builds | None) -> list[str]:
    """What a version may be called in the repository: a tag of that name, a commit, or what it says of its build."""
    found = places_in(builds.version, version) if builds is not None else {}
    said = [found[name] for name in ("sha", "tag", "short_sha") if found.get(name)]
    return list(dict.fromkeys([*said, version]))


async def commit_of(
    version: str, repository: Repository, builds: Builds | None, state: Path, *, deadline: float
) -> str | None:
    """Raises BackendError, JournalError."""
    return await mirror_of(repository, state).commit_of(names_of(version, builds), deadline=deadline)


async def between(
    fleet: Fleet, before: Release, after: Release, *, limit: int = LISTED, deadline: float = FETCHING
) -> Between | None:
    """From one release of a service to another; None: nothing says where its source is. Raises nothing."""
    service = after.target.partition("/")[2]
    repository: Repository | None = fleet.sources.get(service)
    if repository is None:
        return None
    builds = fleet.builds.get(service)
    try:
        mirror = mirror_of(repository, fleet.state)
        ends = []
        for release in (before, after):
            # That of the release; of one that was made while git was away: what its version says.
            found = release.commit or await mirror.commit_of(names_of(release.version, builds), deadline=deadline)
            if found is None:
                return Between(
                    fault=f"commits not known: {mirror.name} has neither a tag nor a commit called {release.version}"
                )
            ends.append(found)
        return Between(await mirror.between(ends[0], ends[1], limit=limit, deadline=deadline))
    except (BackendError, JournalError, OSError) as error:
        return Between(fault=f"commits not known: {error}")


async def commit_times(
    fleet: Fleet, commits: Iterable[tuple[str, str, str]], *, deadline: float = TIMES
) -> dict[str, datetime]:
    """By release, when its commit was made: of those (release, target, commit) whose service's mirror is on this machine and has
    it. Asks no server, and raises nothing: what is not known is left out."""
    of: dict[str, list[tuple[str, str]]] = {}
    for release, target, commit in commits:
        of.setdefault(target.partition("/")[2], []).append((release, commit))
    times: dict[str, datetime] = {}
    for service, releases in of.items():
        repository: Repository | None = fleet.sources.get(service)
        if repository is None or not (fleet.state / "sources").is_dir():
            continue
        try:
            known = await mirror_of(repository, fleet.state).times([one for _, one in releases], deadline=deadline)
        except (BackendError, JournalError, OSError):
            continue
        times |= {release: datetime.fromisoformat(known[commit]) for release, commit in releases if commit in known}
    return times


def to_value(found: Between | None) -> dict[str, Any] | None:
    """As JSON; None: no source is declared."""
    if found is None:
        return None
    commits = found.commits
    if commits is None:
        return {"before": None, "after": None, "came": [], "went": [], "error": found.fault}
    return {
        "before": commits.before,
        "after": commits.after,
        "came": [_value(one) for one in commits.came],
        "went": [_value(one) for one in commits.went],
        "came_in_all": commits.came_in_all,
        "went_in_all": commits.went_in_all,
        "error": None,
    }


def _value(commit: Commit) -> dict[str, str]:
    return {"commit": commit.sha, "author": commit.author, "time": commit.time, "subject": commit.subject}


def lines(found: Between | None, most: int = LISTED) -> list[tuple[str, str]]:
    """For people, as those of a difference: (text, mark)."""
    if found is None:
        return []
    commits = found.commits
    if commits is None:
        return [("commits", "="), (f"  {found.fault}", "")]
    rows = [(f"commits ({counted(commits)})", "=")]
    for mark, listed, total in (
        ("+", commits.came, commits.came_in_all),
        ("-", commits.went, commits.went_in_all),
    ):
        rows += [(f"{mark} {words(one)}", mark) for one in listed[:most]]
        if total > len(listed[:most]):
            rows.append((f"{mark} and {total - len(listed[:most])} more", mark))
    return rows


def words(commit: Commit) -> str:
    return f"{commit.sha[:8]} {commit.subject} ({commit.author}, {commit.time[:10]})"


def counted(commits: Commits) -> str:
    """``12 come``, ``3 go back``, ``12 come, 3 go back``, ``the same``."""
    parts = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (commits.came_in_all, "comes", "come"),
            (commits.went_in_all, "goes back", "go back"),
        )
        if count
    ]
    return ", ".join(parts) or "the same commit"
