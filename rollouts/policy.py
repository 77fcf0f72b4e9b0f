"""What must hold before a release may go out. Pure: told what is known, it answers with the sentence that refuses, or
None."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from quarterdeck.config.release import Release


@dataclass(frozen=True, slots=True)
class Sighting:
    """What runs in the environment before: artifact digest, verdict, and since when it is good (ISO 8601)."""

    sha256: str
    verdict: str
    since: str | None


def refusal(
    release: Release,
    *,
    verdict: str,
    verdict_reason: str,
    force: bool,
    after: str | None,
    soak: float,
    seen_there: Sighting | None,
    now: str,
    overridden: Set[str],
) -> str | None:
    """Why ``release`` may not be deployed: it was bad before, or has not succeeded (long enough) in the environment
    before."""
    if verdict == "bad" and not force:
        return (
            f"release {release.id} was marked bad ({verdict_reason or 'no reason recorded'}); "
            "to ship it all the same: --force --reason …"
        )
    if after is None or "after" in overridden:
        return None
    way = "ship it there first, or: --override after --reason …"
    rule = f"{release.target} takes only what has succeeded in {after}"
    if seen_there is None:
        return f"{rule}, and nothing has run there; {way}"
    if seen_there.sha256 != release.artifact.sha256:
        return f"{rule}, and {release.version} is not what runs there; {way}"
    if seen_there.verdict != "good":
        return f"{rule}, and {release.version} is {seen_there.verdict} there; {way}"
    if soak and seen_there.since is not None:
        ran = (_time(now) - _time(seen_there.since)).total_seconds()
        if ran < soak:
            return (
                f"{release.version} has run in {after} for {int(max(ran, 0))} s of the {int(soak)} s "
                f"that {release.target} asks for; {way}"
            )
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class WayRound(StrEnum):
    """What sets a refusal aside; always with a reason."""

    FORCE = "--force"
    AFTER = "--override after"

    @property
    def words(self) -> str:
        return "that the release was marked bad" if self is WayRound.FORCE else "the order of the environments"


def way_round(refused: str) -> WayRound | None:
    """What would set aside a refusal that ``refusal`` worded; None: nothing does."""
    return next((way for way in WayRound if f"{way} --reason" in refused), None)
