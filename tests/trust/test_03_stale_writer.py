"""Promise 3: a stale worker can't overwrite a newer release. Racing writers at the gate of a real host.

Promise 2 as far as the host can show it: its own ledger holds no operation that ran twice.

Seen to fail without the comparison of epochs at the gate: an older epoch's release is the current one.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from quarterdeck.backends.errors import Fenced, Unreachable
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.config.model import Commands
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import quick_release
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(2, 3), pytest.mark.sshd]

WRITERS = 8
NO_SECRETS = SecretValues()


async def test_racing_writers_never_overwrite_a_newer_release(
    sshd_fleet: SshdFleet, tmp_path: Path, full: bool, promise: Promises
) -> None:
    """Eight workers with different epochs switch the same target over and over; each epoch has a release of its own."""
    rounds = 100 if full else 15
    order = random.Random(3)
    path = tmp_path / "srv"
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[1].as_host()
    connections = await asyncio.gather(*(backend.connect(host) for _ in range(WRITERS)))
    commands = Commands(start='echo "$QD_RELEASE" >>"$QD_SHARED/started"', stop="true")
    releases = []
    for number in range(WRITERS):
        release, archive = quick_release(tmp_path, f"v{number}", path, commands=commands)
        await connections[0].stage(release, archive, NO_SECRETS, Fence("test/web", 1, "writer"))
        releases.append(release)
    refused = Counter[str]()
    for turn in range(rounds):
        epochs = [turn * WRITERS + number + 1 for number in range(WRITERS)]
        order.shuffle(epochs)
        outcomes = await asyncio.gather(
            *(
                _write(connection, release, epoch)
                for connection, release, epoch in zip(connections, releases, epochs, strict=True)
            )
        )
        refused.update(outcomes)
        newest = releases[epochs.index(max(epochs))]
        current = (path / "current").readlink().name
        promise(3).none("overwrites", current != newest.id)
        assert current == newest.id, "an older epoch's release is the current one"
    epochs_executed = [int(line.split()[3]) for line in _ledger(path) if line.split()[1] == "begin"]
    assert epochs_executed == sorted(epochs_executed), "an epoch went back"
    started = len((path / "shared" / "started").read_text().splitlines())
    # Who was ended half-way by a newer one may have begun to start its release.
    assert refused["done"] <= started <= refused["done"] + refused["half-way"]
    operations = Counter(line.split()[2] for line in _ledger(path) if line.split()[1] == "begin")
    promise(2).count("operations in the hosts' ledgers", len(operations))
    promise(2).none("that ran twice", sum(count > 1 for count in operations.values()))
    assert set(operations.values()) == {1}, "an operation ran twice"
    facts = await connections[0].facts("test/web", str(path))
    assert facts.epoch == rounds * WRITERS
    assert refused.total() == rounds * WRITERS
    assert refused["fenced"] > 0
    promise(3).count(f"rounds of {WRITERS} racing writers", rounds)
    for connection in connections:
        await connection.close()


async def _write(connection: SshConnection, release: Release, epoch: int) -> str:
    try:
        await connection.switch(release, NO_SECRETS, Fence("test/web", epoch, f"writer {epoch}"), f"{epoch}.1")
    except Fenced as error:
        return "half-way" if error.half_way else "fenced"
    return "done"


def _ledger(path: Path) -> list[str]:
    return (path / ".quarterdeck" / "ledger").read_text().splitlines()


async def test_an_operation_that_is_sent_again_at_the_same_time_runs_once(
    sshd_fleet: SshdFleet, tmp_path: Path
) -> None:
    """A retry that overtakes the first try: both answer, one ran."""
    path = tmp_path / "srv"
    backend = SshBackend([sshd_fleet.ssh_config])
    connections = await asyncio.gather(*(backend.connect(sshd_fleet[1].as_host()) for _ in range(4)))
    commands = Commands(start='echo "$QD_RELEASE" >>"$QD_SHARED/started"', stop="true")
    release, archive = quick_release(tmp_path, "v1", path, commands=commands)
    fence = Fence("test/web", 1, "me")
    await connections[0].stage(release, archive, NO_SECRETS, fence)
    for turn in range(5):
        outcomes = await asyncio.gather(
            *(connection.switch(release, NO_SECRETS, fence, f"1.{turn}") for connection in connections)
        )
        assert sorted(outcome.replayed for outcome in outcomes) == [False, True, True, True]
    assert len((path / "shared" / "started").read_text().splitlines()) == 5
    for connection in connections:
        await connection.close()


async def test_a_lost_connection_lets_the_gate_run_to_its_end(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    """The worker's connection breaks while its command runs: the host finishes, records, and answers a retry from its record."""
    path = tmp_path / "srv"
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[2]
    connection = await backend.connect(host.as_host())
    start = (
        'touch "$QD_SHARED/begun"; while [ ! -f "$QD_SHARED/go" ]; do sleep 0.02; done; echo x >>"$QD_SHARED/started"'
    )
    release, archive = quick_release(tmp_path, "v1", path, commands=Commands(start=start, stop="true"))
    fence = Fence("test/web", 1, "me")
    await connection.stage(release, archive, NO_SECRETS, fence)
    running = asyncio.create_task(connection.switch(release, NO_SECRETS, fence, "1.1"))
    await asyncio.to_thread(wait_for, (path / "shared" / "begun").exists, "the start command runs")
    host.drop_connections()
    with pytest.raises(Unreachable, match="connection was lost"):
        await running
    (path / "shared" / "go").touch()
    again = await backend.connect(host.as_host())
    outcome = await again.switch(release, NO_SECRETS, fence, "1.1")
    assert (outcome.current, outcome.replayed) == (release.id, True)
    assert (path / "shared" / "started").read_text() == "x\n"
    await again.close()


async def test_an_outcome_that_was_cut_short_does_not_count(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    """As a kill while the record was written would leave it: the operation runs again."""
    path = tmp_path / "srv"
    connection = await SshBackend([sshd_fleet.ssh_config]).connect(sshd_fleet[1].as_host())
    release, archive = quick_release(tmp_path, "v1", path)
    fence = Fence("test/web", 1, "me")
    await connection.stage(release, archive, NO_SECRETS, fence)
    await connection.switch(release, NO_SECRETS, fence, "1.1")
    record = path / ".quarterdeck" / "ops" / "1.1"
    whole = record.read_text()
    for length in (1, 8, len(whole) // 2, len(whole) - 2):
        record.write_text(whole[:length])
        assert not (await connection.switch(release, NO_SECRETS, fence, "1.1")).replayed
    assert (await connection.switch(release, NO_SECRETS, fence, "1.1")).replayed
    await connection.close()
