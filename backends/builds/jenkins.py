"""Jenkins: the builds of one job, over its remote access API (https://www.jenkins.io/doc/book/using/remote-access-api/).

A build's number counts within its job. What waits in Jenkins' queue is no build yet.
"""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import msgspec

from quarterdeck.backends.builds.asking import Asking, asking, commit, link, moment, said
from quarterdeck.backends.builds.contract import MOST, Build, BuildStatus
from quarterdeck.backends.builds.versions import with_version
from quarterdeck.config.builds import Builds

_FIELDS: Final = (
    "number,result,building,timestamp,duration,url,"
    "actions[lastBuiltRevision[SHA1,branch[SHA1,name]],causes[userName,shortDescription]]"
)
_RESULTS: Final = {
    "SUCCESS": BuildStatus.PASSED,
    "FAILURE": BuildStatus.FAILED,
    "UNSTABLE": BuildStatus.FAILED,  # it was made, and its tests have failed
    "ABORTED": BuildStatus.CANCELLED,
}


class _Branch(msgspec.Struct):
    name: str = ""


class _Revision(msgspec.Struct):
    SHA1: str = ""
    branch: list[_Branch] = []


class _Cause(msgspec.Struct):
    userName: str | None = None  # noqa: N815 - Jenkins' own name


class _Action(msgspec.Struct):
    lastBuiltRevision: _Revision | None = None  # noqa: N815 - likewise
    causes: list[_Cause] | None = None


class _Build(msgspec.Struct):
    number: int
    result: str | None = None
    building: bool = False
    timestamp: int | None = None  # milliseconds
    duration: int | None = None  # milliseconds; 0 while it runs
    url: str | None = None
    actions: list[_Action | None] = []


class _Builds(msgspec.Struct):
    allBuilds: list[_Build]  # noqa: N815 - likewise


class JenkinsBuilds:
    """``directory``: where relative paths of secrets start from, and their commands."""

    def __init__(self, builds: Builds, directory: Path) -> None:
        self._builds = builds
        self._directory = directory

    @property
    def name(self) -> str:
        return f"jenkins {self._builds.project.partition('://')[2].rpartition('@')[2]}"

    async def recent(self, limit: int, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return (await self._last(ask, MOST if self._builds.branch else limit))[:limit]

    async def build(self, number: str, *, deadline: float | None = None) -> Build | None:
        if not number.isdecimal():
            return None
        async with self._asking(deadline) as ask:
            found = await ask.maybe(f"/{number}/api/json", _Build, {"tree": _FIELDS})
            if found is None:
                await self._last(ask, 1)  # raises, where it is the job that there is not
            return with_version(self._builds, _build(found)) if found is not None else None

    async def of_commit(self, commit: str, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return tuple(build for build in await self._last(ask, MOST) if build.commit == commit)

    def _asking(self, deadline: float | None) -> AbstractAsyncContextManager[Asking]:
        return asking(self._builds, self.name, self._builds.project, self._directory, "Basic", deadline=deadline)

    async def _last(self, ask: Asking, count: int) -> tuple[Build, ...]:
        # `allBuilds` with a range: `builds` ends with the hundredth, and without a range Jenkins reads all of them from its disk.
        tree = f"allBuilds[{_FIELDS}]{{0,{count}}}"
        found, _answer = await ask.get("/api/json", _Builds, {"tree": tree}, missing="job")
        builds = [with_version(self._builds, _build(one)) for one in found.allBuilds]
        return tuple(one for one in builds if self._builds.branch in ("", one.branch))


def _build(build: _Build) -> Build:
    revision = next((a.lastBuiltRevision for a in build.actions if a is not None and a.lastBuiltRevision), _Revision())
    causes = [cause for action in build.actions if action is not None for cause in action.causes or ()]
    ref = said(revision.branch[0].name) if revision.branch else ""
    tag = ref.removeprefix("refs/tags/") if ref.startswith("refs/tags/") else ""
    branch = "" if tag else ref.removeprefix("refs/remotes/").removeprefix("origin/")
    status = _RESULTS.get(build.result or "", BuildStatus.UNKNOWN)
    return Build(
        str(build.number),
        str(build.number),
        BuildStatus.RUNNING if build.building else status,
        commit=commit(revision.SHA1),
        branch="" if branch == "detached" else branch,
        tag=tag,
        started=moment(build.timestamp),
        seconds=build.duration / 1000 if build.duration and not build.building else None,
        link=link(build.url),
        author=next((said(cause.userName) for cause in causes if cause.userName), ""),
    )
