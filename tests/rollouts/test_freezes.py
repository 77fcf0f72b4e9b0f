"""Freezes go by the clocks of their zone: across daylight-saving changes, over the end of a week, one behind the other."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quarterdeck.config.freeze_reading import edge
from quarterdeck.config.freezes import WEEK_MINUTES, Edge, Freeze, ends_at
from quarterdeck.rollouts.freezes import (
    Window,
    first_instant,
    from_options,
    frozen_at,
    last_instant,
    next_freeze,
    zone_of,
)

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def freeze(begins: str, ends: str, zone: str = "UTC", reason: str = "") -> Freeze:
    return Freeze(edge(begins), edge(ends), zone, reason)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ends(frozen_by: Freeze, at: str) -> str:
    """When what freezes at that moment (UTC) is over, in UTC; ``-``: nothing does."""
    found = frozen_at([frozen_by], (), utc(at))
    return "-" if found is None or found.until is None else f"{found.until:%a %Y-%m-%d %H:%M}"


WEEKEND = freeze("Fri 16:00", "Mon 08:00", BERLIN, "weekend")


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-27 14:59", "-"),  # 15:59 in Berlin
        ("2026-11-27 15:00", "Mon 2026-11-30 07:00"),
        ("2026-11-29 12:00", "Mon 2026-11-30 07:00"),
        ("2026-11-30 06:59", "Mon 2026-11-30 07:00"),
        ("2026-11-30 07:00", "-"),
        ("2026-07-31 13:59", "-"),  # summer: 15:59 again
        ("2026-07-31 14:00", "Mon 2026-08-03 06:00"),
        ("2026-03-28 12:00", "Mon 2026-03-30 06:00"),  # the clocks go forward in this weekend: an hour shorter
        ("2026-03-30 06:00", "-"),
        ("2026-10-24 12:00", "Mon 2026-10-26 07:00"),  # and back in this one
        ("2026-10-26 06:59", "Mon 2026-10-26 07:00"),
    ],
)
def test_a_weekend_is_one_by_the_clocks_of_its_zone(at: str, until: str) -> None:
    assert ends(WEEKEND, at) == until


@pytest.mark.parametrize(
    ("zone", "begins", "until", "first", "last"),
    [
        # 02:30 never comes: it begins, or ends, when the clocks are set
        (BERLIN, "2026-03-29 02:30", "2026-03-29 12:00", "2026-03-29 01:00", "2026-03-29 10:00"),
        (BERLIN, "2026-03-29 00:00", "2026-03-29 02:30", "2026-03-28 23:00", "2026-03-29 01:00"),
        (NEW_YORK, "2026-03-08 02:30", "2026-03-08 03:30", "2026-03-08 07:00", "2026-03-08 07:30"),
        (LORD_HOWE, "2026-10-04 02:15", "2026-10-04 03:00", "2026-10-03 15:30", "2026-10-03 16:00"),  # half an hour
        # 02:30 comes twice: it begins the first time, and ends the second
        (BERLIN, "2026-10-25 02:30", "2026-10-25 12:00", "2026-10-25 00:30", "2026-10-25 11:00"),
        (BERLIN, "2026-10-25 00:00", "2026-10-25 02:30", "2026-10-24 22:00", "2026-10-25 01:30"),
        (NEW_YORK, "2026-11-01 01:30", "2026-11-01 01:45", "2026-11-01 05:30", "2026-11-01 06:45"),
        (LORD_HOWE, "2026-04-05 01:45", "2026-04-05 01:50", "2026-04-04 14:45", "2026-04-04 15:20"),
    ],
)
def test_where_the_clocks_are_set_it_lasts_the_longer(
    zone: str, begins: str, until: str, first: str, last: str
) -> None:
    one = freeze(begins, until, zone)
    start, end = utc(first), utc(last)
    minute = timedelta(minutes=1)
    assert frozen_at([one], (), start - minute) is None
    for at in (start, start + (end - start) / 2, end - minute):
        found = frozen_at([one], (), at)
        assert found is not None
        assert found.until == end
    assert frozen_at([one], (), end) is None
    following = next_freeze([one], (), start - minute)
    assert following is not None
    assert (following.start, following.end) == (start, end)


def test_what_lies_in_the_hour_that_never_comes_freezes_nothing() -> None:
    lost = freeze("2026-03-29 02:10", "2026-03-29 02:50", BERLIN)
    assert all(frozen_at([lost], (), utc("2026-03-29 00:00") + timedelta(minutes=m)) is None for m in range(0, 180, 5))


def test_days_without_times_are_frozen_whole() -> None:
    assert ends(freeze("2026-12-20", "2027-01-02", BERLIN), "2026-12-19 23:00") == "Sat 2027-01-02 23:00"
    assert ends(freeze("2026-12-20", "2027-01-02", BERLIN), "2026-12-19 22:59") == "-"
    assert ends(freeze("Sat", "Sun"), "2026-11-29 23:59") == "Mon 2026-11-30 00:00"
    assert ends(freeze("2026-12-24", "2026-12-24"), "2026-12-24 12:00") == "Fri 2026-12-25 00:00"


def test_a_window_over_the_end_of_the_week_is_found_on_both_sides() -> None:
    night = freeze("Sun 22:00", "Mon 06:00")
    assert ends(night, "2026-11-29 22:00") == "Mon 2026-11-30 06:00"
    assert ends(night, "2026-11-30 05:59") == "Mon 2026-11-30 06:00"
    assert ends(night, "2026-11-30 06:00") == "-"


def test_what_follows_without_a_gap_is_told_as_one() -> None:
    friday, weekend = freeze("Fri 12:00", "Sat", reason="market"), freeze("Sun", "Mon 08:00", reason="weekend")
    found = frozen_at([friday, weekend], (), utc("2026-11-27 13:00"))
    assert found is not None
    assert found.until == utc("2026-11-30 08:00")
    assert found.reason == "market", "only what holds now is a reason now"
    assert "until Mon 2026-11-30 08:00 UTC: market" in found.words
    both = frozen_at([friday, freeze("2026-11-27", "2026-12-01", BERLIN, "audit")], (), utc("2026-11-27 13:00"))
    assert both is not None
    assert both.words == "until Wed 2026-12-02 00:00 Europe/Berlin (23:00Z): audit; market"


def test_what_has_no_end_says_so() -> None:
    always = frozen_at([freeze("Mon", "Sun", reason="never")], (), utc("2026-11-27 13:00"))
    assert always is not None
    assert always.words == "without an end: never"
    by_hand = Window(utc("2026-11-27 12:00"), None, "UTC", "INC-77", "by lena", 3)
    found = frozen_at([WEEKEND], [by_hand], utc("2026-11-28 12:00"))
    assert found is not None
    assert (found.until, found.words) == (None, "until somebody ends it: INC-77; weekend")
    assert frozen_at([], [by_hand], utc("2026-11-27 11:59")) is None


def test_the_next_one_is_the_first_that_begins_later() -> None:
    christmas = freeze("2026-12-24", "2026-12-26")
    coming = next_freeze([christmas, WEEKEND], (), utc("2026-12-22 12:00"))
    assert coming is not None
    assert coming.start == utc("2026-12-24 00:00")
    assert next_freeze([christmas], (), utc("2026-12-27 12:00")) is None


def test_freezes_travel_with_a_rollout_as_json() -> None:
    import msgspec

    both = (WEEKEND, freeze("2026-12-20", "2027-01-02 12:00"))
    assert from_options(msgspec.json.decode(msgspec.json.encode(both))) == both


_EDGES = st.builds(
    lambda weekday, minute: Edge(weekday=weekday, minute=minute),
    st.integers(0, 6),
    st.none() | st.integers(0, 96).map(lambda quarter: quarter * 15),
)
_ZONES = st.sampled_from(
    [BERLIN, NEW_YORK, LORD_HOWE, "UTC", "Asia/Kathmandu", "America/Santiago", "Africa/Casablanca"]
)
_MOMENTS = st.integers(0, 3 * 366 * 24 * 4).map(lambda n: utc("2025-01-01 00:00") + timedelta(minutes=15 * n))


def _on_the_wall(one: Freeze, at: datetime) -> bool:
    """Whether the clocks on the wall show a time that belongs to it: the definition that somebody in that place would give."""
    local = at.astimezone(ZoneInfo(one.zone))
    now = local.weekday() * 1440 + local.hour * 60 + local.minute
    start = (one.begins.weekday or 0) * 1440 + (one.begins.minute or 0)
    length = ((one.ends.weekday or 0) * 1440 + ends_at(one.ends) - start) % WEEK_MINUTES or WEEK_MINUTES
    return (now - start) % WEEK_MINUTES < length


@given(begins=_EDGES, until=_EDGES, zone=_ZONES, at=_MOMENTS)
@example(begins=edge("Sun 02:30"), until=edge("Sun 03:00"), zone=BERLIN, at=utc("2026-10-25 01:45"))
@settings(max_examples=150, deadline=None)
def test_it_is_frozen_when_the_clocks_on_the_wall_say_so(begins: Edge, until: Edge, zone: str, at: datetime) -> None:
    one = Freeze(begins, until, zone)
    found = frozen_at([one], (), at)
    wall = _on_the_wall(one, at)
    if wall:
        assert found is not None
    elif found is not None:
        # Only while the clocks show once more what they have shown already, or are about to.
        offsets = {(at + timedelta(minutes=m)).astimezone(ZoneInfo(zone)).utcoffset() for m in range(-180, 181, 15)}
        assert len(offsets) > 1
    if found is not None and found.until is not None:
        assert frozen_at([one], (), found.until) is None
        assert frozen_at([one], (), found.until - timedelta(minutes=1)) is not None
    if found is None:
        coming = next_freeze([one], (), at)
        assert coming is not None
        assert not _on_the_wall(one, coming.start - timedelta(minutes=1)) or coming.start - timedelta(minutes=1) < at
        assert frozen_at([one], (), coming.start) is not None


@given(zone=_ZONES, at=_MOMENTS)
def test_the_first_and_the_last_time_that_the_clocks_show_something(zone: str, at: datetime) -> None:
    local = at.astimezone(zone_of(zone)).replace(tzinfo=None)
    assert first_instant(local, zone_of(zone)) <= at <= last_instant(local, zone_of(zone))
