"""What a rollback finds done by hooks of the releases that it leaves: asked of the journal alone, when its plan is made and at its end."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import HalfWay, Rollout, RolloutKind
from quarterdeck.rollouts.plans.plan import Plan
from quarterdeck.rollouts.plans.undoing import Left, left, stays
from quarterdeck.rollouts.way_back.old_secrets import old_secrets


def left_behind(
    reader: Journal, rollout: Rollout, to: str, leaving: str | None, known: Mapping[str, Release]
) -> list[Left]:
    """The releases of which something is to be undone, the last to come first: ``leaving``, and those of whatever began since the last
    rollout that succeeded. None while other hosts go on with them. Raises JournalError.

    Of the release that the target runs as a whole all of its past counts; of any other only what was done since that last success: what
    its hooks did when it was deployed long ago is what newer releases stand on."""
    if rollout.partial:
        return []
    half_way = reader.half_way(rollout.target, other_than=rollout.id)
    settles = bool(rollout.options.get("settle"))
    if settles and rollout.options.get("only") and not _goes_on(half_way, to):
        return []  # hosts that are owed follow the others: nothing is left
    came = [*_came(half_way), *([leaving] if leaving else [])]
    wanted = [known[name] for name in dict.fromkeys(came) if name != to and name in known and known[name].hooks.every]
    if not wanted:
        return []
    since = {rollout.id, *(past.id for past in half_way)}
    current = reader.current_release(rollout.target)
    found = []
    for release in wanted:
        declared = release.id == leaving and not reader.first_brought(rollout.target, release.id)
        steps = reader.hook_steps(rollout.target, release.id)
        if release.id != current and not declared:
            steps = [step for step in steps if step.rollout in since]
        one = left(release.id, release.hooks, steps, declared=declared)
        if one.declared or one.standing:
            found.append(one)
    return found


def not_undone(undo: Sequence[Left], plan: Plan) -> list[str]:
    """Warnings: what ran and stays as it is when ``plan`` was carried out."""
    undone = [{"host": step.host, **step.body} for step in plan.steps if step.body.get("reverse")]
    found = [f"hook {hook.run!r} of {one.release} can't be reversed" for one in undo for hook in one.irreversible]
    for one in undo:
        for ran in stays(one, undone):
            why = f"{ran.host} can't be asked, or has no copy of the release"
            found.append(f"hook {one.hook(ran).run!r} of {one.release} ran on {ran.host} and is not undone: {why}")
    return list(dict.fromkeys(found))


async def printable(
    releases: Iterable[str], known: Mapping[str, Release], base: Path, read: set[str]
) -> list[SecretValues]:
    """Values that the reverse hooks of the ``releases`` that are left can print, in whose environment they run. ``read``: those whose
    values were given already; these are added."""
    new = [known[name] for name in dict.fromkeys(releases) if name in known and name not in read]
    read.update(release.id for release in new)
    prints = [release for release in new if any(hook.on_rollback for hook in release.hooks.every)]
    return [(await old_secrets(release, base)).readable for release in prints]


def _goes_on(half_way: Sequence[HalfWay], to: str) -> bool:
    """Whether the last to begin was a rollback to the same release, which did not come to its end."""
    return bool(half_way) and half_way[0].kind is RolloutKind.ROLLBACK and half_way[0].to_release == to


def _came(half_way: Sequence[HalfWay]) -> list[str]:
    found = []
    for past in half_way:
        if past.kind is RolloutKind.DRILL:
            break  # it was practised on a target that was whole
        release = {RolloutKind.DEPLOY: past.to_release, RolloutKind.ROLLBACK: past.from_release}.get(past.kind)
        if release is not None:
            found.append(release)
    return found
