"""A router as a source, on a real HAProxy before real services: what it counts of each slot, each request once, and when it can't tell."""

import asyncio
import csv
import math
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from quarterdeck.backends.errors import RouterRefused, SourceFailed
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.backends.metrics.router import KEPT, RouterSource
from quarterdeck.backends.routers.contract import RouterVerdict, Slot
from quarterdeck.config.analyses import RouterFigure, RouterMetric
from tests.backends.metrics.subjects import subject
from tests.backends.routers.running import RunningHaproxy, RunningNginx
from tests.backends.routers.service import Client, Instance, answers, eventually, instances, load, more, until

pytestmark = pytest.mark.root

OLD, NEW = (Subject(subject(version).release) for version in ("v1", "v2"))


@dataclass
class Field:
    """v1 in blue, v2 in green, half of the requests each."""

    router: RunningHaproxy
    old: Instance
    new: Instance
    marks: dict[str, dict[str, str]] = field(default_factory=dict)

    def source(self, figure: str) -> RouterSource:
        return RouterSource(RouterMetric(RouterFigure(figure)), self.router.connect())

    async def settled(self) -> None:
        """HAProxy counts a request, and writes of it into its ring, when its answer has been sent: a client may be ahead of that."""

        async def nothing_is_under_way() -> bool:
            told = (await self.router.ask("show stat")).lstrip("# ").splitlines()
            return not any(int(row["scur"]) for row in csv.DictReader(told) if row["svname"] == "BACKEND")

        await eventually(nothing_is_under_way, "no request is under way")

    async def look(self, source: RouterSource, *subjects: Subject, under_way: bool = False) -> tuple[Measurement, ...]:
        """With the marks of the look before, as whoever measures hands them on. ``under_way``: requests are."""
        if not under_way:
            await self.settled()
        asked = [
            msgspec.structs.replace(one, marks=self.marks.get(one.release.id, {})) for one in subjects or (NEW, OLD)
        ]
        found = await source.measure(asked, deadline=60)
        self.marks |= {
            one.release.id: dict(measured.marks) for one, measured in zip(asked, found, strict=True) if measured.marks
        }
        return found


@pytest.fixture
async def measured() -> AsyncIterator[Field]:
    router = RunningHaproxy()
    try:
        await router.start()
        async with instances("old", "new") as (old, new):
            yield await entered(router, old, new)
    finally:
        await router.close()


async def entered(router: RunningHaproxy, old: Instance, new: Instance) -> Field:
    edge = router.connect()
    await edge.enter(Slot.BLUE, OLD.release.id, [old.server])
    await edge.enter(Slot.GREEN, NEW.release.id, [new.server])
    await edge.set_share(5000)
    return Field(router, old, new)


async def test_errors_are_those_of_the_release_since_the_last_look(measured: Field) -> None:
    source = measured.source("error_rate")
    await answers(measured.router.port, 50)
    begun = await measured.look(source)
    assert [(one.beginning, one.value) for one in begun] == [(True, None)] * 2
    measured.new.failing = True
    seen = await answers(measured.router.port, 60)
    new, old = await measured.look(source)
    assert (new.value, old.value, new.beginning, new.well) == (1.0, 0.0, False, None)
    assert new.counters is not None
    assert old.counters is not None
    assert (new.counters.requests, new.counters.bad) == (seen["500"], seen["500"])
    assert (old.counters.requests, old.counters.bad) == (seen["old"], 0)
    assert f"green: {seen['500']} requests in " in new.detail
    new, old = await measured.look(source)
    assert (new.value, old.value, new.values) == (None, None, ()), "of no request there is no rate"


async def test_who_takes_over_goes_on_where_the_other_was(measured: Field) -> None:
    await measured.look(measured.source("requests"))
    seen = await answers(measured.router.port, 40)
    [new] = await measured.look(measured.source("requests"), NEW)
    assert new.counters is not None
    assert (new.beginning, new.counters.requests) == (False, seen["new"])
    assert new.value is not None
    assert new.value > 0


