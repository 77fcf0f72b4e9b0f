"""The mirror of a repository, on real ones: which commits lie between two, how a version finds its own, and what can't be reached or must
not be run."""

import asyncio
import fcntl
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import CommitsUnknown
from quarterdeck.backends.source.mirror import Mirror
from quarterdeck.config.builds import Repository
from tests.repository import RealRepository
from tests.requirements_here import need

pytestmark = pytest.mark.timeout(300)
SECONDS = 20.0


@pytest.fixture
def repository(tmp_path: Path) -> RealRepository:
    need(shutil.which("git") is not None, "git")
    return RealRepository(tmp_path / "server")


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    return tmp_path / "sources"


def mirror_of(repository: RealRepository, mirrors: Path) -> Mirror:
    return Mirror(Repository(str(repository.path)), mirrors)


def folder_of(mirrors: Path) -> Path:
    (found,) = mirrors.glob("*/*.git")
    return found


async def test_the_commits_between_two_and_back(repository: RealRepository, mirrors: Path) -> None:
    first = repository.commit("Begin")
    second = repository.commit("Refuse an empty basket", author="omar")
    third = repository.commit("Say why")
    mirror = mirror_of(repository, mirrors)
    found = await mirror.between(first, third, deadline=SECONDS)
    assert [(one.sha, one.author, one.subject) for one in found.came] == [
        (third, "maya", "Say why"),
        (second, "omar", "Refuse an empty basket"),
    ]
    assert (found.came_in_all, found.went_in_all, found.went) == (2, 0, ())
    assert found.came[0].time == "2026-11-29T10:03:00+00:00"
    back = await mirror.between(third, first, limit=1, deadline=SECONDS)
    assert ([one.sha for one in back.went], back.went_in_all, back.came_in_all) == ([third], 2, 0)


async def test_two_branches_come_and_go(repository: RealRepository, mirrors: Path) -> None:
    root = repository.commit("Begin")
    left = repository.commit("Left")
    repository.git("reset", "--quiet", "--hard", root)
    right = repository.commit("Right", branch="other")
    found = await mirror_of(repository, mirrors).between(left, right, deadline=SECONDS)
    assert ([one.subject for one in found.came], [one.subject for one in found.went]) == (["Right"], ["Left"])


async def test_a_version_finds_its_commit(repository: RealRepository, mirrors: Path) -> None:
    tagged = repository.commit("Begin", tag="v1.4.0")
    last = repository.commit("Go on")
    mirror = mirror_of(repository, mirrors)
    assert await mirror.commit_of(["v1.4.0"], deadline=SECONDS) == tagged, "an annotated tag is its commit"
    assert await mirror.commit_of(["1.4.0"], deadline=SECONDS) == tagged
    assert await mirror.commit_of([last], deadline=SECONDS) == last
    assert await mirror.commit_of(["nothing", last[:12]], deadline=SECONDS) == last
    assert await mirror.commit_of(["main"], deadline=SECONDS) is None, "a branch moves: it names no release"


async def test_what_came_since_is_fetched_when_it_is_asked_for(repository: RealRepository, mirrors: Path) -> None:
    first = repository.commit("Begin")
    mirror = mirror_of(repository, mirrors)
    assert await mirror.commit_of([first], deadline=SECONDS) == first
    second = repository.commit("Go on", tag="v2")
    os.utime(folder_of(mirrors) / "qd-fetched", (0, 0))  # not just now: then it would not be asked again
    assert await mirror.commit_of(["v2"], deadline=SECONDS) == second
    shutil.rmtree(repository.path)
    assert (await mirror.between(first, second, deadline=SECONDS)).came_in_all == 1, "nobody is asked what is known"


HOSTILE = [
    "--upload-pack=touch /tmp/x",
    "-oProxyCommand=x",
    "v1; id",
    "v1^{commit}",
    "v1..v2",
    "@{-1}",
    ":/Begin",
    "HEAD",
    "../../heads/main",
    "x\ny",
    "",
]


@pytest.mark.parametrize("word", HOSTILE)
async def test_a_hostile_version_is_no_option_and_no_expression(
    repository: RealRepository, mirrors: Path, word: str
) -> None:
    first = repository.commit("Begin", tag="v1")
    mirror = mirror_of(repository, mirrors)
    assert await mirror.commit_of([word], deadline=SECONDS) is None
    for pair in ((word, first), (first, word)):
        with pytest.raises(CommitsUnknown, match="is no commit"):
            await mirror.between(*pair, deadline=SECONDS)


