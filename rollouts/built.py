"""Builds beside the releases that came of them: which build made what, and where that runs. What is asked of a CI system has a deadline;
what is known of releases is the journal's. Changes nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from quarterdeck.backends.builds.contract import Build, BuildStatus
from quarterdeck.backends.builds.opening import open_builds
from quarterdeck.config.model import Fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow

LATEST = "latest"
LOOKED_BACK = 200  # releases of each target
_WITHOUT_BRANCHES = ("jenkins",)  # a job builds what it is told to: there is nothing to choose from


class Made(msgspec.Struct, frozen=True):
    """A release that came of a build. ``runs``: its target runs it now, as far as the journal knows."""

    release: str
    target: str
    version: str
    verdict: str
    runs: bool


class Placed(msgspec.Struct, frozen=True):
    build: Build
    made: tuple[Made, ...] = ()

    @property
    def runs_in(self) -> tuple[str, ...]:
        """The environments."""
        return tuple(one.target.partition("/")[0] for one in self.made if one.runs)


class NotToDeploy(Exception):
    """Why a build can't be deployed: a whole sentence without a full stop. ``mistaken``: there is no such build, or nobody says where."""

    def __init__(self, why: str, *, mistaken: bool = False) -> None:
        super().__init__(why)
        self.mistaken = mistaken


class Chosen(msgspec.Struct, frozen=True):
    """``newer``: one that was passed over, as it has not passed."""

    build: Build
    newer: Build | None = None


async def recent_builds(fleet: Fleet, service: str, *, limit: int) -> tuple[Build, ...]:
    """The newest first. Raises BackendError."""
    return await open_builds(fleet.builds[service], fleet.file.parent).recent(limit)


def known_of(fleet: Fleet, journal: Journal, service: str) -> list[tuple[ReleaseRow, bool]]:
    """The releases of the service, everywhere, the newest first, and whether each runs. Raises JournalError."""
    found: list[tuple[ReleaseRow, bool]] = []
    for name, target in fleet.targets.items():
        if target.service == service:
            current = journal.current_release(name)
            found += [(row, row.id == current) for row in journal.releases(name, limit=LOOKED_BACK)]
    return found


def place(builds: Iterable[Build], known: Sequence[tuple[ReleaseRow, bool]]) -> list[Placed]:
    """Each build with the releases of its version; those of its commit where there is none of that. Pure."""
    by_version: dict[str, list[Made]] = {}
    by_commit: dict[str, list[Made]] = {}
    for row, runs in known:
        release = row.release
        made = Made(row.id, release.target, release.version, str(row.verdict), runs)
        by_version.setdefault(release.version, []).append(made)
        if release.commit:
            by_commit.setdefault(release.commit, []).append(made)
    return [
        Placed(build, tuple(by_version.get(build.version) or by_commit.get(build.commit) or ())) for build in builds
    ]


async def choose(fleet: Fleet, service: str, word: str) -> Chosen:
    """The build that ``word`` names: its number, or the latest that has passed. Raises ``NotToDeploy``, BackendError."""
    declared = fleet.builds.get(service)
    if declared is None:
        raise NotToDeploy(f"nothing says where {service} is built: add `builds` to it in the fleet file", mistaken=True)
    asked = open_builds(declared, fleet.file.parent)
    if word != LATEST:
        found = await asked.build(word.removeprefix("#"))
        if found is None:
            of = f" on the branch {declared.branch}" if declared.branch else ""
            raise NotToDeploy(f"{asked.name} has no build {word!r}{of}; see: qd builds {service}", mistaken=True)
        return Chosen(_fit(asked.name, found))
    if not declared.branch and declared.system not in _WITHOUT_BRANCHES:
        raise NotToDeploy(
            f"the latest build of {asked.name} may be of any branch: say which in the fleet file, `builds: {{branch: main}}`, or "
            f"name one by its number; see: qd builds {service}",
            mistaken=True,
        )
    recent = await asked.recent(30)
    passed = next((build for build in recent if build.status is BuildStatus.PASSED), None)
    if passed is None:
        raise NotToDeploy(f"of the last {len(recent)} builds of {asked.name} none has passed; see: qd builds {service}")
    newer = recent[0] if recent[0].number != passed.number else None
    return Chosen(_fit(asked.name, passed), newer)


def _fit(name: str, build: Build) -> Build:
    if build.status is not BuildStatus.PASSED:
        raise NotToDeploy(f"build {build.number} of {name} {is_words(build)}: nothing was changed")
    if not build.version:
        raise NotToDeploy(
            f"build {build.number} of {name} makes no version: it has not all that `builds: {{version: …}}` of the fleet file names; "
            "nothing was changed"
        )
    return build


def as_option(build: Build) -> dict[str, Any]:
    """As the rollout that deploys it carries it."""
    return {"number": build.number, "id": build.id, "commit": build.commit, "link": build.link, "author": build.author}


def is_words(build: Build) -> str:
    """``has failed``, ``is still running``."""
    match build.status:
        case BuildStatus.PASSED | BuildStatus.FAILED:
            return f"has {build.status}"
        case BuildStatus.CANCELLED:
            return "was cancelled"
        case BuildStatus.QUEUED | BuildStatus.RUNNING:
            return f"is still {build.status}"
        case _:
            return "has neither passed nor failed"
