"""How a wish is refused: what operators are told who ask for what policy, a role or another rollout does not let them have."""

from collections.abc import Sequence

from quarterdeck.history.records import Rollout


class Refused(Exception):
    """A policy, a role or somebody else's rollout says no. ``why`` and ``advice`` are sentences without a full stop."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(f"{why}; {advice}" if advice else why)
        self.why = why
        self.advice = advice


class UnknownPart(Refused):
    """The target has no such host or release: a mistake in what was typed, no policy."""


class UnknownTarget(Exception):
    """No such target in the fleet; ``nearest`` are names that look like it."""

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"there is no target {name!r} in the fleet file{hint}")
        self.name = name
        self.nearest = tuple(nearest)


def busy(active: Rollout) -> str:
    """Who holds the target, in words that the loser of a race is told."""
    version = f" of {active.to_release}" if active.to_release else ""
    what = f"rollout {active.id} ({active.kind}{version})"
    return f"{active.target} is busy: {what} by {active.requested_by} is {active.state.words}"
