"""What the fleet file says of an analysis, as frozen values: its metrics, where each is measured, what is well. Durations: seconds."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from quarterdeck.config.conditions import Condition
from quarterdeck.config.model import Health, SecretReference

PLACEHOLDERS = ("release", "version", "target", "environment", "service", "address")
"""What ``{{…}}`` may name in a query or a command. ``address`` is where the measured release is reached: host[:port]."""


class ProbeMetric(msgspec.Struct, frozen=True, tag="probe"):
    """The service itself is asked, as its health gate asks it, on each host of the measured release. The value is the time of the
    slowest answer. ``health``: None: that of the service."""

    health: Health | None = None


class PrometheusMetric(msgspec.Struct, frozen=True, tag="prometheus"):
    """An instant query. ``url`` is the server's, without /api/v1. At most one of ``token`` (Bearer) and ``password`` is set, which
    goes with ``username``."""

    url: str
    query: str  # PromQL; {{release}} and the other placeholders are filled in
    token: SecretReference | None = None
    username: str = ""
    password: SecretReference | None = None


class CommandMetric(msgspec.Struct, frozen=True, tag="command"):
    """A shell command here, in the fleet file's directory. Exit status 0: well; the last line of its output is the value, where it is a
    number or a list of them."""

    run: str  # {{address}} and the other placeholders are filled in, each as one word
    env: Mapping[str, str] = msgspec.field(default_factory=dict)


class LogsMetric(msgspec.Struct, frozen=True, tag="logs"):
    """Lines of the service's logs, on each host of the measured release, since the last measurement. The value is how many match, a minute,
    on the worst host. ``match``: a regular expression that is looked for in a line; empty: lines of errors, as services mostly write
    them."""

    match: str = ""


class HostFigure(StrEnum):
    RESTARTS = "restarts"  # by systemd or the engine, since the service was started by somebody
    OOM_KILLS = "oom_kills"  # of its processes, for want of memory
    MEMORY_PERCENT = "memory_percent"  # of its limit, else of the machine's memory
    CPU_PERCENT = "cpu_percent"  # of one core, since the last measurement


class HostMetric(msgspec.Struct, frozen=True, tag="host"):
    """What each host tells of the service: of its unit, or of its container. The value is the worst host's."""

    figure: HostFigure


class RouterFigure(StrEnum):
    """All of the requests that the release answered since the last measurement."""

    ERROR_RATE = "error_rate"  # 0..1: those that ended with 5xx or failed, and tries that were made again
    RATE_5XX = "rate_5xx"  # 0..1: those that ended with 5xx, whoever made it
    REQUESTS = "requests"  # a minute
    MEAN_RESPONSE = (
        "mean_response"  # seconds, until the answer began, of those that were answered well; so are the others
    )
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"

    @property
    def timed(self) -> bool:
        return self in (RouterFigure.MEAN_RESPONSE, RouterFigure.P50, RouterFigure.P95, RouterFigure.P99)


class RouterMetric(msgspec.Struct, frozen=True, tag="router"):
    """What the service's router counted of the slot in which the release lives. Only HAProxy tells its slots apart."""

    figure: RouterFigure


MetricSource = ProbeMetric | PrometheusMetric | CommandMetric | LogsMetric | HostMetric | RouterMetric


class Compare(StrEnum):
    BASELINE = "baseline"  # with the stable release, measured at the same time


class Metric(msgspec.Struct, frozen=True):
    """One thing that is measured, again and again, and how each measurement is judged.

    By ``success`` and ``failure`` (at least one), by ``compare``, or by neither: then the source's own word counts, that of a probe or a
    command. ``count`` is how many measurements are made; None: as many as there is time for (in a ``bake``).
    """

    name: str
    source: MetricSource
    interval: float = 10.0  # from the beginning of one measurement to that of the next
    count: int | None = 1
    initial_delay: float = 0.0
    timeout: float = 10.0  # of one measurement
    success: Condition | None = None
    failure: Condition | None = None
    compare: Compare | None = None
    failure_limit: int = 0  # so many failed measurements are borne
    inconclusive_limit: int = 0  # likewise
    consecutive_error_limit: int = 4  # so many errors of the source in a row are borne
    dry_run: bool = False  # measured and told, and never decides


def contradictions(metric: Metric) -> tuple[str, ...]:
    """What can't be meant, a sentence each, for whoever reads a metric from a file. Empty: it can be used."""
    found = []
    conditions = metric.success is not None or metric.failure is not None
    if metric.compare is not None and conditions:
        found.append("`compare` takes no `success` and no `failure`: the limit is the stable release")
    if metric.compare is not None and metric.count == 1:
        found.append("one measurement is nothing to compare: `count` must be higher")
    match metric.source:
        case PrometheusMetric(token=token, password=password, username=username):
            if metric.compare is None and not conditions:
                found.append("`success`, `failure` or `compare` must say what is well: a query does not")
            if token is not None and password is not None:
                found.append("only one of `token` and `password` can be the login")
            if bool(username) != (password is not None):
                found.append("`username` and `password` belong together")
        case LogsMetric() if metric.compare is None and not conditions:
            found.append("`success`, `failure` or `compare` must say what is well: how many lines are, logs do not say")
        case HostMetric() if metric.compare is None and not conditions:
            found.append("`success`, `failure` or `compare` must say what is well: a figure does not")
        case RouterMetric(figure=RouterFigure.REQUESTS) if metric.compare is not None:
            found.append("`requests` are what the router was told to give each release: there is nothing to compare")
        case RouterMetric() if metric.compare is None and not conditions:
            found.append("`success`, `failure` or `compare` must say what is well: a figure does not")
    return tuple(found)


class Analysis(msgspec.Struct, frozen=True):
    name: str
    metrics: tuple[Metric, ...]
