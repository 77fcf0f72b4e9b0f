"""Health panes and header: figures from samples, no data is never good, nothing flickers. Pure functions; no host is asked."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from quarterdeck.history.clock import boottime
from quarterdeck.history.records import Metric, Operator, Sample
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.health import BUCKETS, Probes, percentile, sides, target_health
from quarterdeck.rollouts.picture.fleet import Around, Picture, RoomSeen
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.ages import coarse
from quarterdeck.tui.room.figures import (
    columns,
    milliseconds,
    percent,
    relative_levels,
    share_levels,
    size,
    spark,
    use_levels,
)
from quarterdeck.tui.room.pane import Size
from quarterdeck.tui.room.panes.containers import container_rows
from quarterdeck.tui.room.panes.header import Way, header_row, live, others, reachable
from quarterdeck.tui.room.panes.health import checks_row, health_rows
from quarterdeck.tui.room.panes.health_list import by_risk, list_rows
from quarterdeck.tui.room.panes.vitals import vitals_rows
from quarterdeck.tui.room.permission import Standing
from quarterdeck.tui.room.rows import plain
from tests.cli.qd_command import EVIL

V1, V2 = "v1-0123456789", "v2-0123456789"
NOW = datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
SEEN = "2026-11-23T14:25:07.000Z"
END = 1000 * 5 * SECOND  # boot time: the end of a bucket


def host(name: str, release: str | None = V1, health: str = "healthy", **more: Any) -> HostSeen:
    version = release.partition("-")[0] if release else None
    return HostSeen(name, release, version, health, SEEN, **more)


def target(*hosts: HostSeen, name: str = "production/api", **more: Any) -> TargetSeen:
    environment, _, service = name.partition("/")
    return TargetSeen(name, environment, service, release=V1, version="v1", hosts=hosts, **more)


def picture(*targets: TargetSeen, **around: Any) -> Picture:
    known = {one.target: one for one in targets}
    return Picture("acme", ("staging", "production"), ("api",), known, around=Around(**around))


def sample(name: str, metric: Metric, value: float, *, release: str | None = V1, ago: float = 1.0) -> Sample:
    of = "production/api" if metric in (Metric.LATENCY, Metric.FAILURE) else ""
    return Sample(of, name, release if of else None, metric, value, SEEN, END - int(ago * SECOND))


def test_new_and_old_are_measured_apart() -> None:
    seen = target(host("web-1", V2), host("web-2", V1), host("web-3", V1))
    assert sides(seen) == (V1, V2)  # what should run, and what runs beside it
    samples = [
        *(sample("web-1", Metric.FAILURE, 1.0, release=V2) for _ in range(3)),
        sample("web-1", Metric.LATENCY, 0.3, release=V2),
        *(sample("web-2", Metric.LATENCY, n / 100) for n in range(1, 101)),
        sample("web-1", Metric.CPU, 80.0),
        sample("web-2", Metric.CPU, 40.0),
        sample("web-3", Metric.CPU, 20.0),
        sample("web-9", Metric.CPU, 99.0),
    ]
    found = target_health(seen, samples, END)
    assert found.old is not None
    assert (found.old.probes.error_rate, found.old.probes.p95, found.old.vitals[Metric.CPU]) == (75.0, 0.3, 80.0)
    assert (found.new.probes.error_rate, found.new.probes.p50, found.new.probes.p95) == (0.0, 0.5, 0.95)
    assert (found.new.vitals[Metric.CPU], found.new.hosts) == (30.0, 2)
    assert [one.latency for one in found.hosts] == [0.3, 1.0, None]


def test_nothing_measured_is_nothing_known() -> None:
    seen = target(host("web-1"))
    found = target_health(seen, [], END)
    assert (found.new.probes, found.newest) == (Probes(), 0)
    assert found.new.probes.error_rate is None
    text = "\n".join(plain(line) for line in health_rows(seen, found, 5.0, NOW, Size(80, 10), hosts=True))
    assert "no data: nothing was measured" in text
    assert "0%" not in text
    assert "no data" in plain(vitals_rows(seen, found)[1])
    assert "no data yet" in plain(health_rows(seen, None, None, NOW, Size(80, 10), hosts=False)[0])
    assert percentile([], 95) is None


def test_a_release_that_has_no_probe_yet_is_not_called_well() -> None:
    seen = target(host("web-1", V2), host("web-2", V1))
    samples = [sample("web-2", Metric.LATENCY, 0.1, release=V2)]
    (row, *_rest) = health_rows(seen, target_health(seen, samples, END), 5.0, NOW, Size(80, 10), hosts=False)
    assert "no data" in plain(row)
    assert " ok" not in plain(row)


@pytest.mark.parametrize("width", [40, 60, 64, 80, 120])
def test_rows_fit_and_say_it_failed(width: int) -> None:
    seen = target(host("web-1", detail=f"http 500 {EVIL}"), host("web-2", error="no answer", health="unknown"))
    samples = [sample("web-1", Metric.FAILURE, 0.1), sample("web-1", Metric.LATENCY, 0.048)]
    rows = health_rows(seen, target_health(seen, samples, END), 5.0, NOW, Size(width, 12), hosts=True)
    assert all(len(plain(row)) <= width + 24 for row in rows)  # the last guard cuts what is left over
    text = "\n".join(plain(row) for row in rows)
    assert "50%" in text
    assert "FAIL 1 of 2" in text or width < 60
    assert "? web-2" in text
    assert "last seen 7m ago" in text or width < 60


def test_a_low_pane_shows_what_tells_most() -> None:
    seen = target(host("web-1"))
    found = target_health(seen, [sample("web-1", Metric.LATENCY, 0.048)], END)
    rows = [plain(row).split()[0] for row in health_rows(seen, found, None, NOW, Size(64, 5), hosts=False)]
    assert rows == ["fail", "p95", "cpu", "mem", "checks"]


def test_versions_are_as_planned_only_while_a_rollout_goes_on() -> None:
    assert "drift" in plain(checks_row(target(host("web-1", V2, drift=True), host("web-2"))))
    assert "as planned" not in plain(checks_row(target(host("web-1", V2), host("web-2"))))


def test_a_column_holds_the_same_buckets_as_long_as_it_is_there() -> None:
    def series(last: int) -> list[float | None]:
        return [float(number) for number in range(last - BUCKETS + 1, last + 1)]

    before = columns(series(600), 600, 20)
    assert len(before) == 20
    after = columns(series(601), 601, 20)
    assert after[:-1] == before[:-1]  # only the newest column takes one more
    assert after[-1] == 601
    assert columns([None, 1.0, 5.0, 2.0], 3, 2) == [1.0, 5.0]
    assert columns((), 0, 5) == []


def test_sparklines_show_failures_leave_gaps_and_keep_still() -> None:
    assert spark(share_levels([0, None, 1, 10, 30, 100])) == ". ,:!#"
    assert spark(use_levels([0, 30, 60, 80, 95])) == ".,:!#"
    assert spark(relative_levels([0.1, 0.11, 0.09, None, 0.1, 0.6])) == "... .#"
    assert spark(relative_levels([None, None])) == "  "


def test_figures_are_rounded_so_that_they_do_not_flicker() -> None:
    assert [milliseconds(s) for s in (None, 0.0004, 0.0482, 0.3148, 0.999, 2.34, 12.0)] == [
        "-",
        "0.4ms",
        "48ms",
        "310ms",
        "1.0s",
        "2.3s",
        "12s",
    ]
    assert [percent(p) for p in (None, 0.0, 0.3, 4.4, 100.0)] == ["-", "0%", "<1%", "4%", "100%"]
    assert [coarse(s) for s in (0, 4.9, 5, 29, 59, 60, 420, 7200, 200_000)] == [
        "<5s",
        "<5s",
        "<10s",
        "<30s",
        "<60s",
        "1m",
        "7m",
        "2h",
        "2d",
    ]


def test_the_list_has_the_riskiest_first_and_says_what_is_not_known() -> None:
    bad = target(host("st-1", health="unhealthy"), name="staging/api", health="down")
    good = target(host("web-1"), name="production/api", health="healthy")
    lost = target(host("web-1", health="unknown", error="gone"), name="production/web", health="unknown")
    order = by_risk(picture(good, lost, bad))
    assert [one.target for one in order] == ["staging/api", "production/web", "production/api"]
    rows = [
        plain(row) for row in list_rows(order, {"staging/api": Probes(4, 2, 0.01, 0.02)}, "production/api", NOW, 80)
    ]
    assert rows[1].split() == ["x", "staging/api", "down", "0/1", "50%", "20ms", "7m"]
    assert rows[2].split() == ["?", "production/web", "unknown", "0/1", "-", "-", "7m"]
    assert rows[3].startswith(">=")
    assert all(len(plain(row)) <= 50 for row in list_rows(order, {}, None, NOW, 50))


# containers


def used(name: str, metric: Metric, value: float, *, release: str = V1, ago: float = 1.0) -> Sample:
    return Sample("production/api", name, release, metric, value, SEEN, END - int(ago * SECOND))


def test_what_a_container_used_before_it_ended_is_no_figure_of_now() -> None:
    """All of a host that is measured together has one time: what ran before, and what is not told any more, is not among it."""
    seen = target(host("web-1", V2), host("web-2", V1))
    samples = [
        used("web-1", Metric.CONTAINER_MEMORY, 300 << 20, release=V1, ago=20),
        used("web-1", Metric.CONTAINER_CPU, 40.0, release=V2, ago=20),
        used("web-1", Metric.CONTAINER_RESTARTS, 3, release=V2),
        used("web-2", Metric.CONTAINER_CPU, 10.0),
        used("web-2", Metric.CONTAINER_MEMORY, 100 << 20),
        sample("web-2", Metric.LATENCY, 0.1),
    ]
    found = target_health(seen, samples, END)
    assert [(one.host, one.release, dict(one.figures)) for one in found.containers] == [
        ("web-1", V2, {Metric.CONTAINER_RESTARTS: 3}),
        ("web-2", V1, {Metric.CONTAINER_CPU: 10.0, Metric.CONTAINER_MEMORY: 100 << 20}),
    ]
    assert (found.new.own, found.old and found.old.own) == (
        {Metric.CONTAINER_CPU: 10.0, Metric.CONTAINER_MEMORY: 100 << 20},
        {Metric.CONTAINER_RESTARTS: 3},
    )
    assert [one.latency for one in found.hosts] == [None, 0.1]  # what was measured of a container is no health check
    assert found.new.probes.total == 1
    rows = [plain(row) for row in container_rows(found.containers, found.last_bucket, 80)]
    assert rows[1].split()[:7] == ["web-1", "v2", "-", "-", "3", "-", "-"]
    assert rows[2].split()[:7] == ["web-2", "v1", "10%", "100M", "-", "-", "-"]


def test_what_was_measured_long_ago_keeps_its_age_and_is_no_figure_of_the_release() -> None:
    found = target_health(target(host("web-1")), [used("web-1", Metric.CONTAINER_CPU, 40.0, ago=61)], END)
    assert [dict(one.figures) for one in found.containers] == [{Metric.CONTAINER_CPU: 40.0}]
    assert found.new.own == {}


@pytest.mark.parametrize("width", [60, 80, 109, 200])
def test_rows_of_containers_fit_and_draw_where_there_is_room(width: int) -> None:
    samples = [
        one
        for ago in range(2, 290, 5)
        for one in (
            used("web-1", Metric.CONTAINER_CPU, 95.0 if ago < 60 else 5.0, ago=ago),
            used("web-1", Metric.CONTAINER_MEMORY, 1.6 * 2**30, ago=ago),
            used("web-1", Metric.CONTAINER_LIMIT, 2.0 * 2**30, ago=ago),
            used("web-1", Metric.CONTAINER_RECEIVED, 45e6, ago=ago),
            used("web-1", Metric.CONTAINER_SENT, 0.0, ago=ago),
        )
    ]
    found = target_health(target(host("web-1")), samples[::-1], END)
    rows = [plain(row) for row in container_rows(found.containers, found.last_bucket, width)]
    assert all(len(row) <= width for row in rows)
    assert rows[1].split()[1:6] == ["95%", "1.6G/2.0G", "-", "-", "43M/0"]
    assert ("#" in rows[1]) == (width >= 80)
    text = "\n".join(
        plain(row) for row in health_rows(target(host("web-1")), found, None, NOW, Size(width, 20), hosts=True)
    )
    assert "svc cpu    95% " in text
    assert "svc mem   1.6G " in text
    assert ("limit 2.0G" in text) == (width >= 60)


def test_a_service_without_a_container_has_no_figures_of_one() -> None:
    found = target_health(target(host("web-1")), [sample("web-1", Metric.CPU, 3.0)], END)
    text = "\n".join(
        plain(row) for row in health_rows(target(host("web-1")), found, None, NOW, Size(80, 20), hosts=True)
    )
    assert "svc" not in text
    assert found.containers == ()


def test_bytes_are_short() -> None:
    assert [
        size(value) for value in (None, 0, 0.5, 1024, 9_300, 1023.6 * 1024, 612 << 20, 1.5 * 2**30, 40 * 2**30)
    ] == [
        "-",
        "0",
        "<1K",
        "1K",
        "9K",
        "1M",
        "612M",
        "1.5G",
        "40G",
    ]


# the header

ME = Way(pid=100)
STANDING = Standing(Operator("dana", 1000, None, "bastion-2"), may_change=True)


def room(who: str, pid: int, on: str | None = "production/api") -> RoomSeen:
    return RoomSeen(f"{who}@bastion-2", pid, "overview", on, SEEN)


def test_how_live_it_is() -> None:
    seen = target(host("web-1"))

    def word(way: Way, ago: float | None) -> str:
        looked = boottime() - int(ago * SECOND) if ago is not None else 0
        return live(picture(seen, looked=looked), way, NOW).text

    assert [word(ME, ago) for ago in (1, 12, 31, 420)] == ["LIVE <5s", "LIVE <20s", "STALE <60s", "STALE 7m"]
    assert word(ME, None) == "STALE 7m old"
    assert word(Way(100, read_only=True), None) == "READ-ONLY no observer 7m old"
    assert word(Way(100, read_only=True), 1) == "LIVE <5s"  # somebody else looks
    assert word(Way(100, observe=False), None) == "CACHED 7m old"
    assert live(picture(target(HostSeen("web-1"))), ME, NOW).text == "NOT SEEN YET"


def test_hosts_that_can_be_asked_are_counted_once() -> None:
    fine, lost = host("web-1"), host("mail-1", error="gone")
    never = HostSeen("web-9")
    shown = picture(
        target(fine, lost), target(fine, HostSeen("web-2"), name="production/new"), target(never, name="staging/api")
    )
    assert reachable(shown, NOW) == (1, 4, "mail-1 stale 7m +2")
    assert reachable(picture(target(fine)), NOW) == (1, 1, "")


def test_who_else_is_here() -> None:
    shown = picture(
        target(host("web-1")), here=(room("dana", 100), room("lena", 7), room("ci", 8, None), room("maya", 9))
    )
    assert others(shown, 100, wide=False) == " +lena +2"
    assert others(shown, 100, wide=True) == " +lena production/api +ci +1"
    assert others(picture(here=(room("dana", 100),)), 100, wide=False) == ""
    assert shown.others_on("production/api", 100) == ("lena@bastion-2", "maya@bastion-2")
    assert shown.others_on("staging/api", 100) == ()


def test_the_header_grows_with_the_terminal_and_never_loses_who_one_is() -> None:
    shown = picture(
        target(host("web-1")), looked=boottime(), workers=2, journal_bytes=1_200_000, here=(room("lena", 7),)
    )
    texts = {width: plain(header_row(shown, "", STANDING, ME, "bastion-2", NOW, width)) for width in (50, 70, 110, 190)}
    assert all(len(text) == width for width, text in texts.items())
    assert all("dana:operator +lena" in text for text in texts.values())
    assert "LIVE <5s" in texts[50]
    assert "workers 2 up" in texts[110]
    assert "hosts 1/1 reachable" in texts[190]
    assert "journal 1.2 MB" in texts[190]
    told = plain(header_row(shown, "the disk failed", STANDING, ME, "bastion-2", NOW, 110))
    assert "JOURNAL: the disk failed" in told
    assert "LIVE" not in told


def test_a_second_that_passes_changes_no_cell_of_the_header() -> None:
    shown = picture(target(host("web-1")), looked=boottime())
    first = header_row(shown, "", STANDING, ME, "bastion-2", NOW, 110)
    assert header_row(shown, "", STANDING, ME, "bastion-2", replace_second(NOW), 110) == first


def replace_second(moment: datetime) -> datetime:
    return moment.replace(second=moment.second + 1)


def test_a_sample_of_another_release_is_not_taken_for_this_one() -> None:
    seen = target(host("web-1", V2, drift=True))
    found = target_health(
        msgspec.structs.replace(seen, release=V2), [sample("web-1", Metric.FAILURE, 0.0, release=V1)], END
    )
    assert (found.new.release, found.new.probes.total) == (V2, 0)