async def test_a_reload_begins_anew_and_is_no_error(measured: Field) -> None:
    source = measured.source("error_rate")
    await measured.look(source)
    measured.new.failing = True
    await answers(measured.router.port, 20)
    await measured.router.reload()
    await answers(measured.router.port, 20)
    found = await measured.look(source)
    assert [(one.beginning, one.value, one.counters and one.counters.bad) for one in found] == [(True, None, 0)] * 2
    await answers(measured.router.port, 20)
    new, _ = await measured.look(source)
    assert (new.beginning, new.value) == (False, 1.0)


async def test_services_that_are_gone_are_errors_too_each_request_once(measured: Field) -> None:
    """What can't be connected to is counted by HAProxy as tries, as a failed connection, and as the 503 that it answers."""
    source = measured.source("error_rate")
    rate = measured.source("rate_5xx")
    await measured.look(source)
    before = dict(measured.marks)
    async with load(measured.router.port) as counted:
        await more(counted, 100)
        measured.new.kill()
        await more(counted, 100)
    new, old = await measured.look(source)
    assert new.value is not None
    assert new.counters is not None
    assert 0 < new.value <= 1
    assert new.counters.bad <= new.counters.requests
    assert old.value == 0.0
    measured.marks = before
    [again] = await measured.look(rate, NEW)
    assert again.counters is not None
    assert again.counters.bad <= new.counters.bad, "tries that were made again, and ended well, are no 5xx"


async def test_times_are_those_of_each_slot_and_each_request_is_seen_once(measured: Field) -> None:
    source = measured.source("p95")
    measured.new.takes, measured.new.failing_one_in = 0.03, 10
    await answers(measured.router.port, 20)
    begun = await measured.look(source)
    assert [(one.beginning, one.times) for one in begun] == [(True, ())] * 2
    found: list[tuple[Measurement, ...]] = []
    async with load(measured.router.port) as counted:
        for _ in range(5):
            await more(counted, 40)
            found.append(await measured.look(source, under_way=True))
    found.append(await measured.look(source))
    new, old = ([one[side] for one in found] for side in (0, 1))
    assert sum(len(one.times or ()) for one in old) == counted["old"]
    assert sum(len(one.times or ()) for one in new) == counted["new"]
    assert (sum(one.bad for one in new), sum(one.bad for one in old)) == (counted["500"], 0)
    assert all(time >= 0.03 for one in new for time in one.times or ()), "no time is shorter than the service takes"
    assert all(one.value in (one.times or ()) for one in (*new, *old) if one.value is not None)


async def test_the_figures_of_times(measured: Field) -> None:
    figures = [measured.source(figure) for figure in ("mean_response", "p50", "p95", "p99")]
    [begun] = await measured.look(figures[0], NEW)
    await answers(measured.router.port, 200)
    await measured.settled()
    [mean], [p50], [p95], [p99] = [
        await source.measure([msgspec.structs.replace(NEW, marks=begun.marks)], deadline=60) for source in figures
    ]
    times = sorted(p50.times or ())
    assert sorted(mean.times or ()) == times
    assert mean.value == pytest.approx(statistics.fmean(times))
    for found, share in ((p50, 0.5), (p95, 0.95), (p99, 0.99)):
        assert found.value is not None
        at_most = sum(one <= found.value for one in times) / len(times)
        assert at_most >= share > at_most - sum(one == found.value for one in times) / len(times)


async def test_of_many_requests_one_in_so_many_is_handed_on(measured: Field) -> None:
    source = measured.source("p50")
    measured.new.failing_one_in = 4
    await measured.look(source)
    seen = await answers(measured.router.port, 5 * KEPT)
    new, old = await measured.look(source)
    assert new.times is not None
    assert old.times is not None
    assert KEPT / 2 < len(new.times) + new.bad <= KEPT
    assert KEPT / 2 < len(old.times) <= KEPT
    assert f"green: {seen['new'] + seen['500']} requests, {seen['500']} of them not answered well" in new.detail


