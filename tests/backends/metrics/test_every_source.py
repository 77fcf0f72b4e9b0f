"""The contract that every source of metrics keeps: one measurement a release, in their order, side by side, within the deadline; and errors
that name the source and never a release."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from quarterdeck.backends.errors import SourceFailed, SourceTimedOut
from quarterdeck.backends.hosts.contract import HealthOutcome, NewLines, ServiceFigures
from quarterdeck.backends.metrics.command import CommandSource
from quarterdeck.backends.metrics.contract import Source
from quarterdeck.backends.metrics.host import HostSource
from quarterdeck.backends.metrics.logs import LogsSource
from quarterdeck.backends.metrics.probe import ProbeSource
from quarterdeck.backends.metrics.prometheus import PrometheusSource
from quarterdeck.backends.metrics.router import RouterSource
from quarterdeck.backends.routers.contract import RouterState, RouterStatistics, Slot, SlotState, SlotStatistics
from quarterdeck.backends.routers.haproxy.connection import HaproxyConnection
from quarterdeck.backends.routers.reach import LocalReach
from quarterdeck.config.analyses import (
    CommandMetric,
    HostFigure,
    HostMetric,
    LogsMetric,
    PrometheusMetric,
    RouterFigure,
    RouterMetric,
)
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release
from quarterdeck.config.routers import HaproxyRouter, Routed
from tests.backends.artifacts.http_server import Handler, endless, http_site, status
from tests.backends.metrics.subjects import NEW, OLD

NUMBERS = {"v1": 0.25, "v2": 0.5}


@dataclass
class Place:
    """A source that measures ``NUMBERS`` by version, and others that never answer or can't measure."""

    well: Source
    hanging: Source
    broken: Source
    asked: list[str] = field(default_factory=list)  # versions


MakePlace = Callable[[Path], Iterator[Place]]


def probes(_folder: Path) -> Iterator[Place]:
    asked: list[str] = []

    async def answers(host: str, health: Health, release: Release) -> HealthOutcome:
        asked.append(release.version)
        return HealthOutcome(True, "http 200", NUMBERS[release.version])

    async def hangs(host: str, health: Health, release: Release) -> HealthOutcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails(host: str, health: Health, release: Release) -> HealthOutcome:
        raise SourceFailed(host, "connect", "no route")

    well, hanging, broken = (ProbeSource(Health(), check) for check in (answers, hangs, fails))
    yield Place(well, hanging, broken, asked)


def commands(folder: Path) -> Iterator[Place]:
    answers = "echo {{version}} >>asked; case {{version}} in v1) echo 0.25 ;; *) echo 0.5 ;; esac"
    well, hanging, broken = (CommandSource(CommandMetric(run), folder) for run in (answers, "sleep 600", "exit 127"))
    yield Place(well, hanging, broken, Lines(folder / "asked"))


