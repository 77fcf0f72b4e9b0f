"""What must hold before a release may go out. Pure: told what is known, it answers with the sentence that refuses, or
None."""

from collections.abc import Set
from enum import StrEnum

import msgspec

from quarterdeck.config.release import Release
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


def refusal(
    release: Release,
    *,
    verdict: str,
    verdict_reason: str,
    force: bool,
    after: str | None,
    soak: float,
    before: Sighting,
    overridden: Set[str],
    frozen: Frozen | None = None,
) -> str | None:
    """Why ``release`` may not be deployed: it was bad before, its environment is frozen, or it has not succeeded (long enough) in the
    environment before."""
    if verdict == "bad" and not force:
        return (
            f"release {release.id} was marked bad ({verdict_reason or 'no reason recorded'}); "
            "to ship it all the same: --force --reason …"
        )
    if frozen is not None and "freeze" not in overridden:
        return f"{frozen_words(release.target, frozen)}; wait for its end, or: --override freeze --reason …"
    if after is None or "after" in overridden:
        return None
    override = "or: --override after --reason …"
    if "bad" in (verdict, before.verdict):  # then the way is another release, not this one once more
        instead = f"good there: {', '.join(before.good)}" if before.good else "make a new version"
        way = f"{instead}; {override}"
    else:
        way = f"ship it there first, {override}"
    rule = f"{release.target} takes only what has succeeded in {after}"
    if before.verdict is None:
        there = f"this {release.version} has not: {before.now} runs there" if before.now else "nothing has run there"
        return f"{rule}, and {there}; {way}"
    if before.verdict != "good":
        return f"{rule}, and {release.version} is {before.verdict} there; {way}"
    if before.ran < soak:
        return (
            f"{release.version} has run in {after} for {int(before.ran)} s of the {int(soak)} s "
            f"that {release.target} asks for; wait for the rest, {override}"
        )
    return None


def frozen_words(target: str, frozen: Frozen) -> str:
    """``production is frozen until …``; a rollback is not concerned."""
    return f"{target.partition('/')[0]} is frozen {frozen.words}"


class WayRound(StrEnum):
    """What sets a refusal aside; always with a reason."""

    FORCE = "--force"
    AFTER = "--override after"
    FREEZE = "--override freeze"

    @property
    def words(self) -> str:
        match self:
            case WayRound.FORCE:
                return "that the release was marked bad"
            case WayRound.AFTER:
                return "the order of the environments"
            case WayRound.FREEZE:
                return "the freeze"

    @property
    def policy(self) -> str | None:
        """The word behind ``--override``; None: it is another option."""
        return None if self is WayRound.FORCE else self.value.rpartition(" ")[2]


OVERRIDES = tuple(way.policy for way in WayRound if way.policy is not None)


def way_round(refused: str) -> WayRound | None:
    """What would set aside a refusal that ``refusal`` worded; None: nothing does."""
    return next((way for way in WayRound if f"{way} --reason" in refused), None)
