"""A real Prometheus as a source: numbers, several numbers, none at all; and every way in which a server can fail to give any."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from quarterdeck.backends.errors import BackendError, NotPermitted, SecretUnavailable, SourceFailed, SourceTimedOut
from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.backends.metrics.prometheus import PrometheusSource
from quarterdeck.config.analyses import Analysis, Metric, PrometheusMetric
from quarterdeck.config.condition_parsing import condition
from quarterdeck.config.model import SecretReference
from quarterdeck.rollouts.analysis.course import Ended, Wait, begin, step, taken
from quarterdeck.rollouts.analysis.samples import Sample
from quarterdeck.rollouts.analysis.verdicts import Verdict
from tests.backends.artifacts.http_server import (
    Answer,
    Handler,
    Site,
    body,
    closed_port,
    endless,
    http_site,
    status,
    truncated,
)
from tests.backends.metrics.real_prometheus import USER, RealPrometheus, prometheus_program, running_prometheus
from tests.backends.metrics.subjects import NEW, OLD, subject
from tests.backends.registry.real_registry import PASSWORD
from tests.requirements_here import need

Open = Callable[..., PrometheusSource]
EXPORTED = f"""
latency{{release="{NEW.release.id}",host="a"}} 0.25
latency{{release="{NEW.release.id}",host="b"}} 0.5
latency{{release="{OLD.release.id}",host="c"}} 0.125
requests{{version="v2"}} 0
requests{{version="v1"}} 0
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    need(prometheus_program() is not None, "Prometheus (package prometheus)")
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as made:
        made.say(EXPORTED, "latency", ["0.125", "0.25", "0.5"])
        yield made


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[PrometheusSource] = []

    def open_one(url: str, query: str = "1", **words: Any) -> PrometheusSource:
        opened.append(PrometheusSource(PrometheusMetric(url, query, **words), tmp_path))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


async def measured(one: PrometheusSource) -> Measurement:
    [found] = await one.measure([NEW], deadline=60)
    return found


async def failure(measuring: Awaitable[object]) -> BackendError:
    with pytest.raises(BackendError) as found:
        await measuring
    return found.value


async def test_each_release_is_measured_by_its_own_query(prometheus: RealPrometheus, source: Open) -> None:
    one = source(prometheus.url, 'max(latency{release="{{release}}"}) * 1000')
    new, old = await one.measure([NEW, OLD], deadline=60)
    assert (new.value, old.value) == (500, 125)
    assert (new.values, new.well, new.counters, new.times, new.detail) == ((500,), None, None, None, "")
    assert one.name == f"prometheus {prometheus.url}"


async def test_a_scalar_is_a_number_too(prometheus: RealPrometheus, source: Open) -> None:
    assert (await measured(source(f"{prometheus.url}/", "scalar(count(latency))"))).value == 3


async def test_several_series_are_several_numbers(prometheus: RealPrometheus, source: Open) -> None:
    found = await measured(source(prometheus.url, 'latency{release="{{release}}"}'))
    assert found.value is None
    assert sorted(found.values) == [0.25, 0.5]
    assert found.detail == "2 series"


async def test_no_series_is_no_number_and_no_error(prometheus: RealPrometheus, source: Open) -> None:
    found = await measured(source(prometheus.url, "there_is_no_such_thing"))
    assert (found.value, found.values, found.detail) == (None, (), "no series")


async def test_a_rate_of_no_requests_is_nan(prometheus: RealPrometheus, source: Open) -> None:
    found = await measured(source(prometheus.url, 'sum(requests{version="{{version}}"}) / sum(requests)'))
    assert found.value is not None
    assert math.isnan(found.value)
    found = await measured(source(prometheus.url, "vector(1) / 0"))
    assert found.value == math.inf


async def test_a_number_that_changes_is_seen(prometheus: RealPrometheus, source: Open) -> None:
    one = source(prometheus.url, "changing")
    for number in ("1", "2"):
        prometheus.say(f"{EXPORTED}changing {number}\n", "changing", [number])
        assert (await measured(one)).value == float(number)


