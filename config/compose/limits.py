"""What a service may use: Compose says it in two ways, `mem_limit` and `deploy.resources`, which must not contradict."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config.container import Limits
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Fields

_CONDITIONS = {"none": "no", "any": "always", "on-failure": "on-failure"}
_PLAIN = (
    "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "mem_swappiness", "shm_size", "oom_kill_disable", "oom_score_adj",
    "memswap_limit", "ulimits",
)  # fmt: skip
_NAMES = {"mem_swappiness": "memory_swappiness", "memswap_limit": "memory_swap"}
_TWICE = (
    ("cpus", "cpus", ("limits", "cpus")),
    ("memory", "mem_limit", ("limits", "memory")),
    ("memory_reservation", "mem_reservation", ("reservations", "memory")),
    ("pids", "pids_limit", ("limits", "pids")),
)


def limits_of(service: Fields, problems: Problems) -> Limits:
    """The limits of a service. Contradictions are added to ``problems``."""
    values = service.values
    found: dict[str, Any] = {_NAMES.get(name, name): values[name] for name in _PLAIN if name in values}
    blkio = values.get("blkio_config")
    if isinstance(blkio, Fields) and "weight" in blkio.values:
        found["blkio_weight"] = blkio.values["weight"]
    for name, short, (part, key) in _TWICE:
        one = values.get(short)
        other = _resources(service, part).get(key)
        if one is not None and other is not None and one != other:
            problems.add(service.node.key(short), f"`{short}` and `deploy.resources.{part}.{key}` say different things")
        chosen = one if one is not None else other
        if chosen is not None:
            found[name] = chosen
    return Limits(**found)


def reserved_devices(service: Fields) -> tuple[Mapping[str, str], ...]:
    """The devices (GPUs) that `deploy.resources.reservations` names."""
    found: tuple[Mapping[str, str], ...] = _resources(service, "reservations").get("devices", ())
    return found


def restart_of(service: Fields, problems: Problems) -> str:
    """The engine's restart policy: `restart`, or what `deploy.restart_policy` says."""
    short: str | None = service.values.get("restart") or None
    policy = _below(service, "deploy").get("restart_policy")
    if not isinstance(policy, Fields):
        return short or "no"
    condition = policy.values.get("condition", "any")
    attempts = policy.values.get("max_attempts")
    long = _CONDITIONS.get(condition, "no")
    if attempts and condition == "on-failure":
        long += f":{attempts}"
    elif attempts:
        problems.add(policy.node.key("max_attempts"), "an engine counts attempts only with `condition: on-failure`")
    if short is not None and short != long:
        problems.add(service.node.key("restart"), "`restart` and `deploy.restart_policy` say different things")
    return long


def order_of(service: Fields) -> str:
    """`start-first`, `stop-first`, or empty where nothing is said."""
    update = _below(service, "deploy").get("update_config")
    return str(update.values.get("order", "")) if isinstance(update, Fields) else ""


def _resources(service: Fields, part: str) -> Mapping[str, Any]:
    resources = _below(service, "deploy").get("resources")
    found = resources.values.get(part) if isinstance(resources, Fields) else None
    return found.values if isinstance(found, Fields) else {}


def _below(service: Fields, name: str) -> Mapping[str, Any]:
    found = service.values.get(name)
    return found.values if isinstance(found, Fields) else {}
