"""Lines of a service's log: told apart by task, put together from their parts, each once over a stream that breaks."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.backends.hosts.docker import logs
from quarterdeck.backends.hosts.swarm.task_lines import ServiceLines

OUT, ERR = 1, 2


def frame(task: str, second: float, text: bytes, output: int = OUT) -> bytes:
    details = f"com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id={task}".encode()
    body = b"2026-11-30T08:39:%012.9fZ " % second + details + b" " + text
    return bytes([output, 0, 0, 0]) + len(body).to_bytes(4) + body


def fed(lines: ServiceLines, chunks: Iterable[bytes]) -> dict[str, list[str]]:
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        lines._framed(rest)
    assert not rest
    return {task: list(batch.texts) for task, batch in lines.taken_of_tasks("swarm")}


@given(st.integers(1, 300))
def test_parts_of_long_lines_of_several_tasks_are_kept_apart(size: int) -> None:
    """However the stream is cut: two tasks on different nodes say long lines at the same time."""
    stream = b"".join(
        [
            frame("a", 1.0, b"a long "),
            frame("b", 1.1, b"b long "),
            frame("b", 1.2, b"error\n", ERR),
            frame("a", 1.3, b"line\n"),
            frame("b", 1.4, b"one\n"),
            frame("c", 1.5, b"\n"),
            frame("c", 1.6, b" with spaces  \n"),
        ]
    )
    found = fed(ServiceLines({}), [stream[at : at + size] for at in range(0, len(stream), size)])
    assert found == {"a": ["a long line"], "b": ["error", "b long one"], "c": ["", " with spaces  "]}


def test_a_stream_that_is_asked_for_again_tells_only_what_is_new() -> None:
    """It begins some seconds before the newest line of all. Lines of one moment are told apart by their number."""
    lines = ServiceLines({"a": "2026-11-30T08:39:05.000000000Z 2", "b": "- 0"})
    assert lines._asked()["since"] == "1796027935.000000000"
    lines._begin()
    again = [frame("a", 4.0, b"old\n"), frame("a", 5.0, b"one\n"), frame("a", 5.0, b"two\n")]
    first = [frame("a", 5.0, b"three\n"), frame("b", 2.0, b"late\n"), frame("b", 9.0, b"later\n")]
    assert fed(lines, [*again, *first]) == {"a": ["three"], "b": ["late", "later"]}
    assert lines._asked()["since"] == "1796027939.000000000"
    lines._begin()
    assert fed(lines, [*again, *first, frame("c", 1.0, b"new\n")]) == {"c": ["new"]}


def test_what_nobody_wants_is_left_out() -> None:
    lines = ServiceLines({}, frozenset({"old"}))
    assert fed(lines, [frame("old", 1.0, b"x\n"), frame("new", 1.0, b"y\n")]) == {"new": ["y"]}


def test_lines_that_nobody_takes_are_lost_and_counted_by_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LINES_WAITING", 3)
    lines = ServiceLines({})
    rest = bytearray(b"".join(frame(task, 1.0 + at, b"%d\n" % at) for at, task in enumerate("aaabbc")))
    lines._framed(rest)
    taken = {task: (list(batch.texts), batch.dropped) for task, batch in lines.taken_of_tasks("swarm")}
    assert taken == {"b": (["3", "4"], 0), "c": (["5"], 0), "a": ([], 3)}
