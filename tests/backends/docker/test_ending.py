"""A container that ends in the very moment in which something is asked of it: its engine does not know it yet, but its runtime does.
And one that is never started again, as after an engine that was killed while it started it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boxes import NO_SECRETS, Box, Registry, connect
from tests.engine import DockerEngine, need_docker, short_directory, start_engine
from tests.requirements_here import need

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]

RUNTIME = """#!/bin/sh
# Where a file has the name of the container that is to be updated, its first process ends right before that.
for container do :; done
case " $* " in *" update "*)
  if mv '{directory}/'"$container" '{directory}/ended' 2>/dev/null; then
    read -r process <'{directory}/ended'
    kill -9 "$process"
    while grep -q '^State:.[^ZX]' "/proc/$process/status" 2>/dev/null; do :; done
  fi
esac
case " $* " in *" create "*)  # and where another file has it, it is never started
  if [ -e '{directory}/stuck-'"$container" ]; then
    before=
    for word do
      [ "$before" != --log ] || printf '{{"level": "error", "msg": "task %s: already exists"}}\n' "$container" >>"$word"
      before=$word
    done
    exit 1
  fi
esac
exec '{runc}' "$@"
"""


@dataclass
class Ending:
    box: Box
    directory: Path

    def at_the_next_update(self, name: str) -> None:
        """Of that container."""
        found = self.box.inspect(name)
        (self.directory / found["Id"]).write_text(f"{found['State']['Pid']}\n")

    @property
    def was_refused(self) -> bool:
        return (self.directory / "ended").exists() and "container not running" in self.box.engine.log

    def is_over(self, name: str) -> tuple[bool, str]:
        """Whether it runs, and by which policy it would be started again."""
        found = self.box.inspect(name)
        return found["State"]["Running"], found["HostConfig"]["RestartPolicy"]["Name"]


@pytest.fixture(scope="module")
def of_ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DockerEngine, Path]]:
    """An engine of these tests' own, and the directory in which its runtime is told what ends as it is updated."""
    need_docker()
    runc = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin")
    need(runc is not None, "runc (package runc)")
    directory = tmp_path_factory.mktemp("ends")
    runtime = directory / "runtime"
    runtime.write_text(RUNTIME.format(directory=directory, runc=runc))
    runtime.chmod(0o755)
    engine = start_engine(short_directory(), ["--add-runtime", f"ending={runtime}", "--default-runtime", "ending"])
    yield engine, directory
    engine.close()


@pytest.fixture
async def ending(of_ends: tuple[DockerEngine, Path], docker_images: Registry) -> AsyncIterator[Ending]:
    engine, directory = of_ends
    box = Box(engine, docker_images, await connect(engine))
    yield Ending(box, directory)
    await box.connection.close()
    box.clear()
    (directory / "ended").unlink(missing_ok=True)


async def test_one_that_ends_as_it_is_stopped_fails_no_rollback_and_is_not_started_again(ending: Ending) -> None:
    """The engine keeps the policy that it had, by which its next boot would start it."""
    box = ending.box
    first, second = [await box.staged(one, spec=box.spec(restart="always")) for one in ("1", "2")]
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    assert (await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")).beside
    ending.at_the_next_update(box.name)
    assert (await box.connection.retire(first, box.fence(2), "2.2")).current == first.id
    assert ending.was_refused
    assert box.running == [first.id]
    assert ending.is_over(f"{box.name}.{second.id}") == (False, "no")


async def test_one_that_ends_beside_what_is_put_back_is_only_stopped(ending: Ending) -> None:
    """As the container of an older worker, which was killed while the engine started it."""
    box = ending.box
    first, second = [await box.staged(one) for one in ("1", "2")]
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    ending.at_the_next_update(f"{box.name}.{second.id}")
    assert (await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")).current == first.id
    assert ending.was_refused
    assert box.running == [first.id]


async def test_one_that_its_engine_never_starts_again_is_made_anew(ending: Ending) -> None:
    """The way back leads to it: its release must come, though its container never will."""
    box = ending.box
    first, second = [await box.staged(one) for one in ("1", "2")]
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    kept = box.inspect(f"{box.name}.{first.id}")["Id"]
    (ending.directory / f"stuck-{kept}").touch()
    assert (await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")).beside
    assert (await box.connection.retire(first, box.fence(2), "2.2")).current == first.id
    assert "already exists" in box.engine.log
    assert box.running == [first.id]
    assert box.inspect(box.name)["Id"] != kept
    assert [one for one in box.engine.client.containers(all=True) if one["Id"] == kept] == []
