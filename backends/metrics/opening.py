"""From what the fleet file says of a metric to the source that measures it. What a source needs to be loaded is loaded when it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import SourceFailed
from quarterdeck.backends.metrics.asking import MEASURE
from quarterdeck.backends.metrics.contract import Source
from quarterdeck.backends.metrics.probe import Check, ProbeSource
from quarterdeck.config.analyses import (
    CommandMetric,
    HostMetric,
    LogsMetric,
    MetricSource,
    ProbeMetric,
    PrometheusMetric,
    RouterMetric,
)
from quarterdeck.config.model import Health

if TYPE_CHECKING:
    from quarterdeck.backends.metrics.host import ReadFigures
    from quarterdeck.backends.metrics.logs import ReadLog
    from quarterdeck.backends.routers.contract import RouterConnection


def open_source(
    metric: MetricSource,
    *,
    base: Path,
    health: Health | None,
    check: Check,
    read_log: "ReadLog",
    read_figures: "ReadFigures",
    router: "Callable[[], RouterConnection] | None" = None,
) -> Source:
    """Connects to nothing yet. ``base``: the fleet file's directory; ``health``: the service's own; ``check``, ``read_log`` and
    ``read_figures``: how its hosts are asked; ``router``: opens the service on its router, None: it has none.
    Raises ``SourceFailed`` for a probe of a service that has no health gate, and for what a router counts where there is none; and what
    ``router`` raises."""
    match metric:
        case ProbeMetric():
            asked = metric.health or health
            if asked is None:
                advice = "Give the service a health gate, or the probe a check of its own"
                raise SourceFailed("probe", MEASURE, "there is no check to make", advice=advice)
            return ProbeSource(asked, check)
        case PrometheusMetric():
            from quarterdeck.backends.metrics.prometheus import PrometheusSource

            return PrometheusSource(metric, base)
        case CommandMetric():
            from quarterdeck.backends.metrics.command import CommandSource

            return CommandSource(metric, base)
        case LogsMetric():
            from quarterdeck.backends.metrics.logs import LogsSource

            return LogsSource(metric, read_log)
        case HostMetric():
            from quarterdeck.backends.metrics.host import HostSource

            return HostSource(metric, read_figures)
        case RouterMetric():
            if router is None:
                advice = "Give the service a `router` in the fleet file, or measure with a probe or Prometheus"
                raise SourceFailed("router", MEASURE, "no router is before the service", advice=advice)
            from quarterdeck.backends.metrics.router import RouterSource

            return RouterSource(metric, router())
