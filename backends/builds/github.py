"""GitHub Actions: workflow runs, of github.com or of a server of one's own (its url ends in /api/v3).

https://docs.github.com/en/rest/actions/workflow-runs (2022-11-28). A run's number counts within its workflow; a run that was begun by a
pushed tag has that tag as its branch.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from quarterdeck.backends.builds.asking import Asking, asking, between, commit, link, moment, said
from quarterdeck.backends.builds.contract import ENDED, MOST, Build, BuildStatus
from quarterdeck.backends.builds.versions import with_version
from quarterdeck.config.builds import Builds

_PUBLIC: Final = "https://api.github.com"
_PAGE: Final = 100
_CONCLUSIONS: Final = {
    "success": BuildStatus.PASSED,
    "failure": BuildStatus.FAILED,
    "timed_out": BuildStatus.FAILED,
    "startup_failure": BuildStatus.FAILED,
    "cancelled": BuildStatus.CANCELLED,
}
_STATES: Final = {
    "queued": BuildStatus.QUEUED,
    "requested": BuildStatus.QUEUED,
    "waiting": BuildStatus.QUEUED,
    "pending": BuildStatus.QUEUED,
    "in_progress": BuildStatus.RUNNING,
}


class _Actor(msgspec.Struct):
    login: str = ""


class _Run(msgspec.Struct):
    id: int
    run_number: int
    status: str | None = None
    conclusion: str | None = None
    name: str | None = None
    head_branch: str | None = None
    head_sha: str | None = None
    event: str | None = None
    html_url: str | None = None
    created_at: str | None = None
    run_started_at: str | None = None
    updated_at: str | None = None
    actor: _Actor | None = None


class _Runs(msgspec.Struct):
    workflow_runs: list[_Run]


class GitHubBuilds:
    """``directory``: where relative paths of secrets start from, and their commands."""

    def __init__(self, builds: Builds, directory: Path) -> None:
        self._builds = builds
        self._directory = directory
        self._base = builds.url.rstrip("/") or _PUBLIC
        workflow = f"/workflows/{quote(builds.workflow, safe='')}" if builds.workflow else ""
        self._place = f"/repos/{quote(builds.project)}/actions{workflow}/runs"

    @property
    def name(self) -> str:
        return f"github {self._builds.project}"

    async def recent(self, limit: int, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return tuple([run async for run in self._runs(ask, limit)])

    async def build(self, number: str, *, deadline: float | None = None) -> Build | None:
        """Runs can't be asked for by their number: the last ones are looked through."""
        async with self._asking(deadline) as ask:
            async for run in self._runs(ask, MOST):
                if run.number == number:
                    return run
        return None

    async def of_commit(self, commit: str, *, deadline: float | None = None) -> tuple[Build, ...]:
        async with self._asking(deadline) as ask:
            return tuple([run async for run in self._runs(ask, MOST, sha=commit)])

    def _asking(self, deadline: float | None) -> AbstractAsyncContextManager[Asking]:
        return asking(self._builds, self.name, self._base, self._directory, "Bearer", deadline=deadline)

    async def _runs(self, ask: Asking, limit: int, sha: str = "") -> AsyncIterator[Build]:
        found = 0
        page = self._place
        query: dict[str, object] = {
            "per_page": min(limit, _PAGE),
            "branch": self._builds.branch,
            "head_sha": sha,
        }
        what = "workflow, or no such repository" if self._builds.workflow else "repository"
        while page and found < limit:
            runs, answer = await ask.get(page, _Runs, query, missing=what)
            for run in runs.workflow_runs[: limit - found]:
                found += 1
                yield with_version(self._builds, _build(run))
            page, query = (answer.next if runs.workflow_runs else ""), {}


def _build(run: _Run) -> Build:
    status = _STATES.get(run.status or "", BuildStatus.UNKNOWN)
    if run.status == "completed":
        status = _CONCLUSIONS.get(run.conclusion or "", BuildStatus.UNKNOWN)
    started = moment(run.run_started_at or run.created_at)
    branch = said(run.head_branch)
    return Build(
        str(run.run_number),
        str(run.id),
        status,
        commit=commit(run.head_sha),
        branch=branch,
        tag=branch if run.event == "release" else "",
        started=started,
        seconds=between(started, moment(run.updated_at)) if status in ENDED else None,
        link=link(run.html_url),
        author=said(run.actor.login) if run.actor is not None else "",
        workflow=said(run.name),
    )