@pytest.mark.parametrize(
    ("query", "said", "advice"),
    [
        ("sum(", 'HTTP 400, invalid parameter "query": 1:5: parse error: unclosed left', "Check the metric's query"),
        ("latency[1m]", "the query gives a matrix, no numbers of one moment", "Check the metric's query"),
        ('"text"', "the query gives a string, no numbers of one moment", "Check the metric's query"),
        ("latency * on(nothing) latency", "HTTP 422, found duplicate series", ""),
    ],
)
async def test_a_query_without_sense_is_told_in_the_servers_words(
    prometheus: RealPrometheus, source: Open, query: str, said: str, advice: str
) -> None:
    error = await failure(measured(source(prometheus.url, query)))
    assert isinstance(error, SourceFailed)
    assert str(error).startswith(f"prometheus {prometheus.url}: measure: {said}")
    assert error.advice == advice
    assert "Nothing is known of the release by this" in str(error)


async def test_a_password_is_found_by_its_reference(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, source: Open
) -> None:
    need(prometheus_program() is not None, "Prometheus (package prometheus)")
    secret = tmp_path / "password"
    reference = SecretReference("file", "password")
    with running_prometheus(tmp_path_factory.mktemp("locked"), password=True) as locked:
        one = source(locked.url, "vector(7)", username=USER, password=reference)
        assert isinstance(await failure(measured(one)), SecretUnavailable)
        secret.write_text("wrong")
        error = await failure(measured(one))
        assert isinstance(error, NotPermitted)
        assert "Check the metric's token or password" in str(error)
        secret.write_text(PASSWORD)  # it was renewed: the one that is known is not asked for again until it is refused
        assert (await measured(one)).value == 7
        secret.unlink()
        assert (await measured(one)).value == 7
        error = await failure(measured(source(locked.url)))
        assert isinstance(error, NotPermitted)
        assert "Give the metric a token or a password" in str(error)
        for text in (repr(one), str(error), locked.log.read_text()):
            assert PASSWORD not in text


@pytest.fixture
def site() -> Iterator[Site]:
    with http_site() as made:
        yield made


def answering(site: Site, answer: Answer) -> None:
    site.answers["/api/v1/query"] = answer


def found(result: str, kind: str = "vector", more: str = "") -> bytes:
    return f'{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}{more}}}'.encode()


async def test_a_token_goes_to_the_server_and_the_query_and_the_deadline_with_it(
    site: Site, source: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[dict[str, list[str]]] = []

    def answer(handler: Handler) -> None:
        posted.append(parse_qs(handler.posted.decode()))
        handler.send(
            200, {}, found('[{"metric":{},"value":[1.5,"3"]}]', more=',"warnings":["a\\u001b[31m store is away"]')
        )

    answering(site, answer)
    monkeypatch.setenv("QD_TEST_TOKEN", "hunter2-token")
    one = source(site.url, 'up{v="{{ version }}"}', token=SecretReference("env", "QD_TEST_TOKEN"))
    [found_now] = await one.measure([NEW], deadline=30.5)
    assert found_now.value == 3
    assert found_now.detail == "the server warns: a store is away"
    assert site.requests[0][1]["authorization"] == "Bearer hunter2-token"
    assert posted == [{"query": ['up{v="v2"}'], "timeout": ["30500ms"]}], "no time of this machine's clock"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (body(b"<html>a portal</html>"), r"none of Prometheus \(HTTP 200\)"),
        (body(b""), "none of Prometheus"),
        (body(b"[" * 100_000), "none of Prometheus"),
        (body(b'{"status":"success"}'), "HTTP 200, no reason given"),
        (status(302, Location="http://127.0.0.1:1/"), r"none of Prometheus \(HTTP 302, which leads elsewhere\)"),
        (status(502), r"none of Prometheus \(HTTP 502\)"),
        (status(403), "the server refused"),
        (body(found('[{"metric":{},"histogram":[1,{}]}]')), "gives histograms"),
        (body(found('[{"metric":{},"value":[1,"many"]}]')), "its numbers can't be read"),
        (body(found('{"a":1}')), "its numbers can't be read"),
        (body(found("null", "streams")), "gives a streams"),
        (body(found("[" + '{"metric":{},"value":[1,"1"]},' * 200_000 + "1]")), "more than 4194304 bytes"),
        (truncated(b"x" * 100, 50), "broke before the end"),
        (body(b"this is no gzip", Content_Encoding="gzip"), "can't be unpacked"),
        (
            body(b'{"status":"error","errorType":"timeout","error":"query timed out\\u001b]0;x\\u0007"}'),
            "query timed out",
        ),
    ],
)
async def test_an_answer_without_sense_is_an_error_that_names_the_source(
    site: Site, source: Open, answer: Answer, said: str
) -> None:
    answering(site, answer)
    error = await failure(measured(source(site.url)))
    assert error.host == f"prometheus {site.url}"
    assert re.search(said, str(error)), str(error)
    assert "\x1b" not in str(error)


