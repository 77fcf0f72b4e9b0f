"""The doctor's questions to a Docker engine: what runs of each target, whether the way back is open there, whether there is room."""

from collections.abc import Mapping, Sequence

from quarterdeck.backends.hosts.contract import Connection, TargetFacts
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release
from quarterdeck.rollouts.doctor.findings import LITTLE_ROOM, Finding, Verdict

ASK = 20.0  # seconds a target


async def examine_engine(
    subject: str, connection: Connection, targets: Sequence[Target], back: Mapping[str, Release], *, swarm: bool = False
) -> list[Finding]:
    """What is wrong, or one finding that says that nothing is. ``back``: by target what a rollback would lead to, as the journal knows it.
    ``swarm``: it is the managers of one that are asked. Raises BackendError where the engine does not answer."""
    found: list[Finding] = []
    free: int | None = None
    for target in targets:
        facts = await connection.facts(target.name, target.path, deadline=ASK)
        found += target_findings(subject, target, facts, back.get(target.name), swarm=swarm)
        free = facts.free_bytes
    if free is not None and free < LITTLE_ROOM:
        room = f"only {free // (1024 * 1024)} MiB free on the engine's disk"
        found.append(Finding(subject, Verdict.WARN, room, "make room (docker system df), or lower keep.releases"))
    if found:
        return found
    room = "" if free is None else f", {free // (1024 * 1024)} MiB free"
    count = f"{len(targets)} target{'s' if len(targets) != 1 else ''}"
    return [Finding(subject, Verdict.OK, f"connection, {'swarm' if swarm else 'engine'}, {count}{room}")]


def target_findings(
    subject: str, target: Target, facts: TargetFacts, back: Release | None = None, *, swarm: bool = False
) -> list[Finding]:
    """Of one target: what the engine complains of, what was changed there, and a good release that could not be gone back to. Without
    ``back`` that is the one that the engine itself remembers; where its register was pruned, it remembers none."""
    found = [
        Finding(subject, Verdict.FAIL, f"{target.name}: {problem}", "put it right on the host before the next rollout")
        for problem in facts.problems
    ]
    kept = {one.release: one for one in facts.kept}
    before = [name for name in facts.good if name != facts.current and name not in facts.bad]
    way = back.id if back is not None else before[-1] if before else ""
    last = kept.get(way)
    pruned = not last.intact if last is not None else back is not None and facts.current not in (None, way)
    found += [
        Finding(
            subject, Verdict.WARN, f"{target.name}: {words}", f"qd deploy or qd rollback {target.name} puts it right"
        )
        for words in facts.drift
        if not (pruned and words.startswith(f"the image of {way}, "))  # told below
    ]
    if facts.left:
        found.append(
            Finding(
                subject,
                Verdict.WARN,
                f"{target.name}: work that was cut short has left {', '.join(facts.left)}",
                f"the next rollout that succeeds removes it; by hand: docker {'service rm' if swarm else 'rm -v'} {' '.join(facts.left)}",
            )
        )
    if pruned:
        location = (
            back.artifact.location if back is not None else _location(last.manifest if last is not None else None)
        )
        found.append(
            Finding(
                subject,
                Verdict.WARN,
                f"{target.name}: the image of {way}, the way back, "
                + ("can't be fetched any more" if swarm else "is not on the engine any more"),
                f"push it to the registry again: {location}"
                if swarm
                else f"a rollback has to fetch it: docker pull {location}"
                if "@" in location
                else "a rollback has to bring it from the engine that has the images",
            )
        )
    return found


def _location(manifest: object) -> str:
    match manifest:
        case {"release": {"artifact": {"location": str(location)}}}:
            return location
    return ""
