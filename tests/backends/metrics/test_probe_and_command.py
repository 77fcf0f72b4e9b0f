"""A service that is asked, and a command that is run, as sources: what they measure, and what is an error of the source alone."""

import asyncio
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.errors import BackendError, SourceFailed, SourceTimedOut, Unreachable
from quarterdeck.backends.hosts.checking import ask_over, place
from quarterdeck.backends.hosts.contract import HealthOutcome, NewLines, ServiceFigures
from quarterdeck.backends.metrics.command import CommandSource, numbers
from quarterdeck.backends.metrics.contract import Measurement, Source
from quarterdeck.backends.metrics.opening import open_source
from quarterdeck.backends.metrics.probe import ProbeSource
from quarterdeck.config.analyses import CommandMetric, HostFigure, HostMetric, LogsMetric, ProbeMetric, PrometheusMetric
from quarterdeck.config.metric_templates import placeholders
from quarterdeck.config.model import Health, HttpCheck
from quarterdeck.config.release import Release
from quarterdeck.config.scalars import Unfit
from tests.backends.artifacts.http_server import body, http_site, status
from tests.backends.metrics.subjects import NEW, OLD, subject
from tests.sshd import wait_for


async def here(host: str, health: Health, release: Release) -> HealthOutcome:
    """As a host's connection asks, over streams of this machine."""
    if host == "lost":
        raise Unreachable(host, "connect", "no route", advice="Look whether it is up")
    check = health.http
    assert check is not None
    healthy, detail = await ask_over(
        lambda: asyncio.open_connection(check.host, check.port), check, release, check.host, place("", check)
    )
    return HealthOutcome(healthy, detail, 0.05 if host == "web-3" else 0.01)


def asking(url: str, path: str = "/healthz") -> ProbeSource:
    return ProbeSource(Health(HttpCheck(int(url.rpartition(":")[2]), path, contains="{version}")), here)


async def failure(source: Source, *subjects: Any, deadline: float = 10.0) -> BackendError:
    with pytest.raises(BackendError) as found:
        await source.measure(subjects or [NEW], deadline=deadline)
    return found.value


async def test_a_probe_asks_every_host_of_each_release() -> None:
    with http_site() as site:
        site.answers["/healthz"] = body(b"v1 is well")
        new, old = await asking(site.url).measure([NEW, OLD], deadline=60)
    port = site.url.rpartition(":")[2]
    assert (new.well, new.value, new.values, new.bad, new.times) == (False, None, (), 1, ())
    assert new.detail == f"web-1: :{port}/healthz does not say 'v2': 'v1 is well'"
    assert (old.well, old.value, old.bad) == (True, 0.05, 0)
    assert sorted(old.times or ()) == [0.01, 0.05]
    assert "web-2: http 200" in old.detail
    assert "web-3: http 200" in old.detail


async def test_one_host_of_several_that_is_unwell_makes_the_release_unwell() -> None:
    async def one_is_ill(host: str, health: Health, release: Release) -> HealthOutcome:
        return HealthOutcome(host != "web-3", "http 500" if host == "web-3" else "http 200", 0.02)

    [old] = await ProbeSource(Health(), one_is_ill).measure([OLD], deadline=60)
    assert (old.well, old.value, old.bad, old.detail) == (False, 0.02, 1, "web-3: http 500")


async def test_a_host_that_can_not_be_asked_says_nothing_of_the_release() -> None:
    with http_site() as site:
        site.answers["/healthz"] = status(200)
        error = await failure(asking(site.url), subject(hosts=("lost", "web-1")))
    assert isinstance(error, SourceFailed)
    assert (
        str(error) == "probe of lost: connect: no route. Nothing is known of the release by this. Look whether it is up"
    )
    assert "runs on no host" in str(await failure(asking(site.url), subject()))


async def test_a_probe_has_a_deadline() -> None:
    async def never(host: str, health: Health, release: Release) -> HealthOutcome:
        await asyncio.Event().wait()
        raise AssertionError

    assert isinstance(await failure(ProbeSource(Health(), never), deadline=0.05), SourceTimedOut)


def running(command: str, base: Path, **env: str) -> CommandSource:
    return CommandSource(CommandMetric(command, env), base)


async def measured(command: str, base: Path, **env: str) -> Measurement:
    [found] = await running(command, base, **env).measure([NEW], deadline=60)
    return found


@pytest.mark.parametrize(
    ("command", "value", "values", "well", "detail"),
    [
        ("echo 0.25", 0.25, (0.25,), True, "ended with 0"),
        ("echo about to measure; echo; echo ' 1e3 '; echo", 1000, (1000,), True, "ended with 0"),
        ("echo 1, 2 3", None, (1, 2, 3), True, "ended with 0"),
        ("echo 12ms", None, (), True, "ended with 0: 12ms"),
        ("true", None, (), True, "ended with 0"),
        ("echo 7; exit 1", None, (), False, "ended with 1: 7"),
        ("echo no answer from it; exit 3", None, (), False, "ended with 3: no answer from it"),
        ("echo not seen >&2", None, (), True, "ended with 0"),
        ("printf '\\033[31mred\\033[0m'; exit 1", None, (), False, "ended with 1: red"),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo; echo 5", 5, (5,), True, "ended with 0"),
    ],
)
async def test_a_command_says_a_number_or_whether_it_is_well(
    tmp_path: Path, command: str, value: float | None, values: tuple[float, ...], well: bool, detail: str
) -> None:
    found = await measured(command, tmp_path)
    assert (found.value, found.values, found.well, found.detail) == (value, values, well, detail)


