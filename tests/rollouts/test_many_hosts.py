"""A wave of many hosts, on hosts in memory: so many at work at once, nobody held up by one that hangs, and nothing is said to be begun that
is not."""

import asyncio
from pathlib import Path

import pytest

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.plans.steps import Action
from quarterdeck.rollouts.worker import waves
from tests.synthetic.operations import Latency, Operation, Trouble
from tests.synthetic.rollouts import SyntheticField

BOUND = 120.0


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(waves, "AT_ONCE", 20)
    return 20


async def test_a_wave_has_so_many_hosts_at_work(
    tmp_path: Path, few_places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail (more than a hundred at once) without places in a wave."""
    monkeypatch.setattr(waves, "SLOW", 60.0)  # whatever a busy machine adds: no host gives its place on
    field = SyntheticField(tmp_path, 150)
    field.world.latencies = {one: Latency(0.02, 0.01) for one in Operation}
    async with asyncio.timeout(BOUND):
        deployed = await field.deploy("v1")
    assert deployed.rollout.state is RolloutState.SUCCEEDED
    assert len(field.runs("v1")) == 150
    crowds = field.world.crowds
    assert (crowds[Operation.STAGE].most, crowds[Operation.SWITCH].most) == (few_places, few_places)
    assert (crowds[Operation.STAGE].total, crowds[Operation.SWITCH].total) == (150, 150), "each host once"


async def test_hosts_that_hang_hold_up_no_other_one(
    tmp_path: Path, few_places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many of them as there are places, and in front of all others, in a rollback. When the first of them is given up, all others
    run the old release. Seen to fail with places that are never given on."""
    monkeypatch.setattr(waves, "SLOW", 0.1)
    field = SyntheticField(tmp_path, 100, service={"rollback": "{on_unreachable: continue}"})
    async with asyncio.timeout(BOUND):
        for version in ("v1", "v2"):
            assert (await field.deploy(version)).rollout.state is RolloutState.SUCCEEDED
        hung, well = field.names[: 2 * few_places], field.names[2 * few_places :]
        field.world.trouble(hung, Operation.SWITCH, Trouble.SILENT)
        going_back = asyncio.create_task(field.roll_back())
        try:
            async with asyncio.timeout(60):
                while field.runs("v1") != well:  # noqa: ASYNC110 - hosts in memory give no event
                    await asyncio.sleep(0.02)
            assert not going_back.done()
            with Journal.open(field.fleet.state, read_only=True) as journal:
                (rollout,) = journal.living()
                steps = [step for step in journal.steps(rollout.id) if step.action == Action.SWITCH]
            assert {step.host for step in steps if step.state is StepState.STARTED} >= set(hung)
        finally:
            going_back.cancel()
            await asyncio.wait([going_back])


async def test_what_has_not_had_its_turn_was_not_begun(
    tmp_path: Path, few_places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy that fails on the first host. Those behind it in line are not touched, and nothing is taken back there. Seen to fail with
    all first steps journalled as started when the wave begins."""
    monkeypatch.setattr(waves, "SLOW", 60.0)
    field = SyntheticField(tmp_path, 90)
    async with asyncio.timeout(BOUND):
        assert (await field.deploy("v1")).rollout.state is RolloutState.SUCCEEDED
        field.world.latencies = {Operation.SWITCH: Latency(2.0)}
        field.world.trouble(field.names[:1], Operation.SWITCH, Trouble.FAILS)
        before = field.world.crowds[Operation.SWITCH].total
        deployed = await field.deploy("v2")
    assert deployed.rollout.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)
    assert field.world.crowds[Operation.SWITCH].total - before <= 2 * few_places + 2
    assert len(field.runs("v1")) >= 89
    with Journal.open(field.fleet.state, read_only=True) as journal:
        switches = [
            s for s in journal.steps(deployed.rollout.id) if s.action == Action.SWITCH and not s.body.get("reverse")
        ]
    untried = [step for step in switches if step.state is StepState.PENDING]
    assert len(untried) >= 90 - few_places - 1


async def test_hosts_that_can_not_be_reached_are_counted_not_listed(tmp_path: Path) -> None:
    """The sentence that refuses a deploy names some of hundreds."""
    field = SyntheticField(tmp_path, 200)
    field.world.trouble(field.names[:150], Operation.CONNECT, Trouble.REFUSED)
    async with asyncio.timeout(BOUND):
        deployed = await field.deploy("v1")
    assert deployed.rollout.state is RolloutState.CANCELLED
    why = str(deployed.rollout.outcome)
    assert "150 of 200 hosts can't be reached, nothing was changed" in why
    assert len(why) < 600
