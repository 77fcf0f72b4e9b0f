"""The log collector as a process, on real SSH hosts: it follows, says what it lost, and is gone when the screen is."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.rollouts.logs.collector import REFUSED, Basket, Lines, Order, Sides, Stamp, in_order
from quarterdeck.rollouts.logs.spool import UNDATED, Level, Line, Side, Spool, SpoolWriter, make_spool, pack
from quarterdeck.tui.room.logs.collecting import Collecting, Wanted
from tests.field import TARGET, Field
from tests.sshd import SshdFleet, SshHost, wait_for

NOW = 1_795_530_727_000


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> Field:
    made = Field(tmp_path, sshd_fleet, service={"logs": {"files": ["~/logs/*.log"]}})
    made.clear_hosts()
    return made


def log_of(host: SshHost) -> Path:
    place = host.directory / "home" / "logs"
    place.mkdir(exist_ok=True)
    return place / "web.log"


@pytest.fixture
def logs(field: Field) -> Iterator[list[Path]]:
    """The log file of each host, with one line in it."""
    files = [log_of(host) for host in field.hosts.hosts]
    for number, file in enumerate(files):
        file.write_text(f"2026-11-24T14:00:0{number}.000Z INFO begin of {number}\n")
    yield files
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


@pytest.fixture
def collecting(field: Field) -> Iterator[Collecting]:
    field.deploy("v1")
    made = Collecting(field.file)
    yield made
    made.close()


def lines(collecting: Collecting) -> list[Line]:
    spool = collecting.spool
    if spool is None:
        return []
    spool.look()
    return spool.block(spool.floor, spool.head).lines()


HERE = Wanted(TARGET)


def follow(collecting: Collecting, holds: Callable[[list[Line]], bool], what: str, wanted: Wanted = HERE) -> None:
    """Looks after it as the pane does until ``holds``."""

    def look() -> bool:
        collecting.look_after(wanted, {})
        return holds(lines(collecting))

    wait_for(look, what, 60)


def append(file: Path, text: str) -> None:
    with file.open("a") as out:
        out.write(text)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_lines_of_all_hosts_in_the_order_of_their_times_then_as_they_come(
    collecting: Collecting, logs: list[Path]
) -> None:
    follow(collecting, lambda found: len(found) >= 5, "the lines that were there")
    assert [line.body for line in lines(collecting)] == [f"INFO begin of {n}" for n in range(5)]
    assert [line.host for line in lines(collecting)] == [0, 1, 2, 3, 4]
    append(logs[3], '2026-11-24T14:00:09.000Z ERROR boom\n  File "x.py"\n')
    follow(collecting, lambda found: len(found) >= 7, "a new line")
    boom, trace = lines(collecting)[-2:]
    assert (boom.level, boom.host, boom.continued) == (Level.ERROR, 3, False)
    assert (trace.level, trace.host, trace.continued, trace.time) == (Level.ERROR, 3, True, boom.time)


def test_a_host_that_falls_silent_is_said_once_and_again_when_it_is_back(
    collecting: Collecting, logs: list[Path], field: Field
) -> None:
    host = field.hosts.hosts[1]
    follow(collecting, lambda found: len(found) >= 5, "the lines that were there")
    host.stop()
    try:
        follow(collecting, lambda found: any("is silent" in line.text for line in found), "the silence")
        append(logs[0], "2026-11-24T14:01:00.000Z INFO the others go on\n")
        append(logs[1], "2026-11-24T14:01:01.000Z INFO meanwhile\n  more of it\n")
        follow(collecting, lambda found: any("go on" in line.text for line in found), "another host's line")
    finally:
        host.start()
    follow(collecting, lambda found: any(line.text == "is back" for line in found), "it to be back")
    append(logs[1], "2026-11-24T14:02:00.000Z INFO there again\n")
    follow(collecting, lambda found: any("there again" in line.text for line in found), "its new line")
    bodies = [line.body for line in lines(collecting) if line.host == 1 and line.level is not Level.NOTICE]
    assert bodies == ["INFO begin of 1", "INFO meanwhile", "  more of it", "INFO there again"]  # each one once
    notices = [line for line in lines(collecting) if line.level is Level.NOTICE]
    assert [(line.host, line.text.split(":")[0]) for line in notices] == [(1, "is silent"), (1, "is back")]


def test_only_the_hosts_that_are_chosen(collecting: Collecting, logs: list[Path], field: Field) -> None:
    names = [host.name for host in field.hosts.hosts]
    wanted = Wanted(TARGET, (names[2],))
    follow(collecting, lambda found: len(found) >= 1, "its line", wanted)
    append(logs[0], "2026-11-24T14:01:00.000Z INFO of another host\n")
    append(logs[2], "2026-11-24T14:01:00.000Z INFO of this one\n")
    follow(collecting, lambda found: len(found) >= 2, "its new line", wanted)
    assert {line.host for line in lines(collecting)} == {2}


def test_another_target_ends_the_old_collector_and_a_cursor_that_moves_on_starts_nothing(
    collecting: Collecting, logs: list[Path]
) -> None:
    follow(collecting, lambda found: len(found) >= 5, "the lines that were there")
    first = collecting.pid
    assert first is not None
    for number in range(5):
        collecting.look_after(Wanted(f"staging/passing-{number}"), {})
        assert collecting.pid == first
    other = Wanted(TARGET, ())
    collecting.look_after(other, {})
    assert collecting.pid == first
    gone = Wanted("staging/gone")
    follow(collecting, lambda found: any("is not in" in line.text for line in found), "the other one", gone)
    wait_for(lambda: not alive(first), "the first collector to end")
    wait_for(lambda: (collecting.look_after(gone, {}), not collecting.following)[1], "the refusal to end it")


def test_a_collector_that_died_is_started_again_on_the_same_lines(collecting: Collecting, logs: list[Path]) -> None:
    follow(collecting, lambda found: len(found) >= 5, "the lines that were there")
    pid = collecting.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    follow(collecting, lambda _: collecting.pid not in (None, pid), "another collector")
    deadline = time.monotonic() + 60
    number = 0
    while not any("after" in line.text for line in lines(collecting)):  # it follows from when it is connected
        assert time.monotonic() < deadline
        append(logs[0], f"2026-11-24T14:05:00.000Z INFO after {number}\n")
        number += 1
        time.sleep(0.2)
        collecting.look_after(Wanted(TARGET), {})
    assert [line.body for line in lines(collecting)][:5] == [f"INFO begin of {n}" for n in range(5)]


ROOM = """
import sys, time
from pathlib import Path
from quarterdeck.tui.room.logs.collecting import Collecting, Wanted
collecting = Collecting(Path(sys.argv[1]))
while True:
    collecting.look_after(Wanted(sys.argv[2]), {})
    if collecting.spool is not None and collecting.spool.look():
        print(collecting.pid, collecting.spool.head, flush=True)
    time.sleep(0.05)
