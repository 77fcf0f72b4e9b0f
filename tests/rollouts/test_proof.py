"""What an environment has proved of an artifact, out of a real journal, and by which clock."""

from pathlib import Path

import msgspec
import pytest

from quarterdeck.config.model import Commands, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history import releases, rollouts
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Moment, RolloutKind, RolloutState, Stood
from quarterdeck.rollouts.policy import Sighting
from quarterdeck.rollouts.proof import elapsed, longest, seen_before

TARGET = "staging/web"
V1, V2 = (
    Release(
        TARGET, f"v{n}", ResolvedArtifact(f"/a/v{n}.tgz", str(n) * 64), "/srv/web", Runner(commands=Commands("a", "b"))
    )
    for n in (1, 2)
)
HOUR = 3600 * 1_000_000_000


class Clock:
    """Both clocks of this machine, as far as the journal sees them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.boot, self.up, self.wall = "one", HOUR, 12
        for module in (releases, rollouts):
            patch.setattr(module, "boot_id", lambda: self.boot)
            patch.setattr(module, "boottime", lambda: self.up)
        patch.setattr("quarterdeck.history.feed.now", self.now)
        patch.setattr(releases, "now", self.now)

    def now(self) -> str:
        return f"2026-11-23T{self.wall:02d}:00:00.000Z"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def deploy(journal: Journal, release: Release) -> None:
    journal.put_release(release)
    rollout = journal.arm(
        TARGET, RolloutKind.DEPLOY, from_release=journal.current_release(TARGET), to_release=release.id
    )
    epoch = journal.begin(rollout.id, preempt="nothing")
    journal.judge(release.id, "good", "", rollout=rollout.id)
    journal.set_state(rollout.id, epoch, RolloutState.SUCCEEDED)


def test_what_was_good_there_counts_after_another_release_has_taken_its_place(tmp_path: Path, clock: Clock) -> None:
    with Journal.open(tmp_path / "state") as journal:
        assert seen_before(journal, TARGET, "1" * 64) == Sighting(None, 0.0, None)
        deploy(journal, V1)
        clock.up += HOUR
        deploy(journal, V2)
        clock.up += HOUR // 2
        assert seen_before(journal, TARGET, "1" * 64) == Sighting("good", 3600.0, "v2", ("v2",))
        assert seen_before(journal, TARGET, "2" * 64) == Sighting("good", 1800.0, "v2", ("v1",))
        assert seen_before(journal, TARGET, "3" * 64) == Sighting(None, 0.0, "v2", ("v2", "v1"))
        journal.judge(V1.id, "bad", "5xx")
        assert seen_before(journal, TARGET, "1" * 64).verdict == "bad"


@pytest.mark.parametrize("wall", [0, 23])
def test_a_wall_clock_that_jumps_makes_a_soak_neither_shorter_nor_longer(
    tmp_path: Path, clock: Clock, wall: int
) -> None:
    with Journal.open(tmp_path / "state") as journal:
        deploy(journal, V1)
        clock.up += HOUR
        clock.wall = wall
        assert seen_before(journal, TARGET, "1" * 64).ran == 3600.0


def test_deploying_the_same_again_does_not_begin_the_soak_anew(tmp_path: Path, clock: Clock) -> None:
    with Journal.open(tmp_path / "state") as journal:
        deploy(journal, V1)
        clock.up += HOUR
        deploy(journal, V1)
        clock.up += HOUR
        assert seen_before(journal, TARGET, "1" * 64).ran == 7200.0


def test_across_a_restart_of_the_machine_the_wall_clock_counts_within_bounds() -> None:
    then = Moment("2026-11-23T12:00:00.000Z", "one", 9 * HOUR)
    assert elapsed(then, Moment("2026-11-23T15:00:00.000Z", "two", HOUR)) == 3 * 3600
    assert elapsed(then, Moment("2026-11-23T02:00:00.000Z", "two", HOUR)) == 3600, (
        "it is up for so long, whatever it says"
    )
    unstamped = Moment("2026-11-23T12:00:00.000Z")
    assert elapsed(unstamped, Moment("2026-11-23T02:00:00.000Z", "two", HOUR)) == 0


def test_two_short_times_are_no_long_one() -> None:
    at = [Moment("", "one", hour * HOUR) for hour in range(4)]
    stood = [Stood("a", at[2]), Stood("b", at[1]), Stood("a", at[0])]
    assert longest(stood, {"a"}, at[3]) == 3600.0
    assert longest(stood, {"a", "b"}, at[3]) == 3 * 3600.0


def test_what_the_next_environment_has_refuted_is_no_advice(tmp_path: Path) -> None:
    bad = msgspec.structs.replace(V2, target="production/web")
    with Journal.open(tmp_path / "state") as journal:
        deploy(journal, V1)
        deploy(journal, V2)
        journal.put_release(bad)
        journal.judge(bad.id, "bad", "5xx")
        assert seen_before(journal, TARGET, "3" * 64, wanted_by="production/web").good == ("v1",)
