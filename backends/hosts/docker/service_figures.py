"""What an engine tells of a release's own container: for workers, who look at one now and then."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import ServiceFigures
from quarterdeck.backends.hosts.docker.looking import inspect, look

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.config.release import Release


async def service_figures_of(engine: "Engine", release: "Release", *, deadline: float) -> ServiceFigures:
    """Raises ``CommandFailed`` where there is no container of the release."""
    action = f"read the figures of {release.id}"
    seen = await look(engine, release.target, action, deadline=deadline)
    one = seen.of(release)
    body = await inspect(engine, action, one.id, deadline=deadline) if one is not None else None
    if one is None or body is None:
        raise CommandFailed(engine.host, action, "there is no container of it", exit_status=None)
    stats: dict[str, Any] = {}
    if body["State"].get("Running"):
        stats = await engine.call(
            action, lambda client: client.stats(one.id, stream=False, one_shot=True), deadline=deadline
        )
    return ServiceFigures(
        restarts=int(body.get("RestartCount") or 0),
        oom_kills=int(bool(body["State"].get("OOMKilled"))),
        **used_in(stats),
    )


class Used(TypedDict):
    """By one container, in the words of ``ServiceFigures``."""

    memory: int | None
    memory_limit: int | None
    cpu_seconds: float | None


def used_in(stats: Mapping[str, Any]) -> Used:
    """``stats``: as an engine tells them of one that runs; empty of one that does not."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cached = int(details.get("total_inactive_file", details.get("inactive_file", 0)))  # control groups 1, and 2
    used = (stats.get("cpu_stats") or {}).get("cpu_usage", {}).get("total_usage")
    return Used(
        memory=max(0, int(memory["usage"]) - cached) if "usage" in memory else None,
        memory_limit=int(memory.get("limit") or 0) or None,
        cpu_seconds=int(used) / 1e9 if used is not None else None,
    )
