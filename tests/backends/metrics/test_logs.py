"""Lines of logs as a source: which are errors, how many a minute, each once, and no pattern holds anything up."""

import re

import pytest

from quarterdeck.backends.errors import SourceFailed, SourceTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.metrics.contract import Counters, Measurement, Subject
from quarterdeck.backends.metrics.logs import ERRORS, LogsSource
from quarterdeck.config.analyses import LogsMetric
from quarterdeck.config.release import Release
from tests.backends.metrics.subjects import subject

ERRORS_LOGGED = [
    "level=error msg=oops",
    'time="2026-11-29T16:05:14Z" level="fatal" msg="no disk"',
    '{"level":"error","msg":"oops"}',
    '{"time": 1, "severity": "CRITICAL", "message": "x"}',
    '{"log.level":"ERROR","message":"x"}',
    '{"level":50,"time":1764432314,"msg":"x"}',
    "2026/11/29 16:05:14 [error] 31#31: *1 connect() failed (111: Connection refused)",
    "2026-11-29 16:05:14,123 ERROR [main] c.a.Api - no answer",
    "ERROR: relation does not exist",
    "[2026-11-29 16:05:14] ERROR: x {exception}",
    "CRITICAL:root:x",
    "error: no such table",
    "2026-11-29T16:05:14.1Z error: no such table",
    "panic: runtime error: index out of range [3]",
    "fatal error: all goroutines are asleep - deadlock!",
    "thread 'main' panicked at src/main.rs:4:5:",
    'Exception in thread "main" java.lang.NullPointerException',
    "Traceback (most recent call last):",
    "E1129 16:05:14.123456   4242 controller.go:96] x",
    "Error: Cannot find module 'x'",
    "error[E0308]: mismatched types",
]
NO_ERRORS = [
    "listening on :8080",
    "0 errors, 0 warnings",
    'level=info msg="no error" error=null errors=0',
    '{"level":"info","error":null,"errors":[]}',
    '{"level":30,"msg":"took 50 ms"}',
    "GET /errors/404 200 12ms",
    "GET /ERROR HTTP/1.1 200",
    "wrote /var/log/error.log",
    "ERROR_LOG=/dev/stderr",
    "LOG_LEVEL=ERROR",
    "loaded ERROR.html",
    "error handling is on",
    "level=warning msg=slow",
    "terror: a film",
    "alert: disk at 70 %",
]


@pytest.mark.parametrize("line", ERRORS_LOGGED)
def test_lines_of_errors_are_known(line: str) -> None:
    assert re.search(ERRORS, line)


@pytest.mark.parametrize("line", NO_ERRORS)
def test_lines_that_only_speak_of_errors_are_none(line: str) -> None:
    assert not re.search(ERRORS, line)


class Hosts:
    """Each gives what a test has put there since it was last asked, by a mark that counts."""

    def __init__(self, match: str = "") -> None:
        self.lines: dict[str, list[str]] = {"web-1": [], "web-2": []}
        self.dropped = 0
        self.now = 100.0
        self.source = LogsSource(LogsMetric(match), self._read, lambda: self.now)
        self.marks: dict[str, str] = {}

    async def _read(self, host: str, release: Release, mark: str) -> NewLines:
        lines = self.lines[host]
        return NewLines(str(len(lines)), lines[int(mark) :] if mark else (), self.dropped if mark else 0)

    async def measured(self, *hosts: str, deadline: float = 20.0) -> Measurement:
        asked = Subject(subject("v2").release, hosts or tuple(self.lines), marks=self.marks)
        [found] = await self.source.measure([asked], deadline=deadline)
        self.marks = dict(found.marks)
        return found


async def test_the_value_is_the_worst_hosts_lines_a_minute_since_the_last_measurement() -> None:
    hosts = Hosts()
    hosts.lines["web-1"] += ["ERROR of the release before"] * 50
    first = await hosts.measured()
    assert (first.beginning, first.value, first.detail) == (True, None, "counted from now on")
    hosts.lines["web-1"] += ["ok", "ERROR one", "ok"]
    hosts.lines["web-2"] += ["ERROR two", "ERROR three"]
    hosts.now += 30
    found = await hosts.measured()
    assert (found.beginning, found.value, found.values, found.well) == (False, 4.0, (2.0, 4.0), None)
    assert found.detail == "web-1: 1 of 3 lines in 30 s: ERROR one; web-2: 2 of 2 lines in 30 s: ERROR two"
    assert found.counters is not None
    assert (found.counters.requests, found.counters.bad) == (5, 3)
    hosts.now += 600
    nothing = await hosts.measured()
    assert (nothing.value, nothing.values) == (0.0, (0.0, 0.0)), "no line is counted twice"
    assert nothing.counters is not None
    assert nothing.counters.began != found.counters.began, "each has its own beginning"


async def test_a_host_that_comes_later_is_counted_from_then_on() -> None:
    hosts = Hosts()
    await hosts.measured("web-1")
    hosts.lines["web-1"].append("ERROR")
    hosts.lines["web-2"].append("ERROR of the release before")
    hosts.now += 60
    found = await hosts.measured()
    assert (found.beginning, found.values, set(found.marks)) == (False, (1.0,), {"web-1", "web-2"})
    hosts.lines["web-2"].append("ERROR")
    hosts.now += 60
    assert (await hosts.measured()).values == (0.0, 1.0)


async def test_the_rest_of_a_flood_is_taken_to_be_like_what_was_read() -> None:
    hosts = Hosts()
    await hosts.measured("web-1")
    hosts.lines["web-1"] += ["ERROR", "ok"] * 10
    hosts.dropped, hosts.now = 80, hosts.now + 60
    found = await hosts.measured("web-1")
    assert (found.value, found.counters) == (
        50.0,
        Counters(100, 50, began=found.counters.began if found.counters else ""),
    )


async def test_a_pattern_of_ones_own_is_looked_for_anywhere_in_a_line() -> None:
    hosts = Hosts(r"(?i)payment .* declined")
    await hosts.measured("web-1")
    hosts.lines["web-1"] += ["x Payment of 3 declined", "ERROR", "payment taken"]
    hosts.now += 60
    assert (await hosts.measured("web-1")).value == 1.0


async def test_a_pattern_that_takes_for_ever_is_ended_at_the_deadline() -> None:
    hosts = Hosts(r"^(a+)+$")
    await hosts.measured("web-1")
    hosts.lines["web-1"].append("a" * 60 + "b")
    hosts.now += 60
    with pytest.raises(SourceTimedOut):
        await hosts.measured("web-1", deadline=0.5)


async def test_a_release_that_runs_nowhere_and_a_lost_host_are_errors_of_the_source() -> None:
    async def lost(host: str, release: Release, mark: str) -> NewLines:
        raise Unreachable(host, "connect", "no route", advice="Look whether it is up")

    source = LogsSource(LogsMetric(), lost)
    with pytest.raises(SourceFailed, match=r"v2-.* runs on no host"):
        await source.measure([subject("v2")], deadline=30)
    with pytest.raises(SourceFailed, match=r"no route.*Look whether it is up") as found:
        await source.measure([subject("v2", hosts=("web-1",))], deadline=30)
    assert found.value.host == "logs of web-1"
