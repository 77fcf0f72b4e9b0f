"""What happened in a rollout, in a few plain sentences. Pure."""

from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.outcome import seconds
from quarterdeck.rollouts.post_mortem.values import Linked, PostMortem
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.cli.times import duration


def sentences(found: PostMortem) -> list[str]:
    """What happened; when it showed; how long until it was well again, and by what."""
    told = [_what(found)]
    rollout = found.rollout
    if rollout.outcome and rollout.state is not RolloutState.SUCCEEDED:
        told.append(f"Why, in its own words: {rollout.outcome.rstrip('.')}.")
    if (seen := found.detected) is not None:
        since = "the rollout had succeeded" if _stayed(found) else "the first change"
        told.append(f"The first sign of trouble came {duration(seen.seconds)} after {since}: {seen.what.rstrip('.')}.")
    if (by := found.restored_by) is not None:
        told.append(_restored_by(by))
    elif found.restored_seconds is not None and rollout.state is RolloutState.ROLLED_BACK:
        back = _version(rollout.from_release, "what ran before")
        told.append(f"{back} was back {duration(found.restored_seconds)} after the first change.")
    told += [_restores(one) for one in found.restores]
    return told


def _stayed(found: PostMortem) -> bool:
    """Whether it was well until something else left it."""
    return found.rollout.state is RolloutState.SUCCEEDED and found.restored_by is not None


def _what(found: PostMortem) -> str:
    rollout = found.rollout
    target, to = rollout.target, _version(rollout.to_release, str(rollout.options.get("version") or "a release"))
    before = _version(rollout.from_release, "nothing")
    took = f" in {duration(took)}" if (took := seconds(rollout)) is not None else ""
    count = sum(one.state != "unchanged" for one in found.hosts)
    where = f" on {count} of {len(found.hosts)} host{'s' if len(found.hosts) != 1 else ''}" if found.hosts else ""
    if rollout.kind not in (RolloutKind.DEPLOY, RolloutKind.ROLLBACK):
        return f"A {rollout.kind} of {target}: {_words(rollout)}{took}."
    match rollout.state:
        case RolloutState.SUCCEEDED if rollout.kind is RolloutKind.ROLLBACK:
            return f"{target} went back from {before} to {to}{took}{where}."
        case RolloutState.SUCCEEDED:
            stay = " It did not stay." if found.restored_by is not None else ""
            return f"{target} went from {before} to {to}{took}{where}.{stay}"
        case RolloutState.ROLLED_BACK:
            return f"{to} was on its way to {target}, and was taken back{took}{where}."
        case RolloutState.FAILED:
            return f"The {rollout.kind} of {target} to {to} failed{took}, and was not wholly taken back."
        case RolloutState.CANCELLED:
            return f"The {rollout.kind} of {target} to {to} was cancelled before anything was changed."
        case RolloutState.SUPERSEDED:
            return f"The {rollout.kind} of {target} to {to} was overtaken by another rollout."
        case _:
            return f"The {rollout.kind} of {target} from {before} to {to} has not ended: it is {_words(rollout)}."


def _restored_by(by: Linked) -> str:
    after = f", {duration(by.seconds)} after the trouble can have begun" if by.seconds is not None else ""
    why = f" ({by.reason})" if by.reason else ""
    return f"Rollout {by.rollout}, a {by.kind} of {by.by}{why}, brought {_version(by.release, 'a release')}{after}."


def _restores(one: Linked) -> str:
    after = f", {duration(one.seconds)} after the trouble can have begun" if one.seconds is not None else ""
    return f"It made well what rollout {one.rollout} of {one.by} had broken with {_version(one.release, 'a release')}{after}."


def _version(release: str | None, otherwise: str) -> str:
    return version_of(release) or otherwise


def _words(rollout: Rollout) -> str:
    return str(rollout.state).replace("_", " ")
