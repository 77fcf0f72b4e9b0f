"""The keys of analyses: metrics, where each is measured, what is well. What is made of them is loaded only where there are any."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.config import scalars
from quarterdeck.config.kinds import BOOLEAN, COMMAND, COUNT, DURATION, FEW, NAME, SOME_TEXT, SOME_TIME
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.parts import ENV, HEALTH, SECRET
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Either, Key, Keys, ListOf, MapOf, Scalar
from quarterdeck.config.web_servers import login_is_kept, web_url

if TYPE_CHECKING:
    from quarterdeck.config.analyses import Metric
    from quarterdeck.config.conditions import Condition

LONGEST_PATTERN = 500  # characters
SOURCES = ("probe", "router", "prometheus", "command", "logs", "host")


def _condition(text: str) -> "Condition":
    from quarterdeck.config.condition_parsing import condition

    return condition(text)


def _made(name: str) -> Callable[..., Any]:
    def make(**found: Any) -> Any:
        from quarterdeck.config import analyses

        return getattr(analyses, name)(**found)

    return make


def _placeholders(node: Node, problems: Problems) -> bool:
    from quarterdeck.config.metric_templates import placeholders

    if isinstance(node, ScalarNode):
        try:
            placeholders(node.text)
        except Unfit as unfit:
            problems.add(node, str(unfit), nearest=unfit.nearest)
            return False
    return True


def _query(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    kept = login_is_kept(node, values, problems, ("token", "password"), "`token`, or `username` and `password`, say")
    return ("query" not in values or _placeholders(node.value("query"), problems)) and kept


def _run(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    return "run" not in values or _placeholders(node.value("run"), problems)


def _pattern(text: str) -> str:
    """It is tried on lines in a process of its own, so that any will do that means something."""
    import re

    if len(text) > LONGEST_PATTERN:
        raise Unfit(f"it is longer than {LONGEST_PATTERN} characters")
    try:
        re.compile(scalars.some_text(text))
    except (re.error, RecursionError, OverflowError) as error:
        raise Unfit(str(error) or "it is too large") from None
    return text


PATTERN = Scalar(
    "a regular expression such as ERROR|panic",
    _pattern,
    {"type": "string", "minLength": 1, "maxLength": LONGEST_PATTERN},
)
CONDITION = Scalar("a condition such as value < 250", _condition, {"type": "string", "minLength": 1})
PROBE = Keys(
    "a probe",
    (Key("health", HEALTH, "What is asked, with the keys of a health gate. Without it: the service's own."),),
    make=_made("ProbeMetric"),
)
PROMETHEUS = Keys(
    "a query to Prometheus",
    (
        Key("url", web_url("http://prometheus:9090"), "The server's URL, without /api/v1.", required=True),
        Key("query", SOME_TEXT, "In PromQL, for one moment; {{release}} and others are filled in.", required=True),
        Key("token", SECRET, "Where a bearer token is found."),
        Key("username", SOME_TEXT, "Who logs in, with a password."),
        Key("password", SECRET, "Where the password is found."),
    ),
    make=_made("PrometheusMetric"),
    check=_query,
)
MEASURED_COMMAND = Keys(
    "a command that measures",
    (
        Key("run", COMMAND, "The command, run here; {{release}} and others are filled in.", required=True),
        Key("env", ENV, "Variables of its environment."),
    ),
    make=_made("CommandMetric"),
    check=_run,
)
MATCHED_LOGS = Keys(
    "lines of logs",
    (Key("match", PATTERN, "A regular expression of Python, looked for in each line. Without it: lines of errors."),),
    make=_made("LogsMetric"),
)


def _figure(text: str) -> Any:
    from quarterdeck.config.analyses import HostFigure, HostMetric

    return HostMetric(HostFigure(text))


def _router_figure(text: str) -> Any:
    from quarterdeck.config.analyses import RouterFigure, RouterMetric

    return RouterMetric(RouterFigure(text))


class _CommandText(Scalar, frozen=True):
    """Its names in {{…}} are looked at where it stands."""

    def value_of(self, node: ScalarNode) -> Any:
        from quarterdeck.config.metric_templates import placeholders

        text = scalars.some_text(node.text)
        placeholders(text)
        return _made("CommandMetric")(run=text)


METRIC_SOURCE = Keys(
    "the source of a metric",
    (
        Key("probe", PROBE, "The service itself is asked on each host; the number is the slowest answer's seconds."),
        Key(
            "router",
            Choice(
                ("error_rate", "rate_5xx", "requests", "mean_response", "p50", "p95", "p99"),
                make=_router_figure,
            ),
            "What the service's HAProxy counted of the release's requests: a share (0 to 1), requests a minute, seconds.",
        ),
        Key("prometheus", PROMETHEUS, "A query to a Prometheus server."),
        Key(
            "command",
            Either(_CommandText(COMMAND.expected, str, COMMAND.json), MEASURED_COMMAND),
            "A command here: exit status 0 is well, the last line that it prints is the number.",
        ),
        Key(
            "logs",
            MATCHED_LOGS,
            "Lines of the service's logs; the number is those that match, a minute, on the worst host.",
        ),
        Key(
            "host",
            Choice(("restarts", "oom_kills", "memory_percent", "cpu_percent"), make=_figure),
            "What each host tells of the service's unit or container; the number is the worst host's.",
        ),
    ),
    make=lambda **found: next(iter(found.values())),
    one_of=SOURCES,
    refused={
        "docker": "is called `host`: restarts, oom_kills, memory_percent or cpu_percent, of a container or a unit"
    },
)


def _metric(**found: Any) -> "Metric":
    from quarterdeck.config.analyses import Metric

    return Metric(**{"count": None} | found)


def _can_be_judged(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if "name" not in values or "source" not in values:
        return True  # reported already
    from quarterdeck.config.analyses import contradictions

    if any(key in node.entries and key not in values for key in ("success", "failure", "compare")):
        return False  # reported already: what is said with them can't be known
    found = contradictions(_metric(**values))
    for words in found:
        problems.add(node.key("metric"), words)
    return not found


METRIC = Keys(
    "a metric",
    (
        Key("name", NAME, "What it is called on the screen.", required=True),
        Key("metric", METRIC_SOURCE, "Where it is measured.", required=True, field="source"),
        Key("interval", SOME_TIME, "From the beginning of one measurement to that of the next.", default="10s"),
        Key("count", COUNT, "How many measurements. Without it: 1, in a bake as many as there is time for."),
        Key("initial_delay", DURATION, "How long the first one is waited for.", default="0"),
        Key("timeout", SOME_TIME, "How long one measurement may take.", default="10s"),
        Key("success", CONDITION, "When a measurement is well."),
        Key("failure", CONDITION, "When it is not. With `success`: what is neither is inconclusive."),
        Key("compare", Choice(("baseline",)), "Judged beside the release before, measured at the same time."),
        Key("failure_limit", FEW, "How many failed measurements are borne.", default="0"),
        Key("inconclusive_limit", FEW, "How many inconclusive ones are borne.", default="0"),
        Key("consecutive_error_limit", FEW, "How many errors of the source in a row are borne.", default="4"),
        Key("dry_run", BOOLEAN, "Whether it is measured and told, and never decides.", default="false"),
    ),
    make=_metric,
    check=_can_be_judged,
)


class _Metrics(ListOf, frozen=True):
    """Names are those of the screen and of the samples: each once."""

    def read(self, node: Node, problems: Problems) -> tuple[Any, ...] | None:
        metrics = super().read(node, problems)
        if metrics is None or not isinstance(node, SequenceNode):
            return metrics
        seen: set[str] = set()
        for item, metric in zip(node.items, metrics, strict=True):
            if metric.name in seen:
                problems.add(item, f"a metric `{metric.name}` is in this analysis already")
            seen.add(metric.name)
        return metrics


ANALYSES = MapOf(
    _Metrics(METRIC, "a list of metrics", least=1),
    "a mapping of names to lists of metrics",
    NAME,
    json_key=scalars.NAME,
)
