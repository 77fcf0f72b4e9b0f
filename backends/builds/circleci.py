"""CircleCI: pipelines with their workflows, of circleci.com or of a server of one's own.

https://circleci.com/docs/api/v2/. A pipeline has no status of its own: it is what became of its workflows, of which the newest run of each
counts; `workflow` in the fleet file names the one that does.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from quarterdeck.backends.builds.asking import Asking, asking, between, commit, moment, said, side_by_side
from quarterdeck.backends.builds.contract import ENDED, MOST, Build, BuildStatus
from quarterdeck.backends.builds.versions import with_version
from quarterdeck.config.builds import Builds

_PUBLIC: Final = "https://circleci.com"
_WEB: Final = "https://app.circleci.com"
_MOST_PAGES: Final = 20
_STATES: Final = {
    "success": BuildStatus.PASSED,
    "running": BuildStatus.RUNNING,
    "failing": BuildStatus.RUNNING,
    "failed": BuildStatus.FAILED,
    "error": BuildStatus.FAILED,
    "unauthorized": BuildStatus.FAILED,
    "on_hold": BuildStatus.QUEUED,
    "canceled": BuildStatus.CANCELLED,
}
_WORST_FIRST: Final = (
    BuildStatus.FAILED,
    BuildStatus.RUNNING,
    BuildStatus.QUEUED,
    BuildStatus.CANCELLED,
    BuildStatus.UNKNOWN,
    BuildStatus.PASSED,
)


class _Actor(msgspec.Struct):
    login: str | None = None


class _Trigger(msgspec.Struct):
    actor: _Actor | None = None


class _Vcs(msgspec.Struct):
    revision: str | None = None
    branch: str | None = None
    tag: str | None = None


class _Pipeline(msgspec.Struct):
    id: str
    number: int
    state: str = ""
    created_at: str | None = None
    trigger: _Trigger | None = None
    vcs: _Vcs | None = None


class _Pipelines(msgspec.Struct):
    items: list[_Pipeline]
    next_page_token: str | None = None


class _Workflow(msgspec.Struct):
    name: str
    status: str
    created_at: str | None = None
    stopped_at: str | None = None


class _Workflows(msgspec.Struct):
    items: list[_Workflow]
    next_page_token: str | None = None


class CircleCiBuilds:
    """``directory``: where relative paths of secrets start from, and their commands."""

    def __init__(self, builds: Builds, directory: Path) -> None:
        self._builds = builds
        self._directory = directory
        self._base = builds.url.rstrip("/") or _PUBLIC
        self._place = f"/api/v2/project/{quote(builds.project)}/pipeline"

    @property
    def name(self) -> str:
        return f"circleci {self._builds.project}"

    async def recent(self, limit: int, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return await self._with_workflows(ask, [one async for one in self._pipelines(ask, limit)])

    async def build(self, number: str, *, deadline: float | None = None) -> Build | None:
        if not number.isdecimal():
            return None
        async with self._asking(deadline) as ask:
            found = await ask.maybe(f"{self._place}/{number}", _Pipeline)
            if found is None:
                [_ async for _ in self._pipelines(ask, 1)]  # raises, where it is the project that there is not
                return None
            return (await self._with_workflows(ask, [found]))[0]

    async def of_commit(self, commit: str, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            last = [one async for one in self._pipelines(ask, MOST)]
            return await self._with_workflows(ask, [one for one in last if one.vcs and one.vcs.revision == commit])

    def _asking(self, deadline: float | None) -> AbstractAsyncContextManager[Asking]:
        return asking(self._builds, self.name, self._base, self._directory, "Circle-Token", deadline=deadline)

    async def _pipelines(self, ask: Asking, limit: int) -> AsyncIterator[_Pipeline]:
        found, token = 0, ""
        for _ in range(_MOST_PAGES):
            page, _answer = await ask.get(self._place, _Pipelines, {"branch": self._builds.branch, "page-token": token})
            for pipeline in page.items[: limit - found]:
                found += 1
                yield pipeline
            token = page.next_page_token or ""
            if not token or found >= limit:
                return

    async def _with_workflows(self, ask: Asking, pipelines: Sequence[_Pipeline]) -> tuple[Build, ...]:
        async def one(pipeline: _Pipeline) -> Build:
            found, _answer = await ask.get(f"/api/v2/pipeline/{quote(pipeline.id, safe='')}/workflow", _Workflows)
            return with_version(self._builds, self._build(pipeline, found.items))

        return await side_by_side(one, pipelines)

    def _build(self, pipeline: _Pipeline, workflows: Sequence[_Workflow]) -> Build:
        newest: dict[str, _Workflow] = {}
        for one in sorted(workflows, key=lambda one: one.created_at or ""):
            if not self._builds.workflow or one.name == self._builds.workflow:
                newest[one.name] = one  # run again: it is the last one that counts
        states = {_STATES.get(one.status, BuildStatus.UNKNOWN) for one in newest.values()}
        status = next((state for state in _WORST_FIRST if state in states), BuildStatus.UNKNOWN)
        failed = pipeline.state in ("errored", "error")
        coming = pipeline.state in ("pending", "setup", "setup-pending")
        if status is BuildStatus.PASSED and not self._builds.workflow and (failed or coming):
            # Its workflows so far have passed, and those that were to follow could not be made, or are still to come.
            status = BuildStatus.FAILED if failed else BuildStatus.RUNNING
        if not workflows:
            coming = coming or pipeline.state == "created"
            status = BuildStatus.FAILED if failed else BuildStatus.QUEUED if coming else BuildStatus.UNKNOWN
        started = moment(pipeline.created_at)
        stopped = [moment(one.stopped_at) for one in newest.values()]
        ended = max((end for end in stopped if end is not None), default=None)
        vcs = pipeline.vcs or _Vcs()
        actor = pipeline.trigger.actor if pipeline.trigger is not None else None
        return Build(
            str(pipeline.number),
            pipeline.id,
            status,
            commit=commit(vcs.revision),
            branch=said(vcs.branch),
            tag=said(vcs.tag),
            started=started,
            seconds=between(started, ended) if status in ENDED else None,
            link=self._link(pipeline.number),
            author=said(actor.login) if actor is not None else "",
            workflow=said(self._builds.workflow),
        )

    def _link(self, number: int) -> str:
        host, _, rest = self._builds.project.partition("/")
        host = {"gh": "github", "bb": "bitbucket"}.get(host, host)
        return f"{self._builds.url.rstrip('/') or _WEB}/pipelines/{host}/{rest}/{number}"
