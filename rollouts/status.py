"""What runs where: the document of ``qd status``, from the journal, and the look at the hosts that refreshes it."""

import asyncio
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation, Rollout
from quarterdeck.rollouts.outcome import seconds

UNKNOWN = "unknown"
LOOK = 15.0  # seconds for one host, from connecting to its answer


def status(fleet: Fleet, journal: Journal, *, only: str | None = None) -> dict[str, Any]:
    """The whole document. ``only``: a target, or an environment's name."""
    return {
        "fleet": fleet.name,
        "time": _now(),
        "targets": [_target(target, journal) for target in chosen(fleet, only)],
    }


def chosen(fleet: Fleet, only: str | None) -> list[Target]:
    """The targets that ``only`` names: all, those of an environment, or one. Raises ``KeyError`` for another name."""
    if only is None:
        return list(fleet.targets.values())
    if only in fleet.environments:
        return [target for target in fleet.targets.values() if target.environment == only]
    return [fleet.targets[only]]


def _target(target: Target, journal: Journal) -> dict[str, Any]:
    seen = {observation.host: observation for observation in journal.observations(target.name)}
    current = journal.current_release(target.name)
    row = journal.release(current) if current else None
    ended = [r for r in journal.rollouts(target.name, limit=20) if r.to_release == current and r.state == "succeeded"]
    active = journal.active(target.name)
    hosts = [_host(host.name, seen.get(host.name), current) for host in target.hosts]
    back = journal.last_good(target.name, other_than=current)
    return {
        "target": target.name,
        "release": current,
        "version": row.release.version if row else None,
        "digest": row.release.artifact.sha256 if row else None,
        "since": ended[0].ended if ended else (row.last_good if row else None),
        "by": ended[0].requested_by if ended else None,
        "health": health_of(hosts),
        "ready": _ready(target, journal, seen, back.id if back else None),
        "hosts": hosts,
        "rollout": _rollout(active),
    }


def _host(name: str, seen: Observation | None, current: str | None) -> dict[str, Any]:
    if seen is None:
        return {
            "host": name,
            "release": None,
            "version": None,
            "health": UNKNOWN,
            "seen": None,
            "drift": False,
            "error": None,
        }
    return {
        "host": name,
        "release": seen.release,
        "version": seen.version,
        "health": seen.health,
        "seen": seen.time,
        "drift": seen.error is None and seen.release != current,
        "error": seen.error,
    }


def health_of(hosts: Iterable[dict[str, Any]]) -> str:
    """healthy: all hosts are; down: none of those that are known; unknown: nothing is known; else degraded."""
    states = [str(host["health"]) for host in hosts]
    known = [state for state in states if state != UNKNOWN]
    if not known:
        return UNKNOWN
    if all(state == "healthy" for state in states):
        return "healthy"
    return "degraded" if "healthy" in known else "down"


def _ready(target: Target, journal: Journal, seen: dict[str, Observation], back: str | None) -> dict[str, Any]:
    """Whether the way back is open, by what was last seen of the hosts. ``seconds``: the median of earlier
    rollbacks."""
    reasons: list[str] = []
    state = "ready"
    if back is None:
        state = "closed"
        reasons.append("no earlier release that worked")
    else:
        for host in target.hosts:
            observation = seen.get(host.name)
            kept = observation.body.get("kept") if observation is not None else None
            if observation is None or (kept is None and observation.error is not None):
                reasons.append(f"{host.name}: not seen")
            elif kept is not None and back not in kept:
                reasons.append(f"{host.name}: no copy of {back}")
        debts = journal.debts(target.name)
        reasons += [f"{debt.host}: owed since {debt.since}" for debt in debts]
        if reasons:
            state = "degraded"
    took = sorted(
        s
        for r in journal.rollouts(target.name, limit=50)
        if r.kind == "rollback" and r.state == "succeeded" and (s := seconds(r)) is not None
    )
    return {"state": state, "to": back, "reasons": reasons, "seconds": took[len(took) // 2] if took else None}


def _rollout(active: Rollout | None) -> dict[str, Any] | None:
    if active is None:
        return None
    return {
        "rollout": active.id,
        "kind": str(active.kind),
        "from": active.from_release,
        "to": active.to_release,
        "status": str(active.state),
        "by": active.requested_by,
        "started": active.started,
        "reason": active.outcome,
    }


async def observe(fleet: Fleet, journal: Journal, targets: Collection[str]) -> None:
    """Asks every host of ``targets`` what runs there and whether it is healthy, and journals the answers with their
    time.

    One connection a host, whatever the number of its targets. A host that can't be asked keeps its last known
    release; the error
    and its time are journalled beside it. Raises nothing for a host.
    """
    from quarterdeck.backends.hosts.ssh.backend import SshBackend

    backend = SshBackend(ssh_config=fleet.ssh_config, known_hosts=fleet.known_hosts)
    hosts: dict[str, list[Target]] = {}
    for name in targets:
        for host in fleet.targets[name].hosts:
            hosts.setdefault(host.name, []).append(fleet.targets[name])
    releases = {name: {row.id: row.release for row in journal.releases(name, limit=200)} for name in targets}
    before = {(o.target, o.host): o for name in targets for o in journal.observations(name)}
    answers = await asyncio.gather(
        *(_ask(backend, fleet, host, asked, releases, before) for host, asked in hosts.items())
    )
    journal.observe([observation for answer in answers for observation in answer])


async def _ask(
    backend: Any,
    fleet: Fleet,
    host: str,
    targets: list[Target],
    releases: dict[str, dict[str, Release]],
    before: dict[tuple[str, str], Observation],
) -> list[Observation]:
    from quarterdeck.backends.errors import BackendError

    done: list[Observation] = []
    try:
        async with asyncio.timeout(LOOK):
            connection = await backend.connect(fleet.hosts[host], deadline=LOOK)
            try:
                for target in targets:
                    done.append(await _ask_target(connection, target, releases[target.name]))
            finally:
                await connection.close()
    except (BackendError, TimeoutError) as error:
        reason = str(error) or f"no answer within {LOOK:g} s"
        answered = {o.target for o in done}
        for target in targets:
            if target.name not in answered:
                last = before.get((target.name, host))
                done.append(
                    Observation(
                        target.name,
                        host,
                        last.time if last else _now(),  # the age of what is shown, not of the failed look
                        last.release if last else None,
                        last.version if last else None,
                        UNKNOWN,
                        reason,
                        dict(last.body) if last else {},
                    )
                )
    return done


async def _ask_target(connection: Any, target: Target, releases: dict[str, Release]) -> Observation:
    from quarterdeck.rollouts.manifest import release_in

    any_release = next(iter(releases.values()), None)
    facts = await connection.facts(target.name, target.path, any_release)
    release = releases.get(facts.current) if facts.current else None
    if release is None and facts.current:
        manifest = next((k.manifest for k in facts.kept if k.release == facts.current and k.intact), None)
        if manifest is not None:
            try:
                release = release_in(manifest)
            except ValueError:
                release = None
    health = UNKNOWN
    error = None
    if facts.current is None or facts.running is False:
        health = "unhealthy"
    elif release is not None and release.health is not None:
        outcome = await connection.check_health(release.health, release)
        health = "healthy" if outcome.healthy else "unhealthy"
    elif facts.running:
        health = "healthy"
    return Observation(
        target.name,
        connection.host,
        _now(),
        facts.current,
        release.version if release else None,
        health,
        error,
        {"kept": sorted(k.release for k in facts.kept if k.intact), "epoch": facts.epoch, "running": facts.running},
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
