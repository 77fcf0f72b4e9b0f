"""What arming has found: the values that a worker goes on with, and the JSON body that is shown before the go.

Pure: asks no host and writes nothing.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.hosts.contract import SecretValues, TargetFacts
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release, canonical
from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.plans.flags import flags_summary
from quarterdeck.rollouts.plans.plan import HostNow, Plan, summary
from quarterdeck.rollouts.way_back.ahead import without_copy

if TYPE_CHECKING:
    from quarterdeck.rollouts.plans.traffic import Traffic


class CannotBegin(Exception):
    """Nothing was changed. ``cause``: usage, policy, artifact, secrets, unreachable or hosts; it decides the exit
    status."""

    def __init__(self, cause: str, why: str, *, hosts: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.cause = cause
        self.why = why
        self.hosts = dict(hosts or {})  # those that could not be asked, each with the reason


class Armed(msgspec.Struct):
    """What arming found. ``releases`` holds every release that a step may name, by id."""

    target: Target
    release: Release
    leaving: str | None
    hosts: list[HostNow]
    plan: Plan
    secrets: dict[str, SecretValues]  # by release id; empty values: what lies on the host is kept
    releases: dict[str, Release]
    masked: list[SecretValues] = msgspec.field(default_factory=list)  # further values that must not be shown
    body: dict[str, Any] = msgspec.field(default_factory=dict)
    archive: Path | None = None
    highest_epoch: int = 0
    traffic: "Traffic | None" = None  # None: no router is in front of the target, or nothing is known of it
    router_fault: str = ""  # why the router could not be asked
    warnings: list[str] = msgspec.field(default_factory=list)  # further ones
    fetch_fault: str = ""  # why what a rollback has to fetch can't be had now

    @property
    def plan_hash(self) -> str:
        shown = {key: self.body[key] for key in ("kind", "target", "from", "to", "steps")}
        return hashlib.sha256(canonical(shown)).hexdigest()


def described(armed: Armed, kind: RolloutKind, secret_states: Mapping[str, str]) -> Armed:
    """``armed`` with its body: the plan as it is shown, and whose hash the ``go`` names."""
    hosts = armed.hosts
    armed.highest_epoch = max((host.epoch for host in hosts), default=0)
    to = armed.release.id
    reasons = [with_host(host) for host in hosts if host.error is not None]
    nowhere = False
    if kind in (RolloutKind.ROLLBACK, RolloutKind.DRILL):
        answered = [host for host in hosts if host.error is None]
        missing = without_copy(to, answered)
        swarms = [host.host for host in answered if host.swarm and host.host in missing]
        copies = [name for name in missing if name not in swarms]
        if swarms:
            how = f" can't be fetched now: {armed.fetch_fault}" if armed.fetch_fault else " is asked for first"
            reasons.append(f"{armed.release.version} is not ready on the swarm {', '.join(swarms)}: its image{how}")
        if copies:
            how = f"and it can't be fetched now: {armed.fetch_fault}" if armed.fetch_fault else "it is fetched first"
            reasons.append(
                f"no copy of {armed.release.version} on {', '.join(copies)}{', ' if armed.fetch_fault else ': '}{how}"
            )
        if missing:
            nowhere = bool(armed.fetch_fault) and len(missing) == len(answered)
    if armed.router_fault:
        reasons.append(armed.router_fault)
    reasons += [f"secret {n}: {s}" for n, s in secret_states.items() if s != "same"]
    armed.body = {
        "kind": str(kind),
        "target": armed.target.name,
        "from": armed.leaving,
        "to": to,
        "version": armed.release.version,
        "digest": armed.release.artifact.sha256,
        "strategy": armed.target.strategy.kind,
        "hosts": [
            {
                "host": host.host,
                "current": host.current,
                "running": host.running,
                "has_release": to in host.kept,
                "warm": to in host.warm if armed.target.container is not None else None,
                "kept": sorted(host.kept),
                "free_bytes": host.free_bytes,
                "problems": list(host.problems),
                "error": host.error,
                **({"late": True} if host.late else {}),
                **({"swarm": True} if host.swarm else {}),
            }
            for host in hosts
        ],
        "router": _router(armed),
        "steps": describe(armed.plan),
        "summary": ", ".join(filter(None, _summaries(armed))),
        "readiness": {"state": "closed" if nowhere else "degraded" if reasons else "ready", "reasons": reasons},
        "fetch_fault": armed.fetch_fault or None,
        "secrets": dict(secret_states),
        "warnings": [
            *armed.body.get("warnings", []),
            *armed.warnings,
            *secret_warnings(armed.release.version, secret_states),
        ],
    }
    return armed


def _summaries(armed: Armed) -> tuple[str, ...]:
    """In words: the hosts, the hooks that are undone, the flags."""
    undone = [step.body for step in armed.plan.steps if step.body.get("reverse")]
    releases = dict.fromkeys(str(body["release"]) for body in undone)
    names = [known.version if (known := armed.releases.get(name)) else name for name in releases]
    hooks = f"{len(undone)} hook{'s' if len(undone) > 1 else ''} of {', '.join(names)} undone" if undone else ""
    return summary(armed.plan, armed.hosts, armed.leaving), hooks, flags_summary(armed.plan)


def _router(armed: Armed) -> dict[str, Any] | None:
    """As a card shows it: which slot the release goes to, and what that gets now."""
    routed, traffic = armed.target.routed, armed.traffic
    if routed is None:
        return None
    known = {"slot": traffic.slot, "share": traffic.share} if traffic is not None else {}
    return {"name": routed.name, **known, "error": armed.router_fault or None}


def secret_warnings(version: str, states: Mapping[str, str]) -> list[str]:
    """A secret that can't be read has all values stay on the hosts as they are: half of them would be no configuration."""
    unavailable = [name for name, state in states.items() if state == "unavailable"]
    used = (
        f"the old one is kept on the hosts, as {unavailable[0]} can't be read"
        if unavailable
        else "the new value is used"
    )
    return [
        f"the value of secret {name} has changed since {version} was released: {used}"
        for name, state in states.items()
        if state == "changed"
    ] + [f"secret {name} can't be read now: the value that lies on the hosts is kept" for name in unavailable]