@pytest.mark.parametrize(
    ("line", "found"),
    [("", ()), ("1_000", ()), ("-.5e-3", (-0.0005,)), ("1 two", ()), ("infinity", ()), ("-inf,1", (float("-inf"), 1))],
)
def test_what_a_number_is(line: str, found: tuple[float, ...]) -> None:
    assert numbers(line) == found


async def test_a_command_is_run_beside_the_fleet_file_and_is_told_of_whom(tmp_path: Path) -> None:
    (tmp_path / "smoke").write_text(
        'printf "%s|" "$@" "$QD_RELEASE" "$QD_VERSION" "$QD_SERVICE" "$QD_ADDRESS" "$EXTRA"; exit 1'
    )
    found = await measured("sh smoke {{address}} {{ environment }}/x", tmp_path, EXTRA="more")
    wanted = ["10.0.0.1:8080", "production/x", NEW.release.id, "v2", "api", "10.0.0.1:8080", "more"]
    assert found.detail == f"ended with 1: {'|'.join(wanted)}|"


async def test_a_version_is_one_word_of_a_command_whatever_is_in_it(tmp_path: Path) -> None:
    evil = subject("v1; touch $(echo here) 'it'")
    [found] = await running("printf '%s\\n' {{version}}; exit 1", tmp_path).measure([evil], deadline=60)
    assert found.detail == "ended with 1: v1; touch $(echo here) 'it'"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program-here", r"was not found \(exit status 127\)"),
        ("./smoke", r"may not be executed \(exit status 126\)"),
        ("kill -9 $$", "ended by signal 9"),
        ("echo {{nothing}}", "{{nothing}} can't be filled in"),
    ],
)
async def test_a_command_that_does_not_measure_says_nothing_of_the_release(
    tmp_path: Path, command: str, said: str
) -> None:
    (tmp_path / "smoke").write_text("true")
    error = await failure(running(command, tmp_path))
    assert isinstance(error, SourceFailed)
    assert re.search(said, str(error)), str(error)
    assert error.host == f"command {command!r}"


async def test_a_directory_that_is_gone_is_an_error_too(tmp_path: Path) -> None:
    assert "can't be started" in str(await failure(running("true", tmp_path / "gone")))


async def test_nothing_of_a_command_is_left_when_nobody_waits_for_it(tmp_path: Path) -> None:
    source = running("echo $$ >pid; sleep 600 & echo $! >child; wait", tmp_path)
    task = asyncio.create_task(source.measure([NEW], deadline=60))
    child = tmp_path / "child"
    await asyncio.to_thread(wait_for, lambda: child.exists() and child.read_text(), "it has begun", 30.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    for name in ("pid", "child"):
        pid = (tmp_path / name).read_text().strip()
        wait_for(partial(ended, pid), f"{name} {pid} has ended")


async def test_a_command_is_ended_at_its_deadline(tmp_path: Path) -> None:
    error = await failure(running("sleep 600", tmp_path), deadline=0.1)
    assert isinstance(error, SourceTimedOut)
    assert str(error).startswith("command 'sleep 600': measure: no answer within 0.1 s")


def ended(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_several_releases_are_measured_side_by_side(tmp_path: Path) -> None:
    """Each waits for the other one to be there: one after the other would never end."""
    command = "touch {{version}}; while ! [ -e v1 ] || ! [ -e v2 ]; do sleep 0.01; done; echo 1"
    found = await running(command, tmp_path).measure([NEW, OLD], deadline=60)
    assert [one.value for one in found] == [1, 1]


async def no_log(host: str, release: Release, mark: str) -> NewLines:
    raise AssertionError


async def no_figures(host: str, release: Release) -> ServiceFigures:
    raise AssertionError


def test_sources_are_opened_by_what_the_fleet_file_says(tmp_path: Path) -> None:
    def opened(metric: Any, health: Health | None = None) -> Source:
        return open_source(metric, base=tmp_path, health=health, check=here, read_log=no_log, read_figures=no_figures)

    assert opened(CommandMetric("true")).name == "command 'true'"
    assert opened(PrometheusMetric("https://me@prom:9090/x/?a=b", "1")).name == "prometheus https://prom:9090/x/"
    assert opened(HostMetric(HostFigure.RESTARTS)).name == "host restarts"
    assert opened(LogsMetric()).name == "logs"
    assert opened(ProbeMetric(), Health()).name == "probe"
    assert opened(ProbeMetric(Health())).name == "probe"
    with pytest.raises(SourceFailed, match="there is no check to make"):
        opened(ProbeMetric())


def test_placeholders_are_found_and_the_nearest_is_told() -> None:
    assert placeholders('rate(x{r="{{release}}", v="{{ version }}"}[1m]) / {{release}}') == ("release", "version")
    with pytest.raises(Unfit) as found:
        placeholders("{{relase}}")
    assert found.value.nearest == "{{release}}"