async def test_a_server_that_says_nothing_is_left_at_the_deadline(site: Site, source: Open) -> None:
    answering(site, endless(b'{"status":'))
    error = await failure(source(site.url).measure([NEW, OLD], deadline=0.2))
    assert isinstance(error, SourceTimedOut)
    assert "no answer within 0.2 s" in str(error)


async def test_a_server_that_is_not_there_is_no_measurement(source: Open) -> None:
    error = await failure(measured(source(f"http://127.0.0.1:{closed_port()}/prometheus/")))
    assert isinstance(error, SourceFailed)
    assert re.search(r"prometheus http://127\.0\.0\.1:[0-9]+/prometheus: measure: no connection", str(error))


@pytest.mark.parametrize(
    ("url", "query", "words", "said"),
    [
        ("ftp://prom", "1", {}, "not one of http"),
        ("prom:9090", "1", {}, "not one of http"),
        ("http://", "1", {}, "not one of http"),
        ("http://me:hunter2@127.0.0.1", "1", {}, "without a login"),
        ("http://127.0.0.1", "x{a='{{relase}}'}", {}, r"{{relase}} can't be filled in, only release, version"),
        ("http://127.0.0.1", "x{a='{{address}}'}", {}, "has no address of its own"),
        ("http://prom.acme.io", "1", {"token": SecretReference("env", "QD_TEST_TOKEN")}, "without encryption"),
        ("http://127.0.0.1", "1", {"token": SecretReference("command", "printf 'a\\nb'")}, "no header can hold"),
    ],
)
async def test_what_can_not_be_asked_is_not_asked(
    source: Open, url: str, query: str, words: dict[str, Any], said: str
) -> None:
    error = await failure(source(url, query, **words).measure([OLD], deadline=30))
    assert re.search(said, str(error)), str(error)
    assert "hunter2" not in str(error)


async def test_a_version_does_not_change_what_a_query_means(source: Open) -> None:
    one = source("http://127.0.0.1", 'up{version="{{version}}"}')
    error = await failure(one.measure([subject('v1"} or vector(0) #')], deadline=30))
    assert "can't be put into a query" in str(error)


async def test_many_at_once_share_one_way_to_the_server(prometheus: RealPrometheus, source: Open) -> None:
    one = source(prometheus.url, "vector(1)")
    several = await asyncio.gather(*(one.measure([NEW, OLD], deadline=60) for _ in range(5)))
    assert [single.value for pair in several for single in pair] == [1] * 10
    await one.close()
    await one.close()


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ("0.001", Verdict.SUCCESSFUL),
        ("0.05", Verdict.FAILED),
        ("NaN", Verdict.INCONCLUSIVE),
        ("0.001", Verdict.ERROR),
    ],
)
async def test_a_whole_analysis_is_judged_by_what_it_says(
    prometheus: RealPrometheus, source: Open, ratio: str, verdict: Verdict
) -> None:
    """Measured when the state machine says so, until it has its verdict; the last one by a query without sense."""
    prometheus.say(f'{EXPORTED}error_ratio{{version="v2"}} {ratio}\n', "error_ratio", [ratio])
    broken = verdict is Verdict.ERROR
    one = source(prometheus.url, "sum(" if broken else 'error_ratio{version="{{version}}"}')
    metric = Metric(
        "errors", PrometheusMetric(prometheus.url, ""), interval=0.02, count=4, success=condition("value < 0.01")
    )
    clock = asyncio.get_running_loop().time
    course = begin(Analysis("golden-signals", (metric,)), clock())
    while not isinstance(found := step(course, clock()), Ended):
        if isinstance(found, Wait):
            await asyncio.sleep(found.until - clock())
            continue
        at = clock()
        try:
            [measurement] = await one.measure([NEW], deadline=60)
            sample = Sample(metric.name, at, measurement)
        except SourceFailed as error:
            sample = Sample(metric.name, at, error=str(error))
        course = taken(course, [sample])
    assert found.verdict is verdict, found.why
    state = course.metrics["errors"]
    assert (state.measured, state.errors) == ((0, 5) if broken else (4 if verdict is Verdict.SUCCESSFUL else 1, 0))
