"""What comes after a rollout: the good and the bad are remembered, and what nobody goes back to is removed."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quarterdeck.backends.errors import CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker import making, names
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Seen
from quarterdeck.backends.hosts.docker.register import State, from_label


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be kept. ``warm``: containers of earlier releases, ``prune_to``: images of further ones."""

    release: str
    keep: frozenset[str]
    good: bool
    bad: tuple[str, ...]
    prune_to: int
    warm: int


@dataclass(frozen=True, slots=True)
class Sorting:
    """What becomes of each release that a host remembers. ``protected``: never removed; ``old``: the ids of the others, the newest first;
    ``leaving``: those that go."""

    protected: frozenset[str]
    old: tuple[str, ...]
    leaving: frozenset[str]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    remaining: Mapping[str, Mapping[str, Any]]  # manifests by id

    def outcome(self, current: str | None) -> dict[str, Any]:
        """``removed``: ids of releases that can't be gone back to any more; and what is remembered from now on."""
        return {
            "removed": [id for id in self.old if id in self.leaving],
            "state": {
                "current": current or "",
                "good": self.good,
                "bad": self.bad,
                "releases": self.remaining,
            },
        }


def sorted_out(
    state: State,
    wish: Wish,
    current: str | None,
    every: Mapping[str, Mapping[str, Any] | None],
    running: Collection[str],
) -> Sorting:
    """``every``: manifests by id, the oldest first. What runs is never removed."""
    good = [one for one in state.good if one not in wish.bad and not (wish.good and one == wish.release)]
    last_good = next((one for one in reversed(good) if one not in (current, wish.release)), "")
    bad = [one for one in state.bad if one not in wish.bad and not (wish.good and one == wish.release)]
    protected = {wish.release, last_good, *wish.keep, *([current] if current else [])}
    old = tuple(id for id in reversed([*every]) if id not in protected)
    leaving = set(old[max(0, wish.prune_to) :]) - set(running)
    # Of one that the register has lost, its own manifest is taken over: the container may go, and its image stay.
    remaining = {id: body for id, body in every.items() if id not in leaving and body is not None}
    return Sorting(
        frozenset(protected),
        old,
        frozenset(leaving),
        (*good, wish.release) if wish.good else tuple(good),
        (*bad, *wish.bad),
        remaining,
    )


async def finish(gate: Gate, seen: Seen, wish: Wish) -> dict[str, Any]:
    """``removed``: ids of releases that can't be gone back to any more. A removal that fails, fails nothing: it is tried again."""
    every = _all_releases(seen)
    sorting = sorted_out(seen.state, wish, seen.current, every, {one.release for one in seen.running})
    await _remove_containers(gate, seen, sorting.protected, sorting.leaving, wish.warm)
    await _remove_left_over(gate, seen)
    await _remove_images(gate, [_location(every[id]) for id in sorting.leaving], sorting.remaining)
    return sorting.outcome(seen.current)


async def clear(gate: Gate, seen: Seen) -> dict[str, Any]:
    """Everything of the target goes, but the register with its epoch. Raises CommandFailed while one of its containers runs."""
    running = [one.name for one in seen.containers if one.runs]
    if running or seen.live is not None:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"{', '.join(running) or 'its container'} is there and may run",
            exit_status=None,
            left="Nothing was removed",
        )
    every = _all_releases(seen)
    for one in seen.containers:
        await making.remove(gate, one)
    await _remove_left_over(gate, seen)
    # What no registry has may be the last copy, which other environments' hosts are still to be sent: it is never removed here.
    fetchable = [place for body in every.values() if not (place := _location(body)).startswith("sha256:")]
    await _remove_images(gate, fetchable, {})
    return {"state": {"current": "", "good": (), "bad": (), "releases": {}, "started": {}}}


def _all_releases(seen: Seen) -> dict[str, Mapping[str, Any] | None]:
    return remembered(seen.state, [(one.release, one.manifest) for one in seen.containers])


def remembered(
    state: State, there: Sequence[tuple[str, Mapping[str, Any] | None]]
) -> dict[str, Mapping[str, Any] | None]:
    """Manifests by id, the oldest first. ``there``: ids and manifests of what is on the host, the newest first: what the register does not
    know of (it was pruned) is the oldest."""
    found = {release: manifest for release, manifest in reversed(there) if release not in state.releases}
    return {**found, **state.releases}


async def _remove_containers(
    gate: Gate, seen: Seen, protected: Collection[str], leaving: Collection[str], warm: int
) -> None:
    kept = 0
    stopped = [one for one in seen.containers if not one.runs and not one.is_live]
    for one in stopped:  # those that are always kept count first
        kept += one.is_complete and one.release in protected and one.release != seen.current
    for one in stopped:
        if one.is_complete and one.release in protected:
            continue
        if one.is_complete and one.release not in leaving and kept < warm:
            kept += 1
            continue
        await _tried(making.remove(gate, one))


async def _remove_left_over(gate: Gate, seen: Seen) -> None:
    """Containers of hooks and carriers of secrets whose worker died. Secret files go with their carrier where no container has them."""
    in_use = {one.labels[names.SECRETS] for one in seen.containers if names.SECRETS in one.labels}
    for one in await gate.others():
        if one.runs:
            continue
        if one.labels.get(names.SECRETS, "") in in_use:
            await _tried(_remove_only(gate, one.id))
        else:
            await _tried(making.remove(gate, one))


async def _remove_only(gate: Gate, container: str) -> None:
    await gate.act_if_there(lambda client: client.remove_container(container, v=True))


async def _remove_images(gate: Gate, leaving: Sequence[str], remaining: Mapping[str, Mapping[str, Any]]) -> None:
    """Images by the names that releases have for them, where no release of any target here needs them. The engine itself keeps what a
    container uses."""
    wanted = {one for one in leaving if one}
    if not wanted:
        return
    needed = {_location(body) for body in remaining.values()} | await _needed_by_others(gate)
    for location in sorted(wanted - needed):
        await _tried(_remove_image(gate, location))


async def _remove_image(gate: Gate, location: str) -> None:
    await gate.act_if_there(lambda client: client.remove_image(location), 409)


async def _needed_by_others(gate: Gate) -> set[str]:
    found: Mapping[str, Any] = await gate.ask(lambda client: client.volumes(filters={"label": [names.STATE]}))
    states: list[State] = []
    for volume in found.get("Volumes") or []:
        labels = volume.get("Labels") or {}
        state = from_label(labels.get(names.STATE, ""))
        if state is not None and labels.get(names.TARGET) != gate.fence.target:
            states.append(state)
    return {_location(body) for state in states for body in state.releases.values()}


def _location(manifest: Mapping[str, Any] | None) -> str:
    try:
        return str(manifest["release"]["artifact"]["location"]) if manifest else ""
    except (KeyError, TypeError):
        return ""


async def _tried(removal: Awaitable[object]) -> None:
    try:
        await removal
    except EngineRefused:
        return  # it is looked for again the next time
