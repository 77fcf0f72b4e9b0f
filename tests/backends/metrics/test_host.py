"""What hosts tell of a service as a source: the worst host counts, the processor since the last measurement."""

import pytest

from quarterdeck.backends.errors import SourceFailed
from quarterdeck.backends.hosts.contract import ServiceFigures
from quarterdeck.backends.metrics.contract import Subject
from quarterdeck.backends.metrics.host import HostSource
from quarterdeck.config.analyses import HostFigure, HostMetric
from quarterdeck.config.release import Release
from tests.backends.metrics.subjects import subject

TOLD = {
    "web-1": ServiceFigures(restarts=0, oom_kills=1, memory=50, memory_limit=100, cpu_seconds=10.0),
    "web-2": ServiceFigures(restarts=2, oom_kills=0, memory=20, memory_limit=100, cpu_seconds=20.0),
    "web-3": ServiceFigures(),
}


async def read(host: str, release: Release) -> ServiceFigures:
    return TOLD[host]


@pytest.mark.parametrize(
    ("figure", "value", "values"),
    [("restarts", 2, (0, 2)), ("oom_kills", 1, (1, 0)), ("memory_percent", 50, (50, 20))],
)
async def test_the_value_is_the_worst_hosts(figure: str, value: float, values: tuple[float, ...]) -> None:
    source = HostSource(HostMetric(HostFigure(figure)), read)
    [found] = await source.measure([subject("v2", hosts=("web-1", "web-2"))], deadline=30)
    assert (found.value, found.values, found.well, found.beginning) == (value, values, None, False)


@pytest.mark.parametrize("figure", list(HostFigure))
async def test_what_a_host_does_not_tell_is_an_error_in_words(figure: HostFigure) -> None:
    source = HostSource(HostMetric(figure), read)
    with pytest.raises(SourceFailed, match=r"the host does not tell (how|what) .*Look whether the service runs there"):
        await source.measure([Subject(subject("v2").release, ("web-1", "web-3"))], deadline=30)


async def test_the_processor_is_that_of_the_time_since_the_last_measurement() -> None:
    used, now = {"web-1": 10.0, "web-2": 20.0}, [100.0]

    async def running(host: str, release: Release) -> ServiceFigures:
        return ServiceFigures(cpu_seconds=used[host])

    source = HostSource(HostMetric(HostFigure.CPU_PERCENT), running, lambda: now[0])
    asked = Subject(subject("v2").release, ("web-1", "web-2"))
    [begun] = await source.measure([asked], deadline=30)
    assert (begun.beginning, begun.value) == (True, None)
    used |= {"web-1": 15.0, "web-2": 1.0}  # the second one was started anew
    now[0] = 110.0
    [found] = await source.measure([Subject(asked.release, asked.hosts, marks=begun.marks)], deadline=30)
    assert (found.beginning, found.value, found.values) == (False, 50.0, (50.0, 10.0))
