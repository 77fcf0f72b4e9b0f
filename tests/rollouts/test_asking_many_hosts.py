"""Asking many hosts what runs there: each has its whole time, counted from its turn, and an observer works out once who has what."""

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest

from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts import adopt, status
from quarterdeck.rollouts.observer import leader
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.observer.pace import Pace
from tests.synthetic.operations import Latency, Operation, Trouble
from tests.synthetic.rollouts import TARGET, WHO, SyntheticField
from tests.synthetic.world import SyntheticHosts

BOUND = 60.0


@pytest.fixture
async def field(tmp_path: Path) -> SyntheticField:
    """Sixty hosts, the first two of which never answer, and all others after a tenth of a second."""
    made = SyntheticField(tmp_path, 60)
    assert (await made.deploy("v1")).rollout.to_release
    made.world.latencies = {Operation.CONNECT: Latency(0.05), Operation.LOOK: Latency(0.05)}
    made.world.trouble(made.names[:2], Operation.CONNECT, Trouble.SILENT)
    return made


async def test_status_asks_so_many_at_once_and_each_in_its_own_time(
    field: SyntheticField, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they take longer than one host may. Seen to fail with a clock that runs while a host waits for its turn."""
    monkeypatch.setattr(status, "ASKED_AT_ONCE", 1)
    monkeypatch.setattr(status, "SLOW", 2.0)
    monkeypatch.setattr(status, "LOOK", 8.0)
    field.world.crowds[Operation.LOOK].most = 0
    with (
        Journal.open(field.fleet.state, operator=WHO) as journal,
        patch.object(Hosts, "of", lambda _: SyntheticHosts(field.world)),
    ):
        async with asyncio.timeout(BOUND):
            await status.observe(field.fleet, journal, [TARGET])
        found = {one.host: one.error for one in journal.observations(TARGET)}
    assert {host for host, error in found.items() if error} == set(field.names[:2])
    assert len(found) == 60
    assert field.world.crowds[Operation.LOOK].most == 1


async def test_what_hosts_carry_is_asked_of_each_in_its_own_time(
    field: SyntheticField, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same when a journal is made anew from its hosts."""
    monkeypatch.setattr(adopt, "AT_ONCE", 1)
    monkeypatch.setattr(adopt, "SLOW", 2.0)
    monkeypatch.setattr(adopt, "ASK", 8.0)
    async with asyncio.timeout(BOUND):
        told = await adopt.ask_hosts(SyntheticHosts(field.world), field.fleet, [TARGET])
    assert {one.host for one in told if one.facts is None} == set(field.names[:2])
    assert len(told) == 60


async def test_an_observer_works_out_once_which_host_has_which_target(
    field: SyntheticField, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each host, with every change of the journal. Seen to fail when it was asked for each."""
    asked, by_host = 0, leader.by_host

    def counting(*words: object) -> object:
        nonlocal asked
        asked += 1
        return by_host(field.fleet)

    monkeypatch.setattr(leader, "by_host", counting)
    before = field.world.crowds[Operation.LOOK].total
    with patch.object(Hosts, "of", lambda _: SyntheticHosts(field.world)):
        observing = asyncio.create_task(
            leader.Leader(field.fleet, Clerk(field.fleet.state, WHO), lambda: None, Pace()).run()
        )
        async with asyncio.timeout(BOUND):
            while field.world.crowds[Operation.LOOK].total - before < 58:  # noqa: ASYNC110 - hosts in memory give no event
                await asyncio.sleep(0.05)
        observing.cancel()
        await asyncio.wait([observing])
    assert asked == 1
