"""GitLab CI: pipelines, of gitlab.com or of a server of one's own.

https://docs.gitlab.com/api/pipelines/. A pipeline's number is its id, as $CI_PIPELINE_ID. The list tells neither who began one nor how long
it took: of the first ones each is asked for.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from quarterdeck.backends.builds.asking import Asking, asking, between, commit, link, moment, said, side_by_side
from quarterdeck.backends.builds.contract import ENDED, MOST, Build, BuildStatus
from quarterdeck.backends.builds.versions import with_version
from quarterdeck.backends.errors import BackendError
from quarterdeck.config.builds import Builds

_PUBLIC: Final = "https://gitlab.com"
_PAGE: Final = 100
_DETAILED: Final = 20  # pipelines that are asked for one by one
_STATES: Final = {
    "created": BuildStatus.QUEUED,
    "waiting_for_resource": BuildStatus.QUEUED,
    "preparing": BuildStatus.QUEUED,
    "pending": BuildStatus.QUEUED,
    "scheduled": BuildStatus.QUEUED,
    "running": BuildStatus.RUNNING,
    "canceling": BuildStatus.RUNNING,
    "success": BuildStatus.PASSED,
    "failed": BuildStatus.FAILED,
    "canceled": BuildStatus.CANCELLED,
}


class _User(msgspec.Struct):
    username: str = ""


class _Pipeline(msgspec.Struct):
    id: int
    status: str
    sha: str | None = None
    ref: str | None = None
    tag: bool | None = None  # in the details only
    name: str | None = None
    web_url: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    updated_at: str | None = None
    finished_at: str | None = None
    user: _User | None = None


class GitLabBuilds:
    """``directory``: where relative paths of secrets start from, and their commands."""

    def __init__(self, builds: Builds, directory: Path) -> None:
        self._builds = builds
        self._directory = directory
        self._base = builds.url.rstrip("/") or _PUBLIC
        self._place = f"/api/v4/projects/{quote(builds.project, safe='')}/pipelines"

    @property
    def name(self) -> str:
        return f"gitlab {self._builds.project}"

    async def recent(self, limit: int, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return await self._detailed(ask, await self._pipelines(ask, limit))

    async def build(self, number: str, *, deadline: float | None = None) -> Build | None:
        if not number.isdecimal():
            return None
        async with self._asking(deadline) as ask:
            found = await ask.maybe(f"{self._place}/{number}", _Pipeline)
            if found is None:
                await self._pipelines(ask, 1)  # raises, where it is the project that there is not
            return self._build(found) if found is not None else None

    async def of_commit(self, commit: str, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return await self._detailed(ask, await self._pipelines(ask, MOST, sha=commit))

    def _asking(self, deadline: float | None) -> AbstractAsyncContextManager[Asking]:
        return asking(self._builds, self.name, self._base, self._directory, "PRIVATE-TOKEN", deadline=deadline)

    async def _pipelines(self, ask: Asking, limit: int, sha: str = "") -> list[_Pipeline]:
        found: list[_Pipeline] = []
        page = self._place
        query: dict[str, object] = {"per_page": min(limit, _PAGE), "ref": self._builds.branch, "sha": sha}
        while page and len(found) < limit:
            pipelines, answer = await ask.get(page, list[_Pipeline], query)
            found += pipelines
            page, query = (answer.next if pipelines else ""), {}
        return found[:limit]

    async def _detailed(self, ask: Asking, listed: Sequence[_Pipeline]) -> tuple[Build, ...]:
        """One whose details can't be had is as it was listed."""

        async def one(pipeline: _Pipeline) -> _Pipeline:
            try:
                return await ask.maybe(f"{self._place}/{pipeline.id}", _Pipeline) or pipeline
            except BackendError:
                return pipeline

        first = await side_by_side(one, listed[:_DETAILED])
        return tuple(self._build(pipeline) for pipeline in (*first, *listed[_DETAILED:]))

    def _build(self, pipeline: _Pipeline) -> Build:
        status = _STATES.get(pipeline.status, BuildStatus.UNKNOWN)
        started = moment(pipeline.started_at or pipeline.created_at)
        ended = moment(pipeline.finished_at or pipeline.updated_at)
        ref = said(pipeline.ref)
        build = Build(
            str(pipeline.id),
            str(pipeline.id),
            status,
            commit=commit(pipeline.sha),
            branch="" if pipeline.tag else ref,
            tag=ref if pipeline.tag else "",
            started=started,
            seconds=between(started, ended) if status in ENDED else None,
            link=link(pipeline.web_url),
            author=said(pipeline.user.username) if pipeline.user is not None else "",
            workflow=said(pipeline.name),
        )
        return with_version(self._builds, build)
