"""What must hold before a release may go out. Pure: told what is known, it answers with what speaks against it, and with the sentence that
refuses where that is not set aside."""

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from typing import Any

import msgspec

from quarterdeck.config.release import Release
from quarterdeck.history.records import Event, Rollout
from quarterdeck.rollouts.freezes import Frozen


class Sighting(msgspec.Struct, frozen=True):
    """What the environment before says of an artifact. ``verdict`` None: it has not been there. ``ran``: the seconds that it
    was left running there as what is good, at the longest. ``now``: the version that runs there, None: nothing. ``good``: other
    versions that are good there, the newest first."""

    verdict: str | None
    ran: float
    now: str | None
    good: tuple[str, ...] = ()


NOTHING_BEFORE = Sighting(None, 0.0, None)


class WayRound(StrEnum):
    """What sets a refusal aside; always with a reason."""

    FORCE = "--force"
    AFTER = "--override after"
    FREEZE = "--override freeze"
    REQUIRE = "--override require"
    QUEUE = "--override queue"

    @property
    def words(self) -> str:
        match self:
            case WayRound.FORCE:
                return "that the release was marked bad"
            case WayRound.AFTER:
                return "the order of the environments"
            case WayRound.FREEZE:
                return "the freeze"
            case WayRound.REQUIRE:
                return "what is required there"
            case WayRound.QUEUE:
                return "the queue"

    @property
    def policy(self) -> str | None:
        """The word behind ``--override``; None: it is another option."""
        return None if self is WayRound.FORCE else self.value.rpartition(" ")[2]

    @property
    def recorded(self) -> str:
        """``policy`` of the event ``override``."""
        return self.policy or "verdict"


OVERRIDES = tuple(way.policy for way in WayRound if way.policy is not None)


class Objection(msgspec.Struct, frozen=True):
    """What speaks against a deploy. ``why``: the fact alone, as it is recorded where it is set aside; ``refusal``: for whom it refuses."""

    way: WayRound
    why: str
    refusal: str

    def is_set_aside(self, *, force: bool, overridden: Set[str]) -> bool:
        return force if self.way is WayRound.FORCE else self.way.policy in overridden


def objections(
    release: Release,
    *,
    verdict: str,
    verdict_reason: str,
    after: str | None,
    soak: float,
    before: Sighting,
    frozen: Frozen | None = None,
) -> list[Objection]:
    """Why ``release`` should not be deployed: it was bad before, its environment is frozen, or it has not succeeded (long enough) in the
    environment before."""
    found = []
    if verdict == "bad":
        found.append(marked_bad(release, verdict_reason))
    if frozen is not None:
        told = f"{frozen_words(release.target, frozen)}; wait for its end, or: --override freeze --reason …"
        found.append(Objection(WayRound.FREEZE, frozen.words, told))
    if after is not None and (early := _too_early(release, verdict, after, soak, before)) is not None:
        found.append(early)
    return found


def marked_bad(release: Release, verdict_reason: str) -> Objection:
    why = f"release {release.id} was marked bad ({verdict_reason or 'no reason recorded'})"
    return Objection(WayRound.FORCE, why, f"{why}; to ship it all the same: --force --reason …")


def aside_words(override: Mapping[str, Any], was: str = "") -> str:
    """Of the body of an event ``override``: ``freeze (until Mon 2026-11-30 08:00 Europe/Berlin (07:00Z): weekend)``; ``was`` comes before
    the bracket."""
    what = override.get("words") or override.get("frozen")
    return f"{override.get('policy')}{was}{f' ({what})' if what else ''}"


def set_aside(rollout: Rollout, events: Iterable[Event]) -> list[str]:
    """What was in the way of ``rollout`` and does not hold it up, one line each: for who has to agree to it. ``events``: of it."""
    told = [event.body for event in events if event.kind == "override"]
    options = rollout.options
    queue = WayRound.QUEUE.recorded
    if (
        options.get("max_parallel")
        and queue in (options.get("override") or ())
        and all(one.get("policy") != queue for one in told)
    ):
        told.append({"policy": queue, "words": "it begins before whoever waits for a turn"})
    return [aside_words(one) for one in told]


def refusal(found: Iterable[Objection], *, force: bool, overridden: Set[str], command: str = "") -> str | None:
    """The first one that is not set aside, in a sentence; None: it may go out. ``command``: see ``with_command``."""
    standing = (one for one in found if not one.is_set_aside(force=force, overridden=overridden))
    return next((with_command(one.refusal, command) for one in standing), None)


def with_command(words: str, command: str) -> str:
    """``words`` of a refusal with ``command`` in front of the options that they name: for who asked by another command, which has none of
    them (``qd retry``). Empty: the command that was asked by has them."""
    if not command:
        return words
    for option in (*(f"{way} --reason" for way in WayRound), "--supersede"):
        words = words.replace(option, f"{command} {option}")
    return words


def way_closed(release: Release, why: str) -> Objection:
    """There is no way back from ``release``, and its environment requires one. ``why``: what is in the way."""
    rule = f"{release.target} takes only what there is a way back from, and {why}"
    return Objection(
        WayRound.REQUIRE, why, f"{rule}; nothing was changed; put that right, or: --override require --reason …"
    )


def drill_too_old(release: Release, why: str) -> Objection:
    """Its environment requires that the rollback was practised lately. ``why``: how it is, as in ``its rollback was never practised``."""
    rule = f"{release.target} takes only what can surely be taken back, and {why}"
    return Objection(
        WayRound.REQUIRE,
        why,
        f"{rule}; nothing was changed; practise it: qd drill {release.target}, or: --override require --reason …",
    )


def build_not_passed(release: Release, why: str) -> Objection:
    """``release`` is not known to come of a build that has passed, and its environment requires one."""
    rule = f"{release.target} takes only what was built and has passed, and {why}"
    return Objection(
        WayRound.REQUIRE, why, f"{rule}; nothing was changed; put that right, or: --override require --reason …"
    )


def _too_early(release: Release, verdict: str, after: str, soak: float, before: Sighting) -> Objection | None:
    override = "or: --override after --reason …"
    if "bad" in (verdict, before.verdict):  # then the way is another release, not this one once more
        instead = f"good there: {', '.join(before.good)}" if before.good else "make a new version"
        way = f"{instead}; {override}"
    else:
        way = f"ship it there first, {override}"
    rule = f"{release.target} takes only what has succeeded in {after}"
    if before.verdict is None:
        there = f"this {release.version} has not: {before.now} runs there" if before.now else "nothing has run there"
        why = f"{rule}, and {there}"
    elif before.verdict != "good":
        why = f"{rule}, and {release.version} is {before.verdict} there"
    elif before.ran < soak:
        why = (
            f"{release.version} has run in {after} for {int(before.ran)} s of the {int(soak)} s "
            f"that {release.target} asks for"
        )
        way = f"wait for the rest, {override}"
    else:
        return None
    return Objection(WayRound.AFTER, why, f"{why}; {way}")


def frozen_words(target: str, frozen: Frozen) -> str:
    """``production is frozen until …``; a rollback is not concerned."""
    return f"{target.partition('/')[0]} is frozen {frozen.words}"


def way_round(refused: str) -> WayRound | None:
    """What would set aside a refusal that ``refusal`` worded; None: nothing does."""
    return next((way for way in WayRound if f"{way} --reason" in refused), None)
