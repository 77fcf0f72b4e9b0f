"""What an engine says of a target: what is live, what could be gone back to, and what was changed behind our back. Changes nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quarterdeck.backends.hosts.contract import KeptRelease, TargetFacts
from quarterdeck.backends.hosts.docker import names, secret_files
from quarterdeck.backends.hosts.docker.looking import Body, Container, Seen, inspect, look, together
from quarterdeck.backends.hosts.docker.register import State
from quarterdeck.backends.hosts.docker.spec import restart_policy
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release, release_from_json

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

T = TypeVar("T")
_AT_WORK: Final = 900.0  # seconds that a container may be in the making


async def read_facts(engine: "Engine", target: str, release: Release | None, *, deadline: float) -> TargetFacts:
    action = f"read what runs of {target}"

    async def ask(function: "Callable[[docker.APIClient], T]") -> T:
        return await engine.call(action, function, deadline=deadline)

    name = names.live_name(release) if release is not None else ""
    (seen, holder), images = await together(
        together(look(engine, target, action, deadline=deadline), _holder(engine, action, name, deadline)),
        ask(lambda client: client.images(all=True)),
    )
    foreign = ""
    if holder is not None and (holder["Config"].get("Labels") or {}).get(names.TARGET) != target:
        foreign = foreign_holder(name, str(holder["Config"].get("Image")))
    return (await facts_of(engine, target, seen, digests(images), foreign, deadline=deadline))[0]


def foreign_holder(name: str, image: str) -> str:
    """In the words of drift."""
    return f"the name {name} is held by a container that is not ours ({image})"


async def facts_of(
    engine: "Engine", target: str, seen: Seen, there: Mapping[str, str], foreign: str, *, deadline: float
) -> tuple[TargetFacts, Body | None, Sequence[Body]]:
    """What ``seen`` means, and the live container as the engine has it now, alone and with what runs beside it. ``there``: ``digests`` of
    its images; ``foreign``: who else holds the live name, in words."""
    action = f"read what runs of {target}"

    async def ask(function: "Callable[[docker.APIClient], T]") -> T:
        return await engine.call(action, function, deadline=deadline)

    seen, bodies = await _as_they_are(engine, action, seen, deadline)
    live = seen.live
    body = bodies.get(live.id) if live is not None else None
    kept = _kept(seen, there)
    gone = [
        f"the image of {one.release}, which is good, is not on the engine"
        for one in kept
        if not one.intact and one.release in seen.state.good and one.manifest is not None
    ]
    for container in seen.containers:
        spec = container.spec
        if names.SECRETS not in container.labels or spec is None or not container.is_complete:
            continue
        if await secret_files.are_there(ask, container.id, spec):
            continue
        # One that is being removed is not told of: its files go after it.
        if await inspect(engine, action, container.id, deadline=deadline) is not None:
            gone.append(f"the secret files of {container.release} are gone with the host's memory: it was restarted")
    changed = _drift(seen, body)
    mismatch = _mismatch(seen, bodies, there)
    drift = [*changed, *gone]  # no reason to refuse a rollout: it puts that right
    if mismatch:
        drift.append(mismatch)
    if foreign:
        drift.append(foreign)
    facts = TargetFacts(
        current=seen.current,
        running=live is not None and live.state == "running",
        kept=kept,
        epoch=seen.epoch,
        holder=seen.state.holder,
        anchor=seen.state.anchor,
        good=seen.state.good,
        bad=seen.state.bad,
        free_bytes=None,
        drift=tuple(drift),
        as_started=not changed,
        left=_left(seen),
        fleet=live.labels.get(names.FLEET, "") if live is not None else "",
        mismatch=mismatch,
    )
    return facts, body, [one for one in bodies.values() if one is not None]


async def _as_they_are(
    engine: "Engine", action: str, seen: Seen, deadline: float
) -> tuple[Seen, Mapping[str, Body | None]]:
    """The live container, and what runs beside it, as they are now: the engine tells that one has ended before its list has that."""
    bodies: dict[str, Body | None] = {}
    containers = []
    for one in seen.containers:
        if one.is_live or one.runs:
            body = bodies[one.id] = await inspect(engine, action, one.id, deadline=deadline)
            if body is None:
                continue  # removed since
            containers.append(replace(one, state=body["State"].get("Status", one.state)))
        else:
            containers.append(one)
    return replace(seen, containers=tuple(containers)), bodies


async def _holder(engine: "Engine", action: str, name: str, deadline: float) -> Body | None:
    """What has the live name, whoever's it is."""
    return await inspect(engine, action, name, deadline=deadline) if name else None


