"""One look at a target on a host: what runs there and how it is, as an observation for the journal. Changes nothing anywhere."""

from collections.abc import Mapping
from typing import Any

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Connection, HealthOutcome, TargetFacts
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release
from quarterdeck.history.clock import now
from quarterdeck.history.records import Observation
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.picture import swarm

UNKNOWN = "unknown"


class Look(msgspec.Struct, frozen=True):
    """``probe``: the round of health checks, None where none was made (nothing runs, or none is declared)."""

    observation: Observation
    probe: HealthOutcome | None


async def look(
    connection: Connection, target: Target, releases: Mapping[str, Release], head: int, *, deadline: float = 20.0
) -> Look:
    """Asks the host. ``releases``: those of the target that are known, by id; health checks are those of the release that runs.

    ``head`` is the last event of the journal before the look: with it a later rollout is told from drift. Raises BackendError.
    """
    any_release = next(iter(releases.values()), None)
    facts = await connection.facts(target.name, target.path, any_release, deadline=deadline)
    release = releases.get(facts.current) if facts.current else None
    if release is None and facts.current:
        manifest = next((k.manifest for k in facts.kept if k.release == facts.current and k.intact), None)
        if manifest is not None:
            try:
                release = release_in(manifest)
            except ValueError:
                release = None
    health, detail = UNKNOWN, ""
    probe: HealthOutcome | None = None
    if facts.current is None:
        health, detail = "unhealthy", "no release is there"
    elif facts.running is False:
        health, detail = "unhealthy", "the service does not run"
    elif release is not None and release.health is not None:
        probe = await connection.check_health(release.health, release)
        health, detail = "healthy" if probe.healthy else "unhealthy", probe.detail
    elif facts.running:
        health, detail = "healthy", "the service runs"
    of_swarm = swarm_part(facts, release, well=probe.well if probe is not None else None)
    if of_swarm is not None and health == "unhealthy" and (words := _update_words(of_swarm, facts.current)):
        health, detail, probe = UNKNOWN, words, None  # the check is of the release that is being replaced
        of_swarm.pop("well", None)
    body: dict[str, Any] = {
        "kept": sorted(k.release for k in facts.kept if k.intact),
        "epoch": facts.epoch,
        "running": facts.running,
        "detail": detail,
        "seq": head,
    }
    warm = sorted(k.release for k in facts.kept if k.warm)
    if warm:
        body["warm"] = warm
    if facts.drift:
        body["drift"] = list(facts.drift)
    if of_swarm is not None:
        body[swarm.KEY] = of_swarm
        asked = {kept.release: kept.asked for kept in facts.kept if kept.asked}
        body |= {swarm.ASKED: asked} if asked else {}
    version = release.version if release else None
    return Look(Observation(target.name, connection.host, now(), facts.current, version, health, None, body), probe)


def swarm_part(facts: TargetFacts, release: Release | None, *, well: int | None = None) -> dict[str, Any] | None:
    """For the body of an observation, under ``swarm.KEY``; None of a host that is no Swarm. ``release``: what is current, where it is
    known; ``well``: how many of its tasks are well, where they were asked."""
    if not facts.nodes:
        return None
    unfetched = [kept.release for kept in facts.kept if not kept.intact and _is_sound(kept.manifest)]
    return swarm.told_of(facts, replicas=_replicas(release), unfetched=unfetched, well=well)


def _update_words(told: Mapping[str, Any], current: str | None) -> str:
    """Of a Swarm whose tasks are on their way from the release ``current`` to another one, as a rollout has them; else empty. Such an
    update is checked by who makes it, part after part."""
    seen = swarm.swarm_seen(told)
    if seen is None or current is None:
        return ""
    others = {one.release for one in seen.tasks if one.wanted} - {current}
    runs = seen.running(current, *others)
    if not others or not runs or seen.running(current) >= seen.wanted:
        return ""
    return f"an update is under way: {runs} of {seen.wanted} tasks run"


def _replicas(release: Release | None) -> int:
    """As the release says; 0: it does not, or wants one on each node."""
    if release is None or release.container is None:
        return 0
    deploy = release.container.deploy
    return 1 if deploy is None else 0 if deploy.mode == "global" else deploy.replicas


def _is_sound(manifest: Mapping[str, object] | None) -> bool:
    try:
        return manifest is not None and bool(release_in(manifest))
    except ValueError:
        return False


def unseen(target: str, host: str, last: Observation | None, reason: str) -> Observation:
    """The host could not be asked: what was last known of it stays, with the age of that and not of the failed look.

    ``body["never"]`` is there when the host was never seen: the time is then that of the first try.
    """
    if last is None:
        return Observation(target, host, now(), None, None, UNKNOWN, reason, {"never": True})
    return Observation(target, host, last.time, last.release, last.version, UNKNOWN, reason, dict(last.body))


def reason_of(error: BaseException, seconds: float) -> str:
    """Why a host can't be asked, in words."""
    if isinstance(error, BackendError):
        return str(error)
    return f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
