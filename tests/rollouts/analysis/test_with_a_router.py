"""Analyses by what a real HAProxy counts: a release with more errors or longer times fails beside the one before, and none by itself."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass

import msgspec
import pytest

from quarterdeck.backends.metrics.contract import Subject
from quarterdeck.backends.metrics.router import RouterSource
from quarterdeck.backends.routers.contract import Slot
from quarterdeck.config.analyses import Analysis, Compare, Metric, RouterFigure, RouterMetric
from quarterdeck.config.condition_parsing import condition
from quarterdeck.rollouts.analysis.course import Ended, begin, step, taken
from quarterdeck.rollouts.analysis.samples import Sample, from_stored, to_stored
from quarterdeck.rollouts.analysis.verdicts import Verdict
from tests.backends.metrics.subjects import subject
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import Instance, instances, load, more

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

OLD, NEW = (Subject(subject(version).release) for version in ("v1", "v2"))
INTERVAL = 10.0


@dataclass
class Canary:
    router: RunningHaproxy
    old: Instance
    new: Instance

    async def analysed(self, metric: Metric, *, requests: int = 200, reloaded_after: Collection[int] = ()) -> Ended:
        """To its end, with so many requests between two measurements; what is known of each goes through the journal's form.
        ``reloaded_after``: so many measurements."""
        assert isinstance(metric.source, RouterMetric)
        source = RouterSource(metric.source, self.router.connect())
        course = begin(Analysis("it", (metric,)), 0.0)
        marks: dict[str, Mapping[str, str]] = {}
        at = 0.0
        async with load(self.router.port, clients=8, again=True) as counted:
            while not isinstance(ended := step(course, at), Ended):
                sides = [NEW, OLD] if metric.compare is not None else [NEW]
                asked = [msgspec.structs.replace(one, marks=marks.get(one.release.id, {})) for one in sides]
                found = await source.measure(asked, deadline=60)
                marks |= {one.release.id: side.marks for one, side in zip(asked, found, strict=True)}
                sample = Sample(metric.name, at, found[0], found[1] if len(found) > 1 else None)
                course = taken(course, [from_stored(msgspec.json.decode(msgspec.json.encode(to_stored(sample))))])
                at += INTERVAL
                if at / INTERVAL in reloaded_after:
                    await self.router.reload()
                await more(counted, requests)
        return ended


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    router = RunningHaproxy()
    try:
        await router.start()
        async with instances("old", "new") as (old, new):
            edge = router.connect()
            await edge.enter(Slot.BLUE, OLD.release.id, [old.server])
            await edge.enter(Slot.GREEN, NEW.release.id, [new.server])
            await edge.set_share(5000)
            yield Canary(router, old, new)
    finally:
        await router.close()


def compared(figure: str, count: int) -> Metric:
    return Metric(
        figure,
        RouterMetric(RouterFigure(figure)),
        interval=INTERVAL,
        count=count,
        compare=Compare.BASELINE,
        consecutive_error_limit=0,
    )


def limited(figure: str, success: str) -> Metric:
    return Metric(figure, RouterMetric(RouterFigure(figure)), interval=INTERVAL, count=3, success=condition(success))


async def test_five_percent_of_errors_more_fail(canary: Canary) -> None:
    canary.old.failing_one_in, canary.new.failing_one_in = 100, 17
    ended = await canary.analysed(compared("error_rate", 30))
    assert ended.verdict is Verdict.FAILED, ended.why
    assert "requests bad on the canary" in ended.why


async def test_thirty_percent_slower_fails(canary: Canary) -> None:
    canary.old.takes, canary.new.takes = 0.03, 0.039
    ended = await canary.analysed(compared("p95", 10))
    assert ended.verdict is Verdict.FAILED, ended.why
    assert "on the canary" in ended.why


@pytest.mark.parametrize("figure", ["error_rate", "p95"])
async def test_the_same_release_as_its_own_canary_passes(canary: Canary, figure: str) -> None:
    for one in (canary.old, canary.new):
        one.takes, one.failing_one_in = 0.01, 50
    ended = await canary.analysed(compared(figure, 10))
    assert ended.verdict is Verdict.SUCCESSFUL, ended.why


@pytest.mark.parametrize(
    ("figure", "success", "verdict"),
    [
        ("error_rate", "value < 0.2", Verdict.SUCCESSFUL),
        ("error_rate", "value < 0.02", Verdict.FAILED),
        ("rate_5xx", "value < 0.02", Verdict.FAILED),
        ("requests", "value > 0", Verdict.SUCCESSFUL),
        ("p50", "value >= 0.02", Verdict.SUCCESSFUL),
        ("mean_response", "value < 0.02", Verdict.FAILED),
    ],
)
async def test_one_release_alone_is_held_to_a_limit(
    canary: Canary, figure: str, success: str, verdict: Verdict
) -> None:
    canary.new.failing_one_in, canary.new.takes = 10, 0.02
    ended = await canary.analysed(limited(figure, success))
    assert ended.verdict is verdict, ended.why


async def test_a_reload_in_the_middle_fails_nothing(canary: Canary) -> None:
    for one in (canary.old, canary.new):
        one.failing_one_in = 50
    ended = await canary.analysed(compared("error_rate", 12), requests=100, reloaded_after=(3, 6))
    assert ended.verdict is Verdict.SUCCESSFUL, ended.why
