"""What a log got since a mark: each line once, over rotation and half-written lines, and what is not there is said so."""

import os
from pathlib import Path

import pytest

from quarterdeck.backends.errors import CommandFailed, NotPermitted
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.hosts.ssh.answer import parse
from quarterdeck.backends.hosts.ssh.new_lines import read_new_lines
from quarterdeck.config.model import Logs
from quarterdeck.config.release import Release
from tests.contract.place import Place


class Log:
    """A file's log, read on from where it was read to."""

    def __init__(self, place: Place, release: Release, pattern: str) -> None:
        self.place = place
        self.release = release
        self.logs = Logs(files=(str(place.files / pattern),))
        self.mark = ""

    async def new(self, lines: int = 10_000) -> NewLines:
        found = await self.place.connection.new_lines(self.logs, self.release, self.mark, lines=lines)
        self.mark = found.mark
        return found

    async def texts(self) -> list[str]:
        return list((await self.new()).texts)


@pytest.fixture
def log(place: Place) -> Log:
    return Log(place, place.release("v1")[0], "* b.log*")


@pytest.fixture
def file(place: Place) -> Path:
    """A name that a shell would split."""
    path = place.files / "a b.log"
    path.write_text("before\n")
    return path


def append(file: Path, text: str) -> None:
    with file.open("a") as out:
        out.write(text)


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def test_each_line_comes_once_and_what_was_there_before_does_not(log: Log, file: Path) -> None:
    assert await log.texts() == []
    assert await log.texts() == []
    append(file, "one\n\x1b[31mtwo\x1b[0m\n")
    assert await log.texts() == ["one", "two"]
    before = log.mark
    append(file, "three\n")
    assert await log.texts() == ["three"]
    assert await log.texts() == []
    log.mark = before  # as a worker that takes over has it
    assert await log.texts() == ["three"]


async def test_a_line_that_is_being_written_is_read_when_it_is_whole(log: Log, file: Path) -> None:
    await log.new()
    append(file, "one\nhal")
    assert await log.texts() == ["one"]
    append(file, "f é")
    assert await log.texts() == []
    append(file, "\n\n")
    assert (await log.texts())[:1] == ["half é"]
    assert await log.texts() == []


async def test_a_file_that_was_renamed_is_read_on_and_a_new_one_from_its_beginning(log: Log, file: Path) -> None:
    await log.new()
    append(file, "last of the old\n")
    os.rename(file, f"{file}.1")
    write(file, "first of the new\n")
    assert sorted(await log.texts()) == ["first of the new", "last of the old"]
    write(file, "x\n")  # emptied in its place, as copytruncate does
    assert await log.texts() == ["x"]


async def test_of_a_flood_the_first_lines_are_read_and_the_others_counted(log: Log, file: Path) -> None:
    await log.new()
    append(file, "".join(f"{number} {'x' * 5000}\n" for number in range(100)))
    found = await log.new(lines=10)
    assert ([text.split()[0] for text in found.texts], found.dropped) == ([str(number) for number in range(10)], 90)
    assert max(map(len, found.texts)) == 2000
    assert await log.texts() == []


async def test_two_patterns_and_a_link_to_one_file_are_one_file(log: Log, file: Path) -> None:
    (file.parent / "link b.log").symlink_to(file)
    log.logs = Logs(files=(*log.logs.files, str(file)))
    await log.new()
    append(file, "one\n")
    assert await log.texts() == ["one"]


async def test_a_log_that_is_not_there_is_said_so(log: Log) -> None:
    with pytest.raises(CommandFailed, match="no such file"):
        await log.new()


def test_a_log_that_may_not_be_read_is_said_so() -> None:
    answer = parse("qd", b"qd unreadable /var/log/api.log\nqd done 0\n", b"", 0)
    with pytest.raises(NotPermitted, match=r"/var/log/api\.log: permission denied"):
        read_new_lines("web-1", "read the logs", Logs(files=("/var/log/*",)), "", answer, most=1)