def describe(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"seq": seq, "batch": step.wave, "host": step.host, "action": str(step.action), **step.body}
        for seq, step in enumerate(plan.steps, 1)
    ]


def host_now(name: str, facts: TargetFacts) -> HostNow:
    return HostNow(
        name,
        current=facts.current,
        running=facts.running,
        kept=frozenset(kept.release for kept in facts.kept if kept.intact),
        warm=frozenset(kept.release for kept in facts.kept if kept.intact and kept.warm),
        good=frozenset(facts.good),
        epoch=facts.epoch,
        free_bytes=facts.free_bytes,
        problems=facts.problems,
        as_started=facts.as_started,
        swarm=bool(facts.nodes),
    )


def hosts_from_body(body: Mapping[str, Any]) -> list[HostNow]:
    """The hosts as they were seen when the plan was made, read back from the journal by a worker that takes over."""
    return [
        HostNow(
            str(item["host"]),
            current=item["current"],
            running=item["running"],
            kept=frozenset(item["kept"]),
            error=item["error"],
            swarm=bool(item.get("swarm")),
        )
        for item in body["hosts"]
    ]


def with_host(host: HostNow) -> str:
    """Why it could not be asked, with its name once: most reasons begin with it already."""
    error = host.error or ""
    return error if error.startswith(f"{host.host}: ") else f"{host.host}: {error}"


def left_half_way(last: Rollout | None, current: str) -> str | None:
    """Of a rollback to what is ``current``: the release that the rollout before it has left on some hosts. None: what stands there is no
    rollout's doing, and nothing is said against it."""
    if last is None or last.state is not RolloutState.FAILED:
        return None
    left = last.from_release if last.kind is RolloutKind.ROLLBACK else last.to_release
    return left if left != current else None


def most_common(hosts: list[HostNow]) -> str | None:
    """The release that most hosts run: what is being left, where the journal does not know it."""
    running = [host.current for host in hosts if host.current is not None]
    return max(sorted(set(running)), key=running.count) if running else None


NAMED = 12  # hosts that a sentence names; of thousands it says how many


def unreachable(lost: list[HostNow], total: int) -> CannotBegin:
    """In one sentence: how many, and the first one's reason."""
    first = lost[0].error or ""
    others = [host.host for host in lost[1 : NAMED + 1]] + (["…"] if len(lost) > NAMED + 1 else [])
    more = f" (and {len(lost) - 1} more: {', '.join(others)})" if len(lost) > 1 else ""
    why = f"{len(lost)} of {total} hosts can't be reached, nothing was changed: {first}{more}"
    return CannotBegin("unreachable", why, hosts={host.host: host.error or "" for host in lost})
