"""What runs where: the document of ``qd status``, from the journal, and the look at the hosts that refreshes it."""

import asyncio
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation, Rollout
from quarterdeck.rollouts.looking import UNKNOWN, look, unseen
from quarterdeck.rollouts.outcome import seconds

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import HostBackend

LOOK = 15.0  # seconds for one host, from connecting to its answer


def status(fleet: Fleet, journal: Journal, *, only: str | None = None) -> dict[str, Any]:
    """The whole document. ``only``: a target, or an environment's name."""
    return {
        "fleet": fleet.name,
        "time": now(),
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
        "seen": None if seen.body.get("never") else seen.time,
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
    head, _ = journal.head()
    answers = await asyncio.gather(
        *(_ask(backend, fleet, host, asked, releases, before, head) for host, asked in hosts.items())
    )
    journal.observe([observation for answer in answers for observation in answer])


async def _ask(
    backend: "HostBackend",
    fleet: Fleet,
    host: str,
    targets: list[Target],
    releases: dict[str, dict[str, Release]],
    before: dict[tuple[str, str], Observation],
    head: int,
) -> list[Observation]:
    done: list[Observation] = []
    try:
        async with asyncio.timeout(LOOK):
            connection = await backend.connect(fleet.hosts[host], deadline=LOOK)
            try:
                for target in targets:
                    done.append((await look(connection, target, releases[target.name], head)).observation)
            finally:
                await connection.close()
    except (BackendError, TimeoutError) as error:
        reason = str(error) or f"no answer within {LOOK:g} s"
        answered = {o.target for o in done}
        done += [
            unseen(target.name, host, before.get((target.name, host)), reason)
            for target in targets
            if target.name not in answered
        ]
    return done
