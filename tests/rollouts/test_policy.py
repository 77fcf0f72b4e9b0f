"""What must hold before a release may go out."""

from quarterdeck.config.model import Commands, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.rollouts.policy import NOTHING_BEFORE, Sighting, WayRound, objections, refusal, way_round

RELEASE = Release(
    "production/web", "v2", ResolvedArtifact("/a/web-v2.tgz", "b" * 64), "/srv/web", Runner(commands=Commands("a", "b"))
)


def ask(
    *,
    verdict: str = "untried",
    force: bool = False,
    after: str | None = None,
    soak: float = 0.0,
    before: Sighting = NOTHING_BEFORE,
    overridden: frozenset[str] = frozenset(),
) -> str | None:
    found = objections(RELEASE, verdict=verdict, verdict_reason="5xx", after=after, soak=soak, before=before)
    return refusal(found, force=force, overridden=overridden)


def test_a_release_that_was_bad_goes_out_again_only_by_force() -> None:
    assert "marked bad (5xx)" in (ask(verdict="bad") or "")
    assert ask(verdict="bad", force=True) is None
    assert ask(verdict="good") is None


def test_only_what_succeeded_in_the_environment_before_may_follow() -> None:
    assert ask(after="staging/web", before=Sighting("good", 1.0, "v2")) is None
    assert ask(after="staging/web", before=Sighting("good", 1.0, "v3")) is None, "proven there, and followed by another"
    assert "nothing has run there" in (ask(after="staging/web") or "")
    assert "this v2 has not: v1 runs there" in (ask(after="staging/web", before=Sighting(None, 0.0, "v1")) or "")
    assert "ship it there first" in (ask(after="staging/web", before=Sighting(None, 0.0, "v1")) or "")
    assert ask(after="staging/web", overridden=frozenset({"after"})) is None


def test_nobody_is_told_to_ship_a_bad_release() -> None:
    there = ask(after="staging/web", before=Sighting("bad", 0.0, "v1", ("v1", "v0"))) or ""
    assert "v2 is bad there; good there: v1, v0; or: --override after" in there
    here = ask(verdict="bad", force=True, after="staging/web", before=Sighting(None, 0.0, "v1", ("v1",))) or ""
    assert "this v2 has not: v1 runs there; good there: v1; or: --override after" in here
    none = ask(after="staging/web", before=Sighting("bad", 0.0, "v2")) or ""
    assert "make a new version; or: --override after" in none
    for told in (there, here, none):
        assert "ship it" not in told
        assert way_round(told) is WayRound.AFTER


def test_soak_is_counted_from_when_it_succeeded_there() -> None:
    seen = Sighting("good", 3600.0, "v2")
    assert "3600 s of the 7200 s" in (ask(after="staging/web", soak=7200, before=seen) or "")
    assert "wait for the rest" in (ask(after="staging/web", soak=7200, before=seen) or "")
    assert ask(after="staging/web", soak=3600, before=seen) is None