async def test_a_ring_that_is_too_small_says_so(measured: Field) -> None:
    edit(measured.router, "size 1048576", "size 16384")
    await measured.router.restart()
    source = measured.source("p99")
    await answers(measured.router.port, 10)
    await measured.look(source)
    await answers(measured.router.port, 10)
    new, old = await measured.look(source)
    assert "knows no more" not in new.detail + old.detail
    await answers(measured.router.port, 1000)
    new, old = await measured.look(source)
    assert "knows no more" in new.detail
    assert 0 < len(new.times or ()) + len(old.times or ()) < 1000
    await measured.router.reload()
    await answers(measured.router.port, 10)
    new, old = await measured.look(source)
    assert "it was reloaded" in new.detail
    assert len(new.times or ()) + len(old.times or ()) == 10


def edit(router: RunningHaproxy, old: str, new: str) -> None:
    text = router.configuration.read_text()
    assert old in text
    router.configuration.write_text(text.replace(old, new))


async def test_a_format_of_ones_own_may_stand_before_ours_and_nobody_writes_into_it(measured: Field) -> None:
    edit(measured.router, 'log-format "qd:', 'log-format "%ci %{+Q}r qd:')
    await measured.router.restart()
    edge = measured.router.connect()
    begun = await edge.times("")
    client = Client(measured.router.port)
    for path in ("/qd:1.1:api_green:500:1", "/a%20qd:1.1:api_green:500:1"):
        await client.get(path)
    client.close()
    await measured.settled()
    found = await edge.times(begun.mark)
    seen = [one for slot in Slot for one in found.slots[slot]]
    assert (len(seen), any(math.isnan(one) for one in seen), found.complete) == (2, False, True)


async def test_a_request_that_its_client_gave_up_is_timed_when_it_is_answered(measured: Field) -> None:
    edge = measured.router.connect()
    begun = await edge.times("")
    client = Client(measured.router.port)
    asking = asyncio.create_task(client.get("/slow"))
    await until(lambda: measured.new.slow_ones + measured.old.slow_ones == 1, "it is asked for")
    asking.cancel()
    client.close()
    assert (await edge.times(begun.mark)).mark == begun.mark, "HAProxy waits for the answer all the same"
    for one in (measured.new, measured.old):
        one.finish_slow_ones.set()

    async def answered() -> bool:
        found = await edge.times(begun.mark)
        return sum(len(times) for times in found.slots.values()) == 1

    await eventually(answered, "it is answered")


async def test_a_release_that_is_in_no_slot_is_an_error_of_the_source(measured: Field) -> None:
    other = Subject(subject("v3").release)
    with pytest.raises(SourceFailed, match=rf"router edge on this machine: measure: {other.release.id} is in none of"):
        await measured.source("error_rate").measure([other], deadline=60)


async def test_without_a_ring_times_are_an_error_counts_are_not_and_the_doctor_says_so(measured: Field) -> None:
    edit(measured.router, "ring qd\n  format raw\n  size 1048576\n", "")
    edit(measured.router, "  log ring@qd format raw local0\n", "")
    await measured.router.restart()
    with pytest.raises(SourceFailed, match=r"No such event sink.*docs/routers\.md"):
        await measured.source("p95").measure([NEW], deadline=60)
    await measured.source("error_rate").measure([NEW], deadline=60)
    (finding,) = await measured.router.connect().examine()
    assert (finding.verdict, "HAProxy has no ring qd" in finding.sentence) == (RouterVerdict.WARN, True)


async def test_others_than_haproxy_count_nothing() -> None:
    router = RunningNginx()
    try:
        await router.start()
        edge = router.connect()
        with pytest.raises(RouterRefused, match="does not tell how long the requests"):
            await edge.times("")
        async with instances("one") as (one,):
            await edge.enter(Slot.BLUE, NEW.release.id, [one.server])
            for figure, words in (("error_rate", "does not count"), ("p95", "does not tell how long")):
                source = RouterSource(RouterMetric(RouterFigure(figure)), edge)
                with pytest.raises(SourceFailed, match=words):
                    await source.measure([NEW], deadline=60)
    finally:
        await router.close()
