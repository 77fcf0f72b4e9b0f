"""What the users of a service notice of a switch: through the service's name nothing; through a published port, which only one
container can have, the time between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quarterdeck.config.container import PublishedPort
from tests.boxes import NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import free_port

# Told to stop, it takes no new connections and answers those that it has.
GRACEFUL = "httpd -f -p 8080 -h /www & serving=$!; trap 'kill $serving; sleep 0.3; exit 0' TERM; wait"
pytestmark = [pytest.mark.docker, pytest.mark.root]


class Answers(dict[str, int]):
    """How many there were of each. ``order``: as they came, one of many in a row."""

    order: list[str]


@contextmanager
def load(where: list[str], name: str, port: int, *, seconds: float = 10.0) -> Iterator[Answers]:
    """The answers, once it has ended; the last one was asked for after it. ``seconds``: for each."""
    command = [*where, sys.executable, str(Path(__file__).with_name("load.py")), name, str(port), str(seconds)]
    counted = Answers()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield counted
    finally:
        output, _ = process.communicate("", timeout=60)
        found, counted.order = json.loads(output)
        counted.update(found)


async def test_nobody_who_asks_by_the_services_name_is_refused(box: Box) -> None:
    """Deploy and rollback, three times over, of a service that ends what it has begun when it is told to stop. Two things may
    be left, which no engine can help: a connection that the kernel had taken, and the program not yet when it stopped listening, is reset;
    and an address goes between being told by the resolver and being connected to, where the client is as slow as that."""
    spec = box.spec(command=("sh", "-c", GRACEFUL))
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    await become_healthy(box.connection, first)
    host = {"network_mode": box.network}
    client = box.engine.run(box.engine.image("client:1", command=["sleep", "600"]), f"{box.name}-client", host=host)
    pid = box.inspect(client)["State"]["Pid"]
    with load(["nsenter", f"--net=/proc/{pid}/ns/net"], "web", 8080) as counted:
        for epoch in range(2, 8):
            release = second if epoch % 2 == 0 else first
            outcome = await box.connection.switch(release, NO_SECRETS, box.fence(epoch), f"{epoch}.1")
            assert outcome.beside
            await become_healthy(box.connection, release)
            await box.connection.retire(release, box.fence(epoch), f"{epoch}.2")
    failed = {words: count for words, count in counted.items() if words not in ("1", "2")}
    assert counted["1"] > 20
    assert counted["2"] > 20
    # A connection that was still waiting when the program ended is reset, or closed without an answer.
    assert all(
        words in ("reset", "answered: b''") or words.startswith(("refused: ", "outdated: ")) for words in failed
    ), counted
    assert sum(failed.values()) <= 6, f"more than one a switch: {counted}"


async def test_through_a_published_port_only_the_time_between_is_noticed(box: Box) -> None:
    port = free_port("127.0.0.1")
    spec = box.spec(ports=(PublishedPort(8080, str(port), "127.0.0.1"),))
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    await become_healthy(box.connection, first)
    with load([], "127.0.0.1", port, seconds=2.0) as counted:
        outcome = await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
        assert not outcome.beside
        await become_healthy(box.connection, second)
    assert set(counted) - {"1", "2"}, "a port that is never closed was not stopped first"
    # Nobody listens, or the connection is cut, or left lying, while the port's proxy goes or comes: never a wrong answer.
    none = ("refused:", "reset", "broken: timed out", "answered: b''")
    assert all(words in ("1", "2", "") or words.startswith(none) for words in counted), counted
    assert counted["2"] > 0
