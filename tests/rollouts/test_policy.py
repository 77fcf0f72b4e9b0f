"""What must hold before a release may go out."""

from datetime import UTC, datetime

from quarterdeck.config.model import Commands, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.rollouts.freezes import Frozen, Window
from quarterdeck.rollouts.policy import (
    NOTHING_BEFORE,
    OVERRIDES,
    Sighting,
    WayRound,
    objections,
    refusal,
    set_aside,
    way_closed,
    way_round,
    with_command,
)
from quarterdeck.tui.cli.parser import POLICIES
from tests.rollouts.test_telling import happened, rollout

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


def test_who_asked_by_a_command_without_these_options_is_told_which_has_them() -> None:
    found = objections(RELEASE, verdict="bad", verdict_reason="5xx", after=None, soak=0.0, before=NOTHING_BEFORE)
    told = refusal(found, force=False, overridden=frozenset(), command="qd deploy staging/web v2") or ""
    assert told.endswith("; to ship it all the same: qd deploy staging/web v2 --force --reason …")
    assert way_round(told) is WayRound.FORCE, "the control room still knows it"
    for words, whole in (
        ("wait for it, abort it, or use --supersede", "wait for it, abort it, or use qd deploy a/b v1 --supersede"),
        (
            "ship it there first, or: --override after --reason …",
            "ship it there first, or: qd deploy a/b v1 --override after --reason …",
        ),
        ("see: qd releases a/b", "see: qd releases a/b"),
    ):
        assert with_command(words, "qd deploy a/b v1") == whole
        assert with_command(words, "") == words


def test_soak_is_counted_from_when_it_succeeded_there() -> None:
    seen = Sighting("good", 3600.0, "v2")
    assert "3600 s of the 7200 s" in (ask(after="staging/web", soak=7200, before=seen) or "")
    assert "wait for the rest" in (ask(after="staging/web", soak=7200, before=seen) or "")
    assert ask(after="staging/web", soak=3600, before=seen) is None


def test_who_has_to_agree_sees_what_is_set_aside_the_queue_before_it_is_passed() -> None:
    asked = rollout(options={"max_parallel": 1, "override": ["freeze", "queue"]})
    frozen = happened(1, "override", policy="freeze", words="until Monday")
    passed = happened(2, "override", policy="queue", words="1 of 1 under way")
    assert set_aside(asked, [frozen]) == [
        "freeze (until Monday)",
        "queue (it begins before whoever waits for a turn)",
    ]
    assert set_aside(asked, [frozen, passed]) == ["freeze (until Monday)", "queue (1 of 1 under way)"]
    assert set_aside(rollout(options={"max_parallel": 1, "override": ["freeze"]}), []) == []


def test_what_is_set_aside_is_known_by_its_policy_and_each_is_an_option() -> None:
    by_hand = Window(datetime(2026, 11, 29, tzinfo=UTC), None, "UTC", "INC-77", "by maya", 1)
    until = Frozen((by_hand,), None)
    found = objections(
        RELEASE, verdict="bad", verdict_reason="5xx", after="staging/web", soak=0, before=NOTHING_BEFORE, frozen=until
    )
    closed = way_closed(RELEASE, "the way back is closed: web-2: no copy of v1")
    assert [one.way for one in (*found, closed)] == [WayRound.FORCE, WayRound.FREEZE, WayRound.AFTER, WayRound.REQUIRE]
    aside: set[str] = set()
    for one in (*found, closed):
        refused = refusal((*found, closed), force=WayRound.FORCE.value in aside, overridden=frozenset(aside))
        assert refused == one.refusal
        assert way_round(one.refusal) is one.way
        aside.add(one.way.policy or one.way.value)
    assert refusal((*found, closed), force=True, overridden=frozenset(aside)) is None
    assert OVERRIDES == POLICIES
    assert "web-2: no copy of v1; nothing was changed" in closed.refusal
