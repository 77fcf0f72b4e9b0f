"""Telling through Apprise, to a real server: what arrives, in which order, and what is said of a service that refuses, is not there or
never answers. No part of a URL is in anything that is said."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import NotTold
from quarterdeck.backends.notify.contract import Delivery, Message, Notifier
from quarterdeck.backends.notify.sending import GRACE
from quarterdeck.backends.notify.through_apprise import ThroughApprise, parts_of, service_of
from tests.sshd import free_port, processes_and_parents, wait_for
from tests.told import Told, service

TOKEN = "T0K3N-canary"
NOTIFIER: Notifier = ThroughApprise()


@pytest.fixture
def told() -> Iterator[Told]:
    with service() as made:
        yield made


def delivery(url: str, title: str = "one", body: str = "it <b>runs</b> :smile: \\n {{x}} ${y}") -> Delivery:
    return Delivery("notify 1", url, Message(title, body, "failure"))


async def tell(*deliveries: Delivery, deadline: float = 60.0) -> list[str]:
    """What was said of each; empty: it was taken."""
    found = await NOTIFIER.tell(deliveries, deadline=deadline)
    assert len(found) == len(deliveries)
    assert all(error is None or isinstance(error, NotTold) for error in found)
    said = ["" if error is None else str(error) for error in found]
    assert not any(TOKEN in text for text in said)
    return said


async def test_text_arrives_as_it_was_written_and_in_its_order(told: Told) -> None:
    url = told.url(f"/{TOKEN}")
    assert await tell(delivery(url), delivery(told.url("/form", "form"), "other"), delivery(url, "two")) == ["", "", ""]
    first, second = (one for one in told.came if one["path"] == f"/{TOKEN}")
    assert (first["title"], second["title"]) == ("one", "two")
    assert first["message"] == "it <b>runs</b> :smile: \\n {{x}} ${y}"
    assert first["type"] == "failure"
    assert {one["title"] for one in told.came} == {"one", "two", "other"}


async def test_a_service_that_refuses_is_told_of_and_the_others_are_served(told: Told) -> None:
    told.status = 403
    with service() as other:
        refused, taken = await tell(delivery(told.url(f"/{TOKEN}")), delivery(other.url()))
    assert refused.startswith("notify 1: send the notification: ")
    assert "403" in refused
    assert refused.endswith("The rollout is not touched by this")
    assert taken == ""
    assert other.titles() == ["one"]


async def test_what_is_not_there_and_what_is_no_url_of_apprise() -> None:
    url = Told(free_port()).url(f"/{TOKEN}")
    lost, unknown, raw = await tell(delivery(url), delivery(f"nosuch://{TOKEN}/x"), delivery(TOKEN))
    assert "onnection" in lost
    assert "makes nothing of its URL" in unknown
    assert "makes nothing of its URL" in raw


async def test_a_service_that_never_answers_ends_at_the_deadline_with_its_process(told: Told) -> None:
    told.silent.set()
    url = told.url(f"/{TOKEN}?rto=60")
    for deadline in (8, 60):  # the second one on a machine that is too busy to begin within the first
        with service() as other:
            silent, taken = await tell(delivery(url), delivery(other.url()), deadline=deadline)
        assert not senders()
        if taken == "":
            break
    assert f"no answer within {deadline} s: it may have arrived or not" in silent
    assert taken == "", "one that answers is not held up by it"
    assert set(told.titles()) == {"one"}


async def test_whoever_waits_may_leave_and_nothing_stays_behind(told: Told) -> None:
    told.silent.set()
    task = asyncio.create_task(tell(delivery(told.url("/x?rto=60"))))
    await asyncio.to_thread(told.until, "one")
    (pid,) = senders()
    assert str(told.port).encode() not in _command_line(pid)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not senders()


def senders() -> list[int]:
    """The processes of this one that send."""
    mine = {pid for pid, parent in processes_and_parents() if parent == os.getpid()}
    return [pid for pid in mine if b"notify.sending" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_sender_whom_nobody_waits_for_ends_by_itself(told: Told) -> None:
    told.silent.set()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "quarterdeck.backends.notify.sending"], stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    message = '{"id": 0, "title": "one", "body": "b", "tone": "info"}'
    place = f'{{"url": "{told.url("/x?rto=60")}", "messages": [{message}]}}'
    process.stdin.write(f'{{"deadline": {0.5 - GRACE + 1}, "places": [{place}]}}'.encode())
    process.stdin.close()
    wait_for(lambda: process.poll() is not None, "the sender has ended", 60)
    assert process.returncode < 0


async def test_nothing_to_send_starts_nothing() -> None:
    assert await NOTIFIER.tell((), deadline=0.0) == ()


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("slack://a/b/c", "slack"),
        ("JSONS://x", "jsons"),
        ("https://hooks.slack.com/s/T", "https"),
        ("T0K3N", ""),
        ("", ""),
    ],
)
def test_of_a_url_only_the_service_is_shown(url: str, scheme: str) -> None:
    assert service_of(url) == scheme


def test_the_parts_of_a_url_are_those_that_hold_its_token() -> None:
    assert {"a%40b", "a@b", "pass", "host", "x", "T0K3N"} <= set(parts_of("json://a%40b:pass@host/x?+Auth=T0K3N"))
    assert "T0K3N" not in repr(delivery("slack://T0K3N"))