def digests(images: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Images' ids by their digests in registries, and by themselves."""
    found = {name.rpartition("@")[2]: one["Id"] for one in images for name in one.get("RepoDigests") or []}
    return found | {one["Id"]: one["Id"] for one in images}


def _manifests(seen: Seen) -> dict[str, Mapping[str, Any] | None]:
    """By release, as the register has them, and labels where it does not."""
    found: dict[str, Mapping[str, Any] | None] = {
        one.release: one.manifest for one in reversed(seen.containers) if one.is_complete
    }
    return {**found, **seen.state.releases}


def _mismatch(seen: Seen, bodies: Mapping[str, Body | None], there: Mapping[str, str]) -> str:
    """What runs in the name of a release and is of another image, in words: labels stay where somebody makes it anew. Told only where the
    engine lists both images, as two: one whose digest was removed is no other."""
    manifests = _manifests(seen)
    for one in seen.running:
        if not one.is_complete:
            continue  # another name: it is told of as running as well
        own = there.get(_digest(manifests.get(one.release)))
        if own is not None and one.image != own and there.get(one.image) == one.image:
            name = ((bodies.get(one.id) or {}).get("Config") or {}).get("Image") or one.image
            return f"a container in the name of {one.release} is of {clean(str(name))}"
    return ""


def _kept(seen: Seen, there: Mapping[str, str]) -> tuple[KeptRelease, ...]:
    containers: dict[str, Container] = {}
    for one in seen.containers:
        if one.is_complete:
            containers.setdefault(one.release, one)
    return tuple(
        KeptRelease(
            release,
            is_sound(release, manifest)
            and ((release in containers and containers[release].image in there) or _digest(manifest) in there),
            manifest,
            release in containers,
        )
        for release, manifest in _manifests(seen).items()
    )


def is_sound(release: str, manifest: Mapping[str, Any] | None) -> bool:
    """Whether it is the manifest of that very release: its hash says so."""
    try:
        found = release_from_json(manifest["release"]) if manifest is not None else None
    except (KeyError, ValueError, TypeError):
        return False
    return found is not None and manifest is not None and found.id == release and manifest.get("digest") == found.digest


def _digest(manifest: Mapping[str, Any] | None) -> str:
    try:
        return f"sha256:{manifest['release']['artifact']['sha256']}" if manifest is not None else ""
    except (KeyError, TypeError):
        return ""


def _other_policy(live: Container, body: Body) -> str:
    """Nobody notices it before the engine's next start, when the container stays down, or comes up though it should not."""
    has = ((body.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    should = restart_policy(live.spec)["Name"] if live.spec is not None else has
    return f"{live.name} has the restart policy {has}, and its release says {should}" if has != should else ""


def _left(seen: Seen) -> tuple[str, ...]:
    """Containers that were never finished, and helpers that outlived their work. What is young may be at work."""
    unfinished = [*seen.aside, *(one for one in seen.containers if not one.is_complete)]
    return tuple(one.name for one in unfinished if not one.runs and time.time() - one.created > _AT_WORK)


def _not_the_one(live: Container, state: State) -> str:
    if state.wanted == live.release != state.current:
        return f"a switch to {live.release} was begun here and is not ended"
    return f"the container {live.name} is not the one that was started: somebody has made it anew"


def _to_seconds(time: object) -> str:
    """The engine tells nanoseconds."""
    head, dot, _ = str(time).partition(".")
    return f"{head}Z" if dot else head


def _drift(seen: Seen, body: Body | None) -> list[str]:
    live, started = seen.live, seen.state.started
    found: list[str] = []
    if live is not None and body is not None:
        state = body["State"]
        if started and started.get("id") != live.id:
            found.append(_not_the_one(live, seen.state))
        elif started and state.get("Running") and started.get("at") != state.get("StartedAt"):
            found.append(f"{live.name} was started again at {_to_seconds(state.get('StartedAt'))}, not by qd")
        elif started and not live.runs:
            found.append(f"{live.name} does not run: it ended with status {state.get('ExitCode')}")
        if body.get("RestartCount"):
            found.append(f"the engine has restarted {live.name} {body['RestartCount']} times")
        if state.get("OOMKilled"):
            found.append(f"{live.name} was killed for want of memory")
        if live.state in ("paused", "restarting"):
            found.append(f"{live.name} is {live.state}")
        if started.get("id") == live.id and live.runs and (odd := _other_policy(live, body)):
            found.append(odd)
        manifest = seen.state.releases.get(live.release)
        if manifest is not None and manifest.get("digest") != live.labels.get(names.DIGEST):
            found.append(f"{live.name} is labelled as another release than {live.release}")
    elif live is None and started:
        found.append("the container that was live is gone, or has another name")
    for one in seen.running:
        if live is None or one.id != live.id:
            found.append(f"{one.name} ({one.release}) runs as well")
    return found
