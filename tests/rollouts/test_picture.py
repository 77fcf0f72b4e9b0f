"""The picture of a fleet: one mark and one word for everything that can be wrong, and renewing says what taking anew would."""

from collections.abc import Collection
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Ended, Event, Observation, Rollout, RolloutKind, RolloutState, Said
from quarterdeck.rollouts.picture.fleet import promotion_order, renew, take_picture
from quarterdeck.rollouts.picture.host import HostSeen, health_of
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from quarterdeck.rollouts.status import status
from tests.cli.qd_command import OPERATOR, Qd, fill, release

SEEN = "2026-11-24T14:32:06.000Z"


def _rollout(state: RolloutState) -> RolloutSeen:
    rollout = Rollout(
        7, "p/api", RolloutKind.DEPLOY, "v1", "v2", state, 1, None, "", {}, "lena", 1, "", SEEN, SEEN, None, "", 4121
    )
    return RolloutSeen(rollout, "v1", "v2")


def _ended(state: RolloutState) -> Ended:
    return Ended(6, "p/api", RolloutKind.DEPLOY, state, "v1", "v2", "lena", "", SEEN, SEEN, "so it ended")


GOOD = HostSeen("web-1", "v1-a", "v1", "healthy", SEEN)
ILL = HostSeen("web-2", "v1-a", "v1", "unhealthy", SEEN)
ODD = HostSeen("web-3", "v0-a", "v0", "healthy", SEEN, drift=True)
LOST = HostSeen("web-4", "v1-a", "v1", "unknown", SEEN, error="no answer")
NEVER = HostSeen("web-5")

TABLE = [
    # release, hosts, under way, ended last, mark, word
    ("v1-a", (GOOD,), None, None, Mark.OK, "ok"),
    ("v1-a", (GOOD,), None, RolloutState.SUCCEEDED, Mark.OK, "ok"),
    ("v1-a", (GOOD,), None, RolloutState.ROLLED_BACK, Mark.OK, "ok"),
    ("v1-a", (GOOD,), None, RolloutState.CANCELLED, Mark.OK, "ok"),
    ("v1-a", (GOOD,), None, RolloutState.SUPERSEDED, Mark.OK, "ok"),
    ("v1-a", (GOOD,), None, RolloutState.FAILED, Mark.FAILED, "failed"),
    ("v1-a", (GOOD, ILL), None, None, Mark.FAILED, "degraded"),
    ("v1-a", (ILL,), None, None, Mark.FAILED, "down"),
    ("v1-a", (ILL, LOST), None, None, Mark.FAILED, "down"),
    ("v1-a", (GOOD, ODD), None, None, Mark.DRIFT, "drift"),
    ("v1-a", (ODD, LOST), None, None, Mark.DRIFT, "drift"),
    ("v1-a", (ILL, ODD), None, None, Mark.FAILED, "degraded"),
    ("v1-a", (GOOD, LOST), None, None, Mark.STALE, "stale"),
    ("v1-a", (LOST,), None, None, Mark.STALE, "stale"),
    ("v1-a", (NEVER,), None, None, Mark.STALE, "unknown"),
    (None, (NEVER,), None, None, Mark.NOTHING, "nothing"),
    (None, (ODD,), None, None, Mark.DRIFT, "drift"),
    (None, (), None, RolloutState.FAILED, Mark.FAILED, "failed"),
    ("v1-a", (GOOD,), RolloutState.RUNNING, RolloutState.FAILED, Mark.ROLLING, "running"),
    ("v1-a", (ILL,), RolloutState.ROLLING_BACK, None, Mark.ROLLING, "rolling back"),
    ("v1-a", (GOOD,), RolloutState.PAUSED, None, Mark.ROLLING, "paused"),
    ("v1-a", (GOOD,), RolloutState.ABORTING, None, Mark.ROLLING, "aborting"),
    ("v1-a", (GOOD,), RolloutState.QUEUED, None, Mark.ROLLING, "queued"),
    ("v1-a", (GOOD,), RolloutState.BAKING, None, Mark.ROLLING, "baking"),
    ("v1-a", (GOOD,), RolloutState.ORPHANED, None, Mark.FAILED, "orphaned"),
]


@pytest.mark.parametrize(("current", "hosts", "moving", "last", "mark", "word"), TABLE)
def test_mark_and_word(
    current: str | None,
    hosts: tuple[HostSeen, ...],
    moving: RolloutState | None,
    last: RolloutState | None,
    mark: Mark,
    word: str,
) -> None:
    seen = TargetSeen(
        "p/api",
        "p",
        "api",
        release=current,
        version="v1" if current else None,
        hosts=hosts,
        health=health_of([host.health for host in hosts]),
        moving=_rollout(moving) if moving else None,
        last=_ended(last) if last else None,
    )
    assert (seen.mark, seen.word) == (mark, word)


def test_what_nobody_ever_released_is_not_down(tmp_path: Path) -> None:
    """Looking finds nothing there; only where a release should be is that bad."""
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    nothing = [
        Observation("production/api", name, SEEN, None, None, "unhealthy", None, {}) for name in ("web-1", "web-2")
    ]
    with Journal.open(qd.state, operator=OPERATOR) as journal:
        journal.observe(nothing)
        seen = take_picture(fleet, journal).targets["production/api"]
        assert (seen.health, seen.mark) == ("unknown", Mark.NOTHING)
        fill(journal)
        journal.observe(nothing)
        released = take_picture(fleet, journal).targets["production/api"]
        assert released.release is not None
        assert released.health == "down"