@pytest.mark.parametrize("address", ["ext::sh -c touch% {}", "http://127.0.0.1:1/api.git", "git://127.0.0.1:1/api.git"])
async def test_a_transport_that_runs_a_program_or_is_not_encrypted_is_refused_by_git_itself(
    tmp_path: Path, mirrors: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet file refuses them first; this is the second lock, also for who has allowed them in git's own configuration. Without
    GIT_ALLOW_PROTOCOL the first one makes the file."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    made = tmp_path / "made"
    with pytest.raises(CommitsUnknown, match=r"transport '(ext|http|git)' not allowed"):
        await Mirror(Repository(address.format(made)), mirrors).commit_of(["v1"], deadline=SECONDS)
    assert not made.exists()


async def test_words_of_commits_are_cleaned(repository: RealRepository, mirrors: Path) -> None:
    first = repository.commit("Begin")
    second = repository.commit("Red \x1b[31malert\x1b]0;title\x07 \u202eback", author="ma\x1b[2Jya")
    found = await mirror_of(repository, mirrors).between(first, second, deadline=SECONDS)
    assert (found.came[0].subject, found.came[0].author) == ("Red alert back", "maya")


async def test_a_commit_that_there_is_not(repository: RealRepository, mirrors: Path) -> None:
    first = repository.commit("Begin")
    with pytest.raises(CommitsUnknown, match=r"has no commit aaaaaaaaaaaa: is it pushed.*Nothing waits for it"):
        await mirror_of(repository, mirrors).between("a" * 40, first, deadline=SECONDS)


async def test_a_repository_that_is_not_there_and_git_that_is_not(
    repository: RealRepository, mirrors: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(repository.path)
    with pytest.raises(CommitsUnknown, match=r"can't fetch .*does not appear to be a git repository"):
        await mirror_of(repository, mirrors).commit_of(["v1"], deadline=SECONDS)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommitsUnknown, match=r"git is not installed.*Install git"):
        await mirror_of(repository, mirrors).commit_of(["v1"], deadline=SECONDS)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


async def test_one_that_does_not_answer_ends_at_the_deadline(mirrors: Path, silent: int) -> None:
    mirror = Mirror(Repository(f"ssh://git@127.0.0.1:{silent}/api.git"), mirrors)
    with pytest.raises(CommitsUnknown, match=r"git has not answered within \d"):
        await mirror.commit_of(["v1"], deadline=1.0)
    assert "127.0.0.1" in mirror.name
    assert not [one for one in threading.enumerate() if "git" in one.name]


async def test_one_at_a_time_and_who_waits_too_long_is_told(repository: RealRepository, mirrors: Path) -> None:
    repository.commit("Begin", tag="v1")
    mirror = mirror_of(repository, mirrors)
    found = await asyncio.gather(
        *(mirror_of(repository, mirrors).commit_of(["v1"], deadline=SECONDS) for _ in range(4))
    )
    assert len(set(found)) == 1
    lock = os.open(f"{folder_of(mirrors)}.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(CommitsUnknown, match="another qd is fetching it, and has not finished yet"):
        await mirror.commit_of(["v1"], deadline=0.2)
    os.close(lock)
    assert await mirror.commit_of(["v1"], deadline=SECONDS) in found, "the lock ends with who held it"


async def test_another_repository_of_the_environment_leads_nowhere(
    repository: RealRepository, mirrors: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """qd may be run by a hook of git's, which sets these."""
    first = repository.commit("Begin", tag="v1")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    assert await mirror_of(repository, mirrors).commit_of(["v1"], deadline=SECONDS) == first


async def test_the_mirror_is_its_owner_s_alone(repository: RealRepository, mirrors: Path) -> None:
    repository.commit("Begin", tag="v1")
    await mirror_of(repository, mirrors).commit_of(["v1"], deadline=SECONDS)
    assert folder_of(mirrors).parent.stat().st_mode & 0o777 == 0o700
    assert not (folder_of(mirrors) / "hooks").exists()
