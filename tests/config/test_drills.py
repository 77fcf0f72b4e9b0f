"""`drills` of an environment: what may stand there, where a rollback may be practised, and when that is due."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quarterdeck.config.drill_reading import drill_time, probe_url
from quarterdeck.config.drills import Drills, DrillTime, is_due, why_no_drill
from quarterdeck.config.load import load_fleet
from quarterdeck.config.problems import FleetFileErrors
from quarterdeck.config.scalars import Unfit

FLEET = """\
fleet: acme
hosts: {{a: {{ssh: a}}, b: {{ssh: b}}}}
environments:
  staging: {{hosts: [a]}}
  last: {{hosts: [b], after: staging, drills: {drills}}}
services:
  web:
    artifact: {{tarball: "/x/{{version}}.tar.gz", sha256: "/x/{{version}}.sha256"}}
    path: /srv/web
    commands: {{start: x, stop: y, status: z}}
"""
WEEKLY = Drills(allowed=True, every=7 * 86400.0, at=drill_time("Tue 10:00"), zone="Europe/Berlin")


def load(tmp_path: Path, drills: str) -> Drills:
    path = tmp_path / "fleet.yml"
    path.write_text(FLEET.format(drills=drills))
    return load_fleet(path).environments["last"].drills


def test_what_may_stand_there(tmp_path: Path) -> None:
    assert load(tmp_path, "allowed") == Drills(allowed=True)
    assert load(tmp_path, "refused") == Drills(allowed=False)
    assert load(tmp_path, "{every: 7d, at: Tue 10:00, zone: Europe/Berlin}") == WEEKLY
    assert load(tmp_path, "{every: 1d, at: '10:00'}").at == DrillTime(600)
    assert load(tmp_path, "{probe: 'http://lb:8080/healthz'}").probe == "http://lb:8080/healthz"


@pytest.mark.parametrize(
    ("drills", "said"),
    [
        ("maybe", "expected `allowed` or `refused`"),
        ("{}", "what is said of drills needs `every` or `probe`"),
        ("{at: Tue 10:00, probe: 'http://x'}", "`at` needs `every`"),
        ("{every: 7d, zone: UTC}", "`zone` is that of `at`"),
        ("{every: 1d, at: Tue 10:00}", "`every` is 7d or longer"),
        ("{every: 7d, at: tue 10:00}", "expected a time such as Tue 10:00"),
        ("{probe: 'http://me:secret@x/'}", "a login may not stand in it"),
        ("{probe: 'ftp://x'}", "expected a URL"),
    ],
)
def test_what_may_not(tmp_path: Path, drills: str, said: str) -> None:
    with pytest.raises(FleetFileErrors) as found:
        load(tmp_path, drills)
    assert said in str(found.value)


@pytest.mark.parametrize("text", ["10", "25:00", "Tue", "Tue  10:00", "Dienstag 10:00", "10:00:00"])
def test_no_time(text: str) -> None:
    with pytest.raises(Unfit):
        drill_time(text)


@pytest.mark.parametrize("text", ["lb/healthz", "http://", "http://a b", "javascript:x"])
def test_no_url(text: str) -> None:
    with pytest.raises(Unfit):
        probe_url(text)


def test_production_says_so_itself() -> None:
    order = {"dev": None, "staging": "dev", "last": "staging", "alone": None, "prod-eu": None}
    undeclared = Drills()
    allowed = [name for name in order if not why_no_drill(name, undeclared, order)]
    assert allowed == ["dev", "staging", "alone"]
    assert "drills: allowed" in why_no_drill("last", undeclared, order)
    assert not why_no_drill("last", Drills(allowed=True), order)
    assert why_no_drill("dev", Drills(allowed=False), order)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_by_its_time_of_the_week_and_within_two_hours_of_it() -> None:
    # Berlin is an hour ahead of UTC in November, two in October
    assert not is_due(WEEKLY, None, at("2026-11-24 08:59"))
    assert is_due(WEEKLY, None, at("2026-11-24 09:00"))
    assert is_due(WEEKLY, None, at("2026-11-24 10:59"))
    assert not is_due(WEEKLY, None, at("2026-11-24 11:01")), "one that was missed does not come at night"
    assert not is_due(WEEKLY, at("2026-11-24 09:01"), at("2026-11-24 09:15"))
    assert is_due(WEEKLY, at("2026-10-20 08:40"), at("2026-10-27 09:00")), "across the end of summer time"
    assert not is_due(WEEKLY, at("2026-11-23 09:01"), at("2026-11-24 09:15")), "practised by hand the day before"


def test_without_a_time_as_soon_as_it_is_old_enough() -> None:
    weekly = Drills(allowed=True, every=7 * 86400.0)
    now = at("2026-11-24 03:00")
    assert is_due(weekly, None, now)
    assert is_due(weekly, now - timedelta(days=7), now)
    assert not is_due(weekly, now - timedelta(days=6, hours=23), now)
    assert not is_due(Drills(allowed=True), None, now)