def test_every_state_that_a_rollout_can_be_in_is_in_the_table() -> None:
    in_table = {row[2] for row in TABLE} | {row[3] for row in TABLE}
    assert set(RolloutState) - in_table == {RolloutState.ARMED}  # an armed one moves nothing and is no target's


def test_production_is_the_last_of_the_promotion_order_not_of_the_file(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    text = qd.fleet_file.read_text()
    staging, production = "  staging: {hosts: [stg-1]}\n", "  production: {hosts: [web-1, web-2], after: staging}\n"
    qd.fleet_file.write_text(text.replace(staging + production, production + staging))
    fleet = load_fleet(qd.fleet_file)
    assert tuple(fleet.environments) == ("production", "staging")
    assert promotion_order(fleet) == ("staging", "production")


def test_renewing_event_by_event_says_what_taking_it_anew_says(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal, Journal.open(qd.state, operator=OPERATOR) as writer:
        picture = take_picture(fleet, journal)
        fill(writer)
        events = journal.events(limit=1000)
        assert len(events) > 20
        for event in events:  # the journal is ahead of the events, as it is for a screen that was slow
            picture = renew(picture, fleet, journal, [event], looked=False)
        picture = renew(picture, fleet, journal, [], looked=True)
        assert picture == take_picture(fleet, journal)
        assert renew(picture, fleet, journal, [], looked=True) is picture


def test_what_events_do_not_concern_stays_the_same_object(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal:
        fill(journal)
        picture = take_picture(fleet, journal)
        note = journal.note("look", target="production/web")
        renewed = renew(picture, fleet, journal, [note], looked=False)
        assert renewed.head == note.seq
        assert [n for n, seen in renewed.targets.items() if seen is not picture.targets[n]] == ["production/web"]
        assert renewed.rollouts is picture.rollouts
        ids = {r.rollout for r in journal.events(limit=1000) if r.target == "production/api"}
        again = [seen for seen in renewed.rollouts if seen.id not in ids]
        event = Event(note.seq + 1, SEEN, 1, "x", "state", "production/api", 3, None, {}, "")
        told = renew(renewed, fleet, journal, [event], looked=False)
        assert [seen for seen in told.rollouts if any(seen is old for old in again)] == again


def test_a_host_that_cannot_be_reached_does_not_count_as_ready_though_its_copy_is_known(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    with qd.journal() as journal:
        fill(journal)
        fleet = load_fleet(qd.fleet_file)
        before = take_picture(fleet, journal).targets["production/api"]
        to, lost = before.back.release, before.hosts[0].host
        assert to is not None
        kept = {"kept": [to, before.release]}
        journal.observe(
            [
                Observation("production/api", host.host, SEEN, before.release, "v2", "healthy", None, kept)
                for host in before.hosts
            ]
        )
        assert take_picture(fleet, journal).targets["production/api"].back.state == "ready"
        journal.observe([Observation("production/api", lost, SEEN, before.release, "v2", "unknown", "no answer", kept)])
        back = take_picture(fleet, journal).targets["production/api"].back
        assert back.state == "degraded"
        assert back.reasons == (f"{lost}: can't be reached",)


def test_what_a_host_is_seen_running_changes_health_drift_and_the_way_back(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal:
        ids = fill(journal)
        before = take_picture(fleet, journal)
        assert before.targets["production/api"].back.reasons == ("web-2: can't be reached",)
        journal.observe(
            [Observation("production/api", "web-2", SEEN, "v7", "v7", "unhealthy", None, {"kept": [ids["v2"]]})]
        )
        after = renew(before, fleet, journal, [], looked=True)
        seen = after.targets["production/api"]
        assert (seen.health, seen.mark, seen.hosts[1].drift) == ("degraded", Mark.FAILED, True)
        assert (seen.back.state, seen.back.reasons) == ("degraded", ("web-2: no copy of v1",))
        assert after.targets["production/web"] is before.targets["production/web"]


def test_status_says_the_same_for_one_target_as_for_all(tmp_path: Path) -> None:
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal:
        fill(journal)
        journal.put_release(release("v1", target="staging/api"))
        whole = status(fleet, journal)["targets"]
        assert [status(fleet, journal, only=target["target"])["targets"][0] for target in whole] == whole


def test_only_the_hosts_of_a_target_that_was_looked_at_anew_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet may have tens of thousands of them, and one was seen."""
    qd = Qd(tmp_path)
    qd.write_fleet()
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal:
        ids = fill(journal)
        before = take_picture(fleet, journal)
        read: list[str] = []
        said = journal.said

        def counted(targets: Collection[str]) -> dict[str, Said]:
            read.extend(targets)
            return said(targets)

        monkeypatch.setattr(journal, "said", counted)
        assert renew(before, fleet, journal, [], looked=True) is before
        assert read == []
        journal.observe([Observation("staging/api", "stg-1", SEEN, ids["v2"], "v2", "healthy", None, {})])
        after = renew(before, fleet, journal, [], looked=True)
        assert read == ["staging/api"]
        assert after.targets["production/api"] is before.targets["production/api"]