"""


def test_kill_9_of_the_screen_leaves_no_process_here_or_on_a_host_and_no_file(
    field: Field, logs: list[Path], tmp_path: Path
) -> None:
    field.deploy("v1")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    room = subprocess.Popen(
        [sys.executable, "-c", ROOM, str(field.file), TARGET],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    try:
        assert room.stdout is not None
        pid = int(room.stdout.readline().split()[0])
        wait_for(lambda: len(followers(field, logs)) >= 5, "commands on the hosts")
        assert alive(pid)
        room.kill()
        wait_for(lambda: not alive(pid), "the collector to end")
        wait_for(lambda: not followers(field, logs), "the commands on the hosts to end")
        assert list(scratch.iterdir()) == []
    finally:
        room.kill()
        room.wait()
        assert room.stdout is not None
        room.stdout.close()


def followers(field: Field, logs: list[Path]) -> list[int]:
    found = []
    for pid in field.hosts.tagged_processes():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0] == b"tail" and any(str(file).encode() in words for file in logs):
                found.append(pid)
    return found


def test_a_target_without_logs_is_refused_with_what_to_do(tmp_path: Path, sshd_fleet: SshdFleet) -> None:
    field = Field(tmp_path, sshd_fleet)
    field.clear_hosts()
    field.deploy("v1")
    descriptor = make_spool()
    spool = Spool(descriptor)
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.rollouts.logs.collector", str(descriptor)],
        input=Order(field.file, TARGET).to_json() + "\n",
        text=True,
        pass_fds=(descriptor,),
        timeout=60,
        check=False,
    )
    spool.look()
    said = [line.text for line in spool.block(0, spool.head).lines()]
    spool.close()
    # The end of the input ends it too, whichever comes first.
    assert done.returncode in (REFUSED, 0)
    if done.returncode == REFUSED:
        assert "declares no logs" in said[0]
        assert "add to the service" in said[0]


def test_lines_that_came_too_fast_are_said_to_be_lost() -> None:
    writer = SpoolWriter(make_spool())
    basket = Basket(writer)
    stamp = Stamp(3, "web-4", Sides({}))
    batch = LogBatch("web-4", ["2026-11-24T14:32:07.000Z INFO x"], None, dropped=320)
    basket.notice(stamp.number, f"{batch.dropped} lines were lost here: they came faster than they were read")
    basket.put(3, stamp.lines(batch, NOW))
    basket.flush()
    spool = Spool(os.dup(writer.descriptor))
    spool.look()
    assert [line.level for line in spool.lines([0, 1])] == [Level.NOTICE, Level.INFO]
    assert spool.lines([0])[0].text.startswith("320 lines were lost here")
    writer.close()
    spool.close()


def test_the_side_is_the_release_that_ran_when_the_line_was_written() -> None:
    sides = Sides({"web-1": NOW, "web-2": None})
    assert sides.of("web-1", NOW - 60_000, NOW + 5_000) is Side.OLD  # a line from before
    assert sides.of("web-1", NOW - 3_000, NOW + 5_000) is Side.NEW  # written now, by a clock that is behind
    assert sides.of("web-2", NOW, NOW) is Side.OLD
    assert sides.of("web-3", NOW, NOW) is Side.NONE
    stamped = Stamp(0, "web-1", sides).lines(LogBatch("web-1", ["a\nb"]), NOW)
    assert stamped.texts == ["a", "b"]
    assert {info >> 3 & 3 for info in stamped.infos} == {Side.NEW}


def seen(lines: Lines) -> list[tuple[str, int, bool]]:
    """Text, seconds before NOW, whether no time is known."""
    return [
        (text, (NOW - (info >> 20)) // 1000, bool(info & UNDATED))
        for text, info in zip(lines.texts, lines.infos, strict=True)
    ]


def test_what_was_there_already_never_has_the_time_of_its_coming() -> None:
    stamp = Stamp(0, "web-1", Sides({}))
    first = ["from before", "2026-11-24T14:22:07Z INFO ten minutes ago", "says no time", "  belongs to it"]
    assert seen(stamp.lines(LogBatch("web-1", first), NOW, old=True)) == [
        ("from before", 600, True),  # no later than the first line that says a time; when is not known
        ("2026-11-24T14:22:07Z INFO ten minutes ago", 600, False),
        ("says no time", 600, False),
        ("  belongs to it", 600, False),
    ]
    assert seen(stamp.lines(LogBatch("web-1", ["comes now"]), NOW)) == [("comes now", 0, False)]


def test_a_file_that_says_no_times_comes_before_everything_else_and_goes_on_with_the_time_of_coming() -> None:
    stamp = Stamp(0, "web-1", Sides({}))
    app = stamp.lines(LogBatch("web-1", ["2026-11-24T14:31:07Z INFO app"], source="app.log: "), NOW, old=True)
    out = stamp.lines(LogBatch("web-1", ["a", "b"], source="out: "), NOW, old=True)
    assert [info >> 20 for info in out.infos] == [0, 0]  # not a minute ago: that was another file's line
    assert in_order([app, out]).texts == ["out: a", "out: b", "2026-11-24T14:31:07Z INFO app"]
    assert seen(stamp.lines(LogBatch("web-1", ["c"], source="out: "), NOW)) == [("out: c", 0, False)]


def test_after_a_lost_connection_no_line_comes_twice_with_or_without_a_time() -> None:
    stamp = Stamp(0, "web-1", Sides({}))
    out, app = LogBatch("web-1", ["a", "b"], source="out: "), ["2026-11-24T14:31:07Z INFO app", "more"]
    stamp.lines(out, NOW, old=True)
    stamp.lines(LogBatch("web-1", app, source="app.log: "), NOW, old=True)
    assert stamp.resume()
    assert stamp.lines(out, NOW, old=True).texts == []
    newer = [*app, "2026-11-24T14:31:08Z INFO meanwhile"]
    found = stamp.lines(LogBatch("web-1", newer, source="app.log: "), NOW, old=True).texts
    assert [text[-9:] for text in found] == ["meanwhile"]


def test_files_of_one_host_are_read_into_one_order(collecting: Collecting, logs: list[Path], field: Field) -> None:
    """The file that is read last has the older lines, and its first line says no time."""
    (logs[0].parent / "zz.log").write_text("begun\n2026-11-24T13:59:00.000Z INFO older\nwithout a time\n")
    logs[0].write_text("".join(f"2026-11-24T14:{n:02}:00.000Z INFO app {n}\n" for n in range(60)))
    wanted = Wanted(TARGET, (field.hosts.hosts[0].name,))
    try:
        follow(collecting, lambda found: len(found) >= 63, "the lines that were there", wanted)
    finally:
        (logs[0].parent / "zz.log").unlink()
    found = lines(collecting)
    assert [line.body.removeprefix("zz.log: ") for line in found[:4]] == [
        "begun",
        "INFO older",
        "without a time",
        "INFO app 0",
    ]
    assert [line.undated for line in found[:4]] == [True, False, False, False]
    assert found[2].time == found[1].time


def test_lines_of_one_file_keep_their_order_whatever_its_clock_says() -> None:
    def made(host: int, *times: int) -> Lines:
        return Lines([f"{host}:{t}" for t in times], [pack(t, host, 0) for t in times], [0] * len(times))

    assert in_order([made(0, 1, 9, 4), made(1, 2, 3, 10)]).texts == ["0:1", "1:2", "1:3", "0:9", "0:4", "1:10"]
