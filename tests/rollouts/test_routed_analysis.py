"""What a canary's requests tell, as a real HAProxy counts and times them: a bad release is taken back by that alone, and one that is as
good as the one before goes out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import load
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(600)]

USUAL = 0.03  # seconds that a request takes
GOOD = ("v2", "v3", "v4")
STEPS = [{"set_weight": 50}, {"analysis": ["golden-signals"]}]


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet, count=2) as made:
        made.extra["analyses"] = {
            "golden-signals": [
                {"name": name, "metric": {"router": source}, "compare": "baseline", "interval": "500ms", "count": 24}
                for name, source in (("errors", "error_rate"), ("times", "p95"))
            ]
        }
        for version in ("v1", *GOOD):
            made.make_serving(version, fail=0, slow=USUAL)
        for version, fail, slow in (("failing", 5, 1.0), ("slower", 0, 2.0)):
            made.make_serving(version, fail=fail, slow=USUAL * slow)
        yield made


async def test_a_bad_release_is_taken_back_by_its_requests_alone(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy={"canary": {"steps": STEPS}})
    async with load(field.router.port, clients=12):
        for version, words in (("failing", "errors"), ("slower", "times")):
            rollout = await asyncio.to_thread(field.begin, "deploy", version)
            ended = await asyncio.to_thread(field.ended, rollout)
            assert ended.state is RolloutState.ROLLED_BACK, (version, ended.outcome)
            # A busy machine may let the canary wait for its processor, and then it is slower, too.
            assert words in ended.outcome or "times" in ended.outcome, ended.outcome
            assert field.running() == ["v1"] * 2
        for good in GOOD:
            rollout = await asyncio.to_thread(field.begin, "deploy", good)
            ended = await asyncio.to_thread(field.ended, rollout)
            if ended.state is RolloutState.SUCCEEDED:
                break
            assert "times" in ended.outcome, (good, ended.outcome)
        assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == [good] * 2
