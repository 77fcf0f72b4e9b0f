"""What a CI system can be asked: its builds. It changes nothing there. Every one passes the same contract tests
(tests/backends/builds/)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

MOST = 100  # builds that are looked through for one


class BuildStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # skipped, neutral, or a word that is not known here: nobody may take it for passed


ENDED = frozenset({BuildStatus.PASSED, BuildStatus.FAILED, BuildStatus.CANCELLED, BuildStatus.UNKNOWN})


class Build(msgspec.Struct, frozen=True):
    """``number`` as people say it and as ``build`` takes it, ``id`` as the system's interface does. ``started`` is ISO 8601 UTC,
    ``seconds`` what it took, or has taken so far as that is told; None: not known. ``version``: which version it makes, by the fleet file's
    template; empty: none. ``workflow``: which of several it is of. Words of others are cleaned; whose they are is not proved."""

    number: str
    id: str
    status: BuildStatus
    commit: str = ""
    branch: str = ""
    tag: str = ""
    started: str | None = None
    seconds: float | None = None
    link: str = ""
    author: str = ""
    workflow: str = ""
    version: str = ""

    @property
    def places(self) -> Mapping[str, str]:
        """What a version's template may name; a commit is cut by who knows how its system does."""
        return {"number": self.number, "sha": self.commit, "tag": self.tag, "branch": self.branch}


class BuildsOf(Protocol):
    """The builds of one project. Each question raises ``BackendError``: Unreachable (no connection, no answer within ``deadline``
    seconds), NotPermitted (no token, one that is wrong, expired, or may not), BuildsUnknown. No token is in any of them."""

    @property
    def name(self) -> str:
        """What it is called in errors: "github acme/api"."""
        ...

    async def recent(self, limit: int, *, deadline: float | None = None) -> tuple[Build, ...]:
        """The newest first, at most ``limit``; of the fleet file's branch and workflow, where it names one."""
        ...

    async def build(self, number: str, *, deadline: float | None = None) -> Build | None:
        """The one of that number; None: there is none (where only that can be had: none among the last ones)."""
        ...

    async def of_commit(self, commit: str, *, deadline: float | None = None) -> tuple[Build, ...]:
        """Those of that commit (its whole name), the newest first."""
        ...
