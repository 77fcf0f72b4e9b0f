"""A mirror of a repository on this machine, for one user: kept in the state directory, brought up to date when something is asked that it
does not know. Without the files' contents, where the server can leave them out."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from quarterdeck.backends.errors import THIS_MACHINE, CommitsUnknown
from quarterdeck.backends.source.contract import Commit, Commits
from quarterdeck.backends.source.git import LEFT, GitEnded, git
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.builds import Repository

LISTED: Final = 50  # commits
_AT_ONCE: Final = 500  # commits in one question: an argument list has an end
_FRESH: Final = 10.0  # seconds within which what was not there is not asked for again
_LOOKING: Final = 10.0  # seconds for a question to the mirror itself
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,199}")
_SHA: Final = re.compile(r"(?=[0-9]*[a-f]|.{12})[0-9a-f]{7,64}")  # seven digits are a build's number rather
_WHOLE: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Mirror:
    """``directory``: where mirrors are kept; it is there. Nothing is fetched before something is asked."""

    def __init__(self, repository: Repository, directory: Path) -> None:
        self._url = repository.git
        # Of one user alone: git runs what a repository's own configuration says, so that nobody else may write there.
        self._place = directory / str(os.geteuid())
        self._folder = self._place / f"{hashlib.sha256(repository.git.encode()).hexdigest()[:20]}.git"

    @property
    def name(self) -> str:
        """As it is told: never with a login."""
        return re.sub(r"//[^/@]*@", "//", self._url)

    async def commit_of(self, names: Sequence[str], *, deadline: float) -> str | None:
        """The commit of the first of these names that there is: a tag (with or without a v before it), or a commit's own name, whole or
        cut; None: there is none. Fetches where the mirror knows none of them. ``deadline``: seconds. Raises CommitsUnknown."""
        until = time.monotonic() + deadline
        async with self._kept(until):
            if (found := await self._find(names)) is not None:
                return found
            if await self._fetch(until):
                return await self._find(names)
            return None

    async def between(self, before: str, after: str, *, limit: int = LISTED, deadline: float) -> Commits:
        """The commits between two (whole names). Fetches where the mirror does not know one of them. Raises CommitsUnknown."""
        until = time.monotonic() + deadline
        async with self._kept(until):
            for one in (before, after):
                if not _WHOLE.fullmatch(one):
                    raise CommitsUnknown(THIS_MACHINE, self._action, f"{one!r} is no commit", left=LEFT)
                if await self._find([one]) is None:
                    await self._fetch(until)
                    if await self._find([one]) is None:
                        told = f"it has no commit {one[:12]}: is it pushed, and on a branch or a tag?"
                        raise CommitsUnknown(THIS_MACHINE, self._action, told, left=LEFT)
            came, went = await asyncio.gather(
                self._list(f"{before}..{after}", limit), self._list(f"{after}..{before}", limit)
            )
            return Commits(before, after, came[0], went[0], came[1], went[1])

    async def times(self, commits: Sequence[str], *, deadline: float) -> dict[str, str]:
        """When each of these (whole names) was committed, ISO 8601; of those that the mirror has. Nothing is fetched. Raises
        CommitsUnknown."""
        known = [one for one in dict.fromkeys(commits) if _WHOLE.fullmatch(one)]
        found: dict[str, str] = {}
        if not (
            self._folder / "HEAD"
        ).is_file():  # nothing is made where nothing is: whoever asks may only want to look
            return found
        async with self._kept(time.monotonic() + deadline):
            for first in range(0, len(known), _AT_ONCE):
                asked = known[first : first + _AT_ONCE]
                text = await self._git(
                    "log", "--no-walk=unsorted", "--ignore-missing", "--no-color", "--format=%H %cI", *asked, "--"
                )
                found |= dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return found

    @property
    def _action(self) -> str:
        return f"read the commits of {self.name}"

    async def _git(self, *arguments: str) -> str:
        return await git([f"--git-dir={self._folder}", *arguments], self._action, deadline=_LOOKING)

    async def _find(self, names: Sequence[str]) -> str | None:
        if not (self._folder / "HEAD").is_file():
            return None
        for name in names:
            tagged = _TAG.fullmatch(name) and not any(odd in name for odd in ("..", "//", "/."))
            words = [f"refs/tags/{name}", f"refs/tags/v{name}"] if tagged else []
            for word in [*words, *([name] if _SHA.fullmatch(name) else [])]:
                with contextlib.suppress(GitEnded):
                    found = await self._git(
                        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{word}^{{commit}}"
                    )
                    return found.strip()
        return None

    async def _list(self, span: str, limit: int) -> tuple[tuple[Commit, ...], int]:
        """Those of ``span`` (of whole names), at most ``limit``, and how many there are."""
        counted = await self._git("rev-list", "--count", "--end-of-options", span, "--")
        if not (total := int(counted)):
            return (), 0
        text = await self._git(
            "log",
            "-z",
            "--no-color",
            "--no-notes",
            f"--max-count={limit}",
            "--format=%H%n%an%n%cI%n%s",
            "--end-of-options",
            span,
            "--",
        )
        found = []
        for record in text.split("\0"):
            sha, _, rest = record.partition("\n")
            author, _, rest = rest.partition("\n")
            moment, _, subject = rest.partition("\n")
            if sha:
                found.append(Commit(sha, _line(author, 80), _line(moment, 40), _line(subject, 200)))
        return tuple(found), total

    async def _fetch(self, until: float) -> bool:
        """Brings the mirror up to date, unless that was just done: then False. One that is ended at its deadline begins anew the
        next time: git keeps no half of it."""
        stamp = self._folder / "qd-fetched"
        with contextlib.suppress(OSError):
            if 0 <= time.time() - stamp.stat().st_mtime < _FRESH:
                return False
        action = f"fetch {self.name}"
        if not (self._folder / "HEAD").is_file():
            await git(["init", "--quiet", "--bare", "--template=", "--", str(self._folder)], action, deadline=_LOOKING)
        place = f"--git-dir={self._folder}"
        for key, value in (("remote.origin.url", self._url), ("remote.origin.fetch", "+refs/heads/*:refs/heads/*")):
            await git([place, "config", "--replace-all", "--end-of-options", key, value], action, deadline=_LOOKING)
        left = until - time.monotonic()
        await git(
            [
                place,
                "fetch",
                "--quiet",
                "--prune",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--filter=blob:none",
                "origin",
                "+refs/heads/*:refs/heads/*",
                "+refs/tags/*:refs/tags/*",
            ],
            action,
            deadline=max(left, 0.1),
            fetches=True,
        )
        stamp.touch()
        return True

    @asynccontextmanager
    async def _kept(self, until: float) -> AsyncIterator[None]:
        """Nobody else changes the mirror meanwhile. The lock ends with the process."""
        try:
            self._place.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(f"{self._folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            told = f"{self._place}: {error.strerror}"
            raise CommitsUnknown(THIS_MACHINE, self._action, told, left=LEFT) from None
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        told = "another qd is fetching it, and has not finished yet"
                        raise CommitsUnknown(
                            THIS_MACHINE, self._action, told, left=LEFT, advice="Try again later"
                        ) from None
                    await asyncio.sleep(0.05)
                except OSError as error:
                    raise CommitsUnknown(THIS_MACHINE, self._action, f"no lock: {error.strerror}", left=LEFT) from None
            yield
        finally:
            os.close(lock)


def _line(text: str, most: int) -> str:
    return " ".join(clean(text).split())[:most]
