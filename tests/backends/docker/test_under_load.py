"""What the users of a service notice of a switch: through the service's name nothing; through a published port, which only one
container can have, the time between."""

from contextlib import suppress

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.config.container import PublishedPort
from tests.boxes import HEALTH, NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import free_port
from tests.under_load import NOBODY_LISTENS, load

# Told to stop, it takes no new connections and answers those that it has.
GRACEFUL = "httpd -f -p 8080 -h /www & serving=$!; trap 'kill $serving; sleep 0.3; exit 0' TERM; wait"
pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_nobody_who_asks_by_the_services_name_is_refused(box: Box) -> None:
    """Deploy and rollback, three times over, then a release that ends at once and one that is not well, of a service that ends what it
    has begun when it is told to stop. Two things may be left, which no engine can help: a connection that the kernel had taken, and the
    program not yet when it stopped listening, is reset; and an address goes between being told by the resolver and being connected to,
    where the client is as slow as that."""
    spec = box.spec(command=("sh", "-c", GRACEFUL))
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    crashes = await box.staged("3", spec=box.spec(command=("sh", "-c", "exit 1")))
    unwell = await box.staged("4", spec=box.spec(command=("sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait")))
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
        for epoch, bad in ((8, crashes), (9, unwell)):
            with suppress(CommandFailed):
                await box.connection.switch(bad, NO_SECRETS, box.fence(epoch), f"{epoch}.1")
            assert not (await box.connection.check_health(HEALTH, bad)).healthy
            await box.connection.withdraw(bad, box.fence(epoch), f"{epoch}.2")
        before = box.running
    assert before == [first.id]
    failed = {words: count for words, count in counted.items() if words not in ("1", "2")}
    assert counted["1"] > 20
    assert counted["2"] > 20
    assert all(words == "reset" or words.startswith("refused: ") for words in failed), counted
    assert sum(failed.values()) <= 6, f"more than one a switch: {counted}"


async def test_through_a_published_port_only_the_time_between_is_noticed(box: Box) -> None:
    port = free_port("127.0.0.1")
    spec = box.spec(ports=(PublishedPort(8080, str(port), "127.0.0.1"),))
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    await become_healthy(box.connection, first)
    with load([], "127.0.0.1", port) as counted:
        outcome = await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
        assert not outcome.beside
        await become_healthy(box.connection, second)
    assert set(counted) - {"1", "2"}, "a port that is never closed was not stopped first"
    assert all(words in ("1", "2", "") or words.startswith(NOBODY_LISTENS) for words in counted), counted
    assert counted["2"] > 0
