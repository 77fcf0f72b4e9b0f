"""The spool: what is written is read, the oldest goes, none is lost without being counted."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from quarterdeck.rollouts.logs.spool import Level, Side, Spool, SpoolWriter, make_spool, pack

SMALL = 4096  # lines
TEXT = 1 << 20


@pytest.fixture
def pair() -> Iterator[tuple[SpoolWriter, Spool]]:
    descriptor = make_spool(lines=SMALL, text=TEXT)
    writer, spool = SpoolWriter(descriptor), Spool(os.dup(descriptor))
    yield writer, spool
    writer.close()
    spool.close()


def write(writer: SpoolWriter, numbers: range, text: str = "line {}") -> None:
    writer.add([text.format(n) for n in numbers], [pack(1000 + n, 2, Level.INFO) for n in numbers], [0] * len(numbers))


def test_lines_come_back_as_they_were(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    assert not spool.look()
    writer.add(
        ["09:00 first", "zweite Zeile äöü 日本", ""],
        [
            pack(1_700_000_000_123, 7, Level.ERROR, Side.NEW),
            pack(5, 0, Level.UNKNOWN, continued=True),
            pack(6, 4095, 7),
        ],
        [6, 0, 0],
    )
    assert spool.look()
    first, second, third = spool.lines([0, 1, 2])
    assert (first.text, first.body, first.time, first.host) == ("09:00 first", "first", 1_700_000_000_123, 7)
    assert (first.level, first.side, first.continued) == (Level.ERROR, Side.NEW, False)
    assert (second.text, second.continued, second.number) == ("zweite Zeile äöü 日本", True, 1)
    assert (third.text, third.host, third.level) == ("", 4095, Level.NOTICE)


def test_a_spool_has_no_name_and_only_its_owner_may_open_it() -> None:
    descriptor = make_spool()
    status = os.fstat(descriptor)
    assert status.st_nlink == 0
    assert status.st_mode & 0o777 == 0o600
    os.close(descriptor)


def test_the_oldest_lines_go_and_are_counted(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    for begin in range(0, 3 * SMALL, 100):
        write(writer, range(begin, begin + 100))
        spool.look()
        assert spool.head == begin + 100
        assert spool.head - spool.floor <= SMALL
    assert spool.floor == spool.head - spool.room
    block = spool.block(0, spool.head)
    assert block.first == spool.floor
    assert [line.text for line in block.lines()] == [f"line {n}" for n in range(spool.floor, spool.head)]
    assert spool.lines([0, 1, spool.head - 1])[-1].text == f"line {spool.head - 1}"


def test_long_lines_make_room_for_themselves(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    for begin in range(0, 1000, 10):
        write(writer, range(begin, begin + 10), "{} " + "x" * 4000)
    spool.look()
    assert spool.floor > 1000 - TEXT // 4000
    assert [line.text.split()[0] for line in spool.block(0, 1000).lines()] == [str(n) for n in range(spool.floor, 1000)]


def test_a_line_as_long_as_they_come_fits(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    writer.add(["ä" * 50_000, "after"], [pack(1, 0, 0), pack(2, 0, 0)], [0, 0])
    spool.look()
    assert [len(line.text) for line in spool.lines([0, 1])] == [50_000, 5]


def test_another_writer_goes_on_where_the_first_one_ended(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    write(writer, range(10))
    write(SpoolWriter(os.dup(writer.descriptor)), range(10, 20))
    spool.look()
    assert [line.text for line in spool.block(0, 20).lines()] == [f"line {n}" for n in range(20)]


WRITING = """
import sys
from quarterdeck.rollouts.logs.spool import SpoolWriter, pack
writer = SpoolWriter(int(sys.argv[1]))
for begin in range(0, 400_000, 500):
    writer.add([f"{n} {n * 7919}" for n in range(begin, begin + 500)], [pack(n, 1, 2) for n in range(begin, begin + 500)], [0] * 500)
"""


def test_what_is_written_over_while_it_is_read_is_never_shown() -> None:
    """A writer a hundred times round the ring, a reader that always asks for everything."""
    descriptor = make_spool(lines=SMALL, text=TEXT)
    spool = Spool(descriptor)
    command = [sys.executable, "-c", WRITING, str(descriptor)]
    with subprocess.Popen(command, pass_fds=(descriptor,)) as process:
        looks = 0
        while process.poll() is None:
            spool.look()
            for line in spool.block(spool.floor, spool.head).lines():
                assert line.text == f"{line.number} {line.number * 7919}"
                assert line.time == line.number
            looks += 1
    assert process.returncode == 0
    assert looks > 3
    spool.look()
    assert spool.head == 400_000
    spool.close()


MILLION = """
import os
from quarterdeck.rollouts.logs.spool import Spool, SpoolWriter, make_spool, pack
from quarterdeck.tui.room.logs.sieve import Search, Sieve
from quarterdeck.tui.room.matching import matcher
writer = SpoolWriter(make_spool())
spool = Spool(os.dup(writer.descriptor))
text = "2026-11-24T14:32:07.123Z INFO 'GET /api/orders HTTP/1.1' 200 12.3ms req=abcdef01 user={}"
for begin in range(0, 1_000_000, 8000):
    writer.add([text.format(n) for n in range(begin, begin + 8000)], [pack(n, 1, 2) for n in range(begin, begin + 8000)], [25] * 8000)
spool.look()
assert spool.head - spool.floor == 1_000_000
search = Search(spool, Sieve(matcher("user=777777")), spool.head)
search.step(60)
assert list(search.before(spool.head, 5)) == [777_777]
with open("/proc/self/status") as file:
    print(next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def test_a_million_lines_searched_take_less_than_100_mb() -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, timeout=110, check=True)
    assert int(done.stdout) < 100_000


def test_a_full_disk_is_an_error_and_the_next_batch_may_be_tried(pair: tuple[SpoolWriter, Spool]) -> None:
    writer, spool = pair
    write(writer, range(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # a write behind it fails as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            write(writer, range(10, 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write(writer, range(10, 20))
    spool.look()
    assert [line.text for line in spool.block(0, 20).lines()] == [f"line {n}" for n in range(20)]