class Lines(list[str]):
    """The lines that are in a file by now."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __iter__(self) -> Iterator[str]:
        return iter(self._path.read_text().split() if self._path.exists() else [])


def queries(folder: Path) -> Iterator[Place]:
    asked: list[str] = []

    def answer(handler: Handler) -> None:
        [version] = parse_qs(handler.posted.decode())["query"]
        asked.append(version)
        result = [{"metric": {}, "value": [1.5, str(NUMBERS[version])]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        handler.send(200, {}, json.dumps(body).encode())

    with http_site() as site:
        site.answers |= {
            "/well/api/v1/query": answer,
            "/hanging/api/v1/query": endless(b"{"),
            "/broken/api/v1/query": status(503),
        }
        well, hanging, broken = (
            PrometheusSource(PrometheusMetric(f"{site.url}/{kind}", "{{version}}"), folder)
            for kind in ("well", "hanging", "broken")
        )
        yield Place(well, hanging, broken, asked)


def logs(_folder: Path) -> Iterator[Place]:
    asked: list[str] = []

    async def answers(host: str, release: Release, mark: str) -> NewLines:
        assert mark == "read to here"
        asked.append(release.version)
        errors = {"v1": 1, "v2": 2}[release.version]  # in four minutes
        return NewLines("further", ["listening", *["level=error msg=oops"] * errors])

    async def hangs(host: str, release: Release, mark: str) -> NewLines:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails(host: str, release: Release, mark: str) -> NewLines:
        raise SourceFailed(host, "read the log", "no route")

    well, hanging, broken = (LogsSource(LogsMetric(), read, lambda: 1240.0) for read in (answers, hangs, fails))
    yield Place(well, hanging, broken, asked)


def figures(_folder: Path) -> Iterator[Place]:
    asked: list[str] = []

    async def answers(host: str, release: Release) -> ServiceFigures:
        asked.append(release.version)
        return ServiceFigures(memory=int(100 * NUMBERS[release.version]), memory_limit=10_000)

    async def hangs(host: str, release: Release) -> ServiceFigures:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails(host: str, release: Release) -> ServiceFigures:
        return ServiceFigures(restarts=0)

    metric = HostMetric(HostFigure.MEMORY_PERCENT)
    well, hanging, broken = (HostSource(metric, read) for read in (answers, hangs, fails))
    yield Place(well, hanging, broken, asked)


class Told(HaproxyConnection):
    """A router that tells what it is given."""

    def __init__(self, tell: Callable[[], Awaitable[RouterStatistics]]) -> None:
        super().__init__(HaproxyRouter("edge"), Routed("edge", "api"), LocalReach("edge"))
        self._tell = tell

    async def read(self, *, deadline: float = 10.0) -> RouterState:
        releases = {Slot.GREEN: SlotState(NEW.release.id), Slot.BLUE: SlotState(OLD.release.id)}
        return RouterState(5000, (), releases)

    async def statistics(self, *, deadline: float = 10.0) -> RouterStatistics:
        return await self._tell()


def routers(_folder: Path) -> Iterator[Place]:
    asked: list[str] = []
    counted = {
        slot: SlotStatistics(100, 100 - bad, 0, 0, bad, 0, 0, 0, 0, 0, 0.0)
        for slot, bad in ((Slot.GREEN, 50), (Slot.BLUE, 25))
    }

    async def answers() -> RouterStatistics:
        asked.append("v2")  # one question is about both
        return RouterStatistics("1@1", counted)

    async def hangs() -> RouterStatistics:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails() -> RouterStatistics:
        raise SourceFailed("edge", "read the statistics", "no route")

    metric = RouterMetric(RouterFigure.ERROR_RATE)
    well, hanging, broken = (RouterSource(metric, Told(tell)) for tell in (answers, hangs, fails))
    yield Place(well, hanging, broken, asked)


SOURCES: dict[str, MakePlace] = {
    "probe": probes,
    "router": routers,
    "command": commands,
    "prometheus": queries,
    "logs": logs,
    "host": figures,
}


@pytest.fixture(params=list(SOURCES.values()), ids=list(SOURCES))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    make: MakePlace = request.param
    for made in make(tmp_path):
        yield made
        for source in (made.well, made.hanging, made.broken):
            await source.close()
            await source.close()


async def test_each_release_has_its_own_measurement_in_the_order_in_which_it_was_asked_for(place: Place) -> None:
    for subjects in ([NEW, OLD], [OLD, NEW], [OLD], [OLD, OLD]):
        found = await place.well.measure(subjects, deadline=30)
        assert [one.value for one in found] == [NUMBERS[subject.release.version] for subject in subjects]
        assert all(set(one.values) == {one.value} for one in found)
        assert all(one.seconds >= 0 for one in found)


async def test_of_nobody_there_is_nothing_to_measure(place: Place) -> None:
    assert await place.well.measure([], deadline=30) == ()
    assert list(place.asked) == []


async def test_one_measurement_is_one_question(place: Place) -> None:
    await place.well.measure([NEW], deadline=30)
    assert list(place.asked) == ["v2"]


async def test_who_does_not_answer_is_left_at_the_deadline(place: Place) -> None:
    with pytest.raises(SourceTimedOut, match=r"no answer within 0\.1 s") as found:
        await place.hanging.measure([NEW, OLD], deadline=0.1)
    assert found.value.host == place.hanging.name


async def test_an_error_names_the_source_and_says_nothing_of_the_release(place: Place) -> None:
    with pytest.raises(SourceFailed) as found:
        await place.broken.measure([NEW, OLD], deadline=30)
    assert found.value.host.startswith(place.broken.name)
    assert "Nothing is known of the release by this" in str(found.value)


async def test_who_is_cancelled_stops(place: Place) -> None:
    task = asyncio.create_task(place.hanging.measure([NEW], deadline=60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_source_measures_again_after_an_error_and_after_it_was_closed(place: Place) -> None:
    with pytest.raises(SourceTimedOut):
        await place.hanging.measure([NEW], deadline=0.05)
    for _ in range(2):
        [found] = await place.well.measure([NEW], deadline=30)
        assert found.value == NUMBERS["v2"]
        await place.well.close()
