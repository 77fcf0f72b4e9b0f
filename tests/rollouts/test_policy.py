"""What must hold before a release may go out."""

from quarterdeck.config.model import Commands, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.rollouts.policy import Sighting, refusal

RELEASE = Release(
    "production/web", "v2", ResolvedArtifact("/a/web-v2.tgz", "b" * 64), "/srv/web", Runner(commands=Commands("a", "b"))
)
NOW = "2026-11-23T12:00:00.000Z"


def ask(
    *,
    verdict: str = "untried",
    force: bool = False,
    after: str | None = None,
    soak: float = 0.0,
    seen: Sighting | None = None,
    overridden: frozenset[str] = frozenset(),
) -> str | None:
    return refusal(
        RELEASE,
        verdict=verdict,
        verdict_reason="5xx",
        force=force,
        after=after,
        soak=soak,
        seen_there=seen,
        now=NOW,
        overridden=overridden,
    )


def test_a_release_that_was_bad_goes_out_again_only_by_force() -> None:
    assert "marked bad (5xx)" in (ask(verdict="bad") or "")
    assert ask(verdict="bad", force=True) is None
    assert ask(verdict="good") is None


def test_only_what_succeeded_in_the_environment_before_may_follow() -> None:
    good = Sighting("b" * 64, "good", "2026-11-23T10:00:00.000Z")
    assert ask(after="staging/web", seen=good) is None
    assert "nothing has run there" in (ask(after="staging/web") or "")
    other = Sighting("c" * 64, "good", good.since)
    assert "is not what runs there" in (ask(after="staging/web", seen=other) or "")
    bad = Sighting("b" * 64, "bad", good.since)
    assert "is bad there" in (ask(after="staging/web", seen=bad) or "")
    assert ask(after="staging/web", overridden=frozenset({"after"})) is None


def test_soak_is_counted_from_when_it_succeeded_there() -> None:
    seen = Sighting("b" * 64, "good", "2026-11-23T11:00:00.000Z")
    assert "3600 s of the 7200 s" in (ask(after="staging/web", soak=7200, seen=seen) or "")
    assert ask(after="staging/web", soak=3600, seen=seen) is None
