"""Promise 1 behind a real router: SIGKILL the worker at the boundaries of a canary, of its abort and of a rollback. A new one resumes, the
hosts run what they should, the router says the same as the journal, and every request is answered by that.

Seen to fail, at the small count, with one of these taken out: a step that was begun is done again by whoever takes over (a deploy ends
taken back, by its read-back of a host that was never switched); a switch that a host answers from its record enters the router all the
same (two of three are in service after a rollback); the way back ends the rules (one is left after an abort). Not seen: the first of them
in a rollback, whose two kills hit other places; and, of an abort, a way back that whoever takes over does not go on with, since it hears
the abort once more.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import ENDED, RolloutState, StepState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.plans.traffic import journalled, shown
from tests.backends.routers.running import RunningHaproxy
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(1), pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(900)]

DYING = Path(__file__).parent / "dying"
CANARY = {
    "canary": {
        "steps": [{"set_weight": 20}, {"pause": "300ms"}, {"set_route": {"header": ["beta"]}}, {"set_weight": 60}]
    }
}


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet) as made:
        made.write(strategy=CANARY)
        yield made


def stands(field: RoutedField, rollout: int) -> bool:
    """It waits until somebody promotes."""
    with field.journal(read_only=True) as journal:
        return any(step.body.get("promote") and step.state is StepState.STARTED for step in journal.steps(rollout))


def go_on(field: RoutedField, rollout: int) -> None:
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        if journal.rollout(rollout).state is RolloutState.PAUSED:
            control.tend()  # as each command does: its worker died before it had heard the abort
        if journal.rollout(rollout).state not in ENDED:
            control.resume(rollout)


async def assert_right(field: RoutedField, version: str) -> None:
    assert field.running() == [version] * 3
    state = await field.routed()
    (slot,) = [slot for slot in Slot if state.slots[slot].servers]
    assert (state.share_of(slot), state.rules, len(state.slots[slot].ready)) == (FULL, (), 3)
    with field.journal(read_only=True) as journal:
        (last,) = journal.events(target=TARGET, kind="routed", newest_first=True, limit=1)
    assert journalled(last.body) == journalled(shown(state))
    assert set(await field.asks(20) + await field.asks(10, X_Qd_Variant="beta")) == {version}


@pytest.mark.parametrize("kind", ["deploy", "rollback", "abort"])
async def test_killed_at_the_boundaries(
    field: RoutedField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, full: bool, promise: Promises
) -> None:
    for version in ("v1",) if kind == "deploy" else ("v1", "v2"):
        await field.do("deploy", TARGET, version, "--wait")
    died = tmp_path / "died"
    boundary = 3
    versions = itertools.cycle({"deploy": ["v2", "v1"], "rollback": ["v1", "v2"], "abort": ["v1", "v3"]}[kind])
    before = "v2"
    if kind == "abort":
        steps = [*CANARY["canary"]["steps"], {"pause": {}}]  # everything that it changes is changed by then
        field.write(strategy={"canary": {"steps": steps}})
    for version in versions:
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{('before', 'after')[boundary % 2]} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            verb = "deploy" if kind == "abort" else kind
            options = {"force": True, "reason": "test"} if kind == "rollback" else {}
            rollout = await asyncio.to_thread(field.begin, verb, version, **options)
        if kind == "abort":
            with field.journal() as journal:
                await asyncio.to_thread(wait_for, lambda: died.exists() or stands(field, rollout), "it stands", 180)  # noqa: B023
                if journal.rollout(rollout).state not in ENDED:
                    Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
        await asyncio.to_thread(field.until, rollout, field.worker_has_left, 180)
        hit = died.exists()
        died.unlink(missing_ok=True)
        await asyncio.to_thread(go_on, field, rollout)
        ended = await asyncio.to_thread(field.ended, rollout, 180)
        promise(1).count("kills at a write behind a router", hit)
        wanted = {RolloutState.ROLLED_BACK, RolloutState.CANCELLED} if kind == "abort" else {RolloutState.SUCCEEDED}
        assert ended.state in wanted, (boundary, ended.outcome)
        await assert_right(field, before if kind == "abort" else version)
        if not hit:
            break
        boundary += 5 if full else 17  # odd: before one write, after the next
    assert boundary >= 20, "the worker left without having been killed at each of them"
