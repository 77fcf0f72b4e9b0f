"""Of which commit and which build a deploy is: asked of git and of the CI system while the hosts are looked at. A git that is away holds
nothing up, and a rollback asks neither. Changes nothing."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.builds.contract import MOST, Build, BuildsOf, BuildStatus
from quarterdeck.backends.errors import BackendError
from quarterdeck.config.builds import Builds, Repository, places_in
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalError
from quarterdeck.rollouts.built import is_words

PATIENCE: Final = 2.0  # seconds that git is waited for once all else is known
FETCHING: Final = 120.0  # seconds that it may go on meanwhile, so that the next one finds a mirror


class BuildSeen(msgspec.Struct, frozen=True):
    """``passed``: that is known. ``words``: what is known of it, a part of a sentence."""

    passed: bool
    words: str
    number: str | None = None
    link: str | None = None

    def value(self) -> dict[str, Any]:
        """As JSON."""
        return {"state": "passed" if self.passed else "not passed", **msgspec.to_builtins(self)}


class Origin:
    """``options``: of the rollout; ``base``: the fleet file's directory; ``state``: that of the journal."""

    def __init__(self, options: Mapping[str, Any], base: Path, state: Path) -> None:
        self._base = base
        self._state = state
        self._build: Mapping[str, Any] = options.get("build") or {}
        self._builds = msgspec.convert(options["builds"], Builds) if options.get("builds") else None
        self._source = msgspec.convert(options["source"], Repository) if options.get("source") else None
        self._finding: asyncio.Task[str | None] | None = None
        self.warnings: list[str] = []

    def begin(self, version: str) -> None:
        """Looks for the commit of ``version``, beside all else."""
        if self._source is not None and not self._build.get("commit"):
            self._finding = asyncio.create_task(self._find(version, self._source))

    async def commit(self) -> str | None:
        """The commit, where it is known by now or in a moment; why it is not is in ``warnings``."""
        if self._build.get("commit"):
            return str(self._build["commit"])
        if self._finding is None:
            return None
        await asyncio.wait([self._finding], timeout=PATIENCE)
        if not self._finding.done():
            self.warnings = ["the commit is not known: git has not answered yet, and nothing waits for it"]
            return None
        return self._finding.result()

    async def _find(self, version: str, source: Repository) -> str | None:
        from quarterdeck.rollouts.commits import commit_of

        try:
            found = await commit_of(version, source, self._builds, self._state, deadline=FETCHING)
        except (BackendError, JournalError, OSError) as error:
            self.warnings = [f"the commit is not known: {error}"]
            return None
        if found is None:
            self.warnings = [f"the commit is not known: the source has neither a tag nor a commit called {version}"]
        return found

    async def build_of(self, release: Release) -> BuildSeen:
        """What became of the build that made ``release``. One that can't be asked for has not passed."""
        if self._builds is None:
            return BuildSeen(False, "nothing says where it is built")
        from quarterdeck.backends.builds.opening import open_builds

        asked = open_builds(self._builds, self._base)
        try:
            found = await self._found(asked, self._builds, release)
        except BackendError as error:
            return BuildSeen(False, f"that can't be asked: {error}")
        return judged(asked.name, release.version, found)

    async def _found(self, asked: BuildsOf, builds: Builds, release: Release) -> list[Build]:
        """The builds of that version; of its commit, where that is all that is known."""
        said = places_in(builds.version, release.version)
        number = self._build.get("number") or said.get("number")
        if number:
            one = await asked.build(str(number))
            return [one] if one is not None and one.version == release.version else []
        commit = said.get("sha") or release.commit
        if commit:
            of_commit = await asked.of_commit(commit)
            return [one for one in of_commit if one.version == release.version] or list(of_commit)
        return [one for one in await asked.recent(MOST) if one.version == release.version]


def judged(name: str, version: str, found: list[Build]) -> BuildSeen:
    """The newest of each workflow counts, and all of them must have passed. Pure."""
    newest: dict[str, Build] = {}
    for build in found:  # the newest comes first
        newest.setdefault(build.workflow, build)
    if not newest:
        return BuildSeen(False, f"{name} knows no build of {version}")
    standing = next((one for one in newest.values() if one.status is not BuildStatus.PASSED), None)
    told = standing or next(iter(newest.values()))
    of = f" ({told.workflow})" if told.workflow and len(newest) > 1 else ""
    words = f"build {told.number}{of} of {name} {is_words(told)}"
    return BuildSeen(standing is None, words, told.number, told.link or None)
