"""The cache of archives: whole files only, shared by workers, bounded, and never emptied under somebody who uses it."""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import CacheBounds, fetch
from quarterdeck.backends.artifacts.cache import Cache
from quarterdeck.config.release import ResolvedArtifact


def make(folder: Path, content: bytes) -> ResolvedArtifact:
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"source-{digest[:8]}"
    path.write_bytes(content)
    return ResolvedArtifact(str(path), digest, len(content))


async def test_what_is_there_is_given_without_asking_the_place_again(tmp_path: Path) -> None:
    resolved = make(tmp_path / "s", b"one")
    path = await fetch(resolved, tmp_path / "cache")
    os.unlink(resolved.location)
    assert await fetch(resolved, tmp_path / "cache") == path


async def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    resolved = make(tmp_path / "s", b"one")
    path = await fetch(resolved, tmp_path / "cache")
    path.write_bytes(b"two")
    assert (await fetch(resolved, tmp_path / "cache")).read_bytes() == b"one"


async def test_a_link_put_into_the_cache_is_not_followed(tmp_path: Path) -> None:
    resolved = make(tmp_path / "s", b"one")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / resolved.sha256).symlink_to(resolved.location)
    path = await fetch(resolved, tmp_path / "cache")
    assert not path.is_symlink()
    assert path.read_bytes() == b"one"


async def test_a_new_cache_is_private(tmp_path: Path) -> None:
    path = await fetch(make(tmp_path / "s", b"one"), tmp_path / "a" / "cache")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


async def test_in_a_directory_that_operators_share_the_group_may_read(tmp_path: Path) -> None:
    shared = tmp_path / "cache"
    shared.mkdir()
    shared.chmod(0o2770)
    assert (await fetch(make(tmp_path / "s", b"one"), shared)).stat().st_mode & 0o777 == 0o640


def _fetch_in_a_process(resolved: ResolvedArtifact, cache: Path) -> None:
    assert hashlib.sha256(asyncio.run(fetch(resolved, cache)).read_bytes()).hexdigest() == resolved.sha256


def test_workers_that_fetch_the_same_at_once_all_get_it_and_leave_one_file(tmp_path: Path) -> None:
    resolved = make(tmp_path / "s", os.urandom(3_000_000))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fetch_in_a_process, args=(resolved, tmp_path / "cache")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert os.listdir(tmp_path / "cache") == [resolved.sha256]


def old_files(cache: Path, count: int) -> list[str]:
    """Files of nobody, oldest first."""
    cache.mkdir(exist_ok=True)
    names = []
    for age in range(count):
        content = f"file {age}".encode()
        names.append(hashlib.sha256(content).hexdigest())
        (cache / names[-1]).write_bytes(content)
        os.utime(cache / names[-1], (1000 + age, 1000 + age))
    return names


async def test_the_oldest_are_removed_but_never_one_to_keep(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    names = old_files(cache, 5)
    resolved = make(tmp_path / "s", b"new")
    await fetch(resolved, cache, keep={names[0]}, bounds=CacheBounds(files=3))
    assert set(os.listdir(cache)) == {names[0], names[4], resolved.sha256}


async def test_the_bytes_are_bounded_too(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    old_files(cache, 3)
    resolved = make(tmp_path / "s", b"x" * 100)
    await fetch(resolved, cache, bounds=CacheBounds(bytes=50))
    assert os.listdir(cache) == [resolved.sha256]


USER = """
import sys
from pathlib import Path
from quarterdeck.backends.artifacts.cache import Cache
assert Cache(Path(sys.argv[1])).find(sys.argv[2])
"""


def test_what_was_used_lately_is_not_the_oldest(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, second = old_files(cache, 2)
    # A process that has ended by then: what keeps the file is its age, not its use.
    subprocess.run([sys.executable, "-c", USER, cache, first], check=True, timeout=60)
    assert Cache(cache, CacheBounds(files=1)).prune(set()) == [second]


HOLDER = """
import sys, time
from pathlib import Path
from quarterdeck.backends.artifacts.cache import Cache
assert Cache(Path(sys.argv[1])).find(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_what_a_living_worker_uses_stays_and_goes_once_it_is_dead(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (name,) = old_files(cache, 1)
    store = Cache(cache, CacheBounds(files=0))
    with subprocess.Popen([sys.executable, "-c", HOLDER, cache, name], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert store.prune(set()) == []
        assert (cache / name).exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait(20)
    assert store.prune(set()) == [name]


WRITER = """
import sys, time
from pathlib import Path
from quarterdeck.backends.artifacts.cache import Cache
partial = Cache(Path(sys.argv[1])).begin()
print("writing", flush=True)
time.sleep(60)
"""


def test_half_a_file_is_cleared_away_once_its_writer_is_dead_and_not_before(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store = Cache(cache)
    with subprocess.Popen([sys.executable, "-c", WRITER, cache], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        store.prune(set())
        assert len(os.listdir(cache)) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait(20)
    store.prune(set())
    assert os.listdir(cache) == []


async def test_a_cancelled_fetch_leaves_nothing(tmp_path: Path) -> None:
    resolved = make(tmp_path / "s", os.urandom(30_000_000))
    cache = tmp_path / "cache"
    task = asyncio.create_task(fetch(resolved, cache))
    end = asyncio.get_running_loop().time() + 20
    while not (cache.exists() and os.listdir(cache)) and not task.done():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [name for name in os.listdir(cache) if name.startswith(".")]
