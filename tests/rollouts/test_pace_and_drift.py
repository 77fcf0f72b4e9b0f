"""How often a target is looked at, and what of an answer is drift: pure decisions."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.model import Artifact, Fleet, Host, Runner, Target
from quarterdeck.history.records import Observation, Presence, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.observer.pace import Pace, figured, intervals, on_screen
from quarterdeck.rollouts.picture.host import Expected

SEEN = "2026-11-23T14:25:07.000Z"


def fleet(hosts: int) -> Fleet:
    known = {f"web-{n}": Host(f"web-{n}", f"web-{n}") for n in range(hosts)}
    targets = {
        f"production/{name}": Target("production", name, tuple(known.values()), "/srv", Artifact("x"), Runner(unit="x"))
        for name in ("api", "web", "worker")
    }
    return Fleet("acme", Path("fleet.yml"), Path("state"), known, {}, ("api", "web", "worker"), targets)


def presence(view: str, target: str | None) -> Presence:
    return Presence(1, 1, "boot", "lena@bastion", 1000, view, target, SEEN, 1)


def test_what_somebody_has_open_or_a_rollout_moves_is_looked_at_most_often() -> None:
    here = [presence("overview", "production/api"), presence("logs", "production/web")]
    found = intervals(fleet(3), here, set(), Pace())
    assert list(found.values()) == [2.0, 2.0, 10.0]
    assert intervals(fleet(3), here[:1], {"production/worker"}, Pace())["production/worker"] == 2.0


def test_what_nobody_sees_and_what_is_too_much_is_looked_at_rarely() -> None:
    listed, not_listed = presence("overview", None), presence("logs", "production/api")
    assert set(intervals(fleet(51), [listed], set(), Pace()).values()) == {60.0}
    assert set(intervals(fleet(50), [listed], set(), Pace()).values()) == {10.0}
    assert intervals(fleet(3), [not_listed], set(), Pace())["production/web"] == 60.0
    assert set(intervals(fleet(3), [], set(), Pace()).values()) == {60.0}


def test_of_thousands_what_nobody_has_open_is_looked_at_as_often_as_one_process_can() -> None:
    """Three services on 400 hosts are 1200 looks, a minute's worth; on 4000 hosts they take ten. What is open is not looked at less."""
    assert set(intervals(fleet(400), [], set(), Pace()).values()) == {60.0}
    found = intervals(fleet(4000), [presence("overview", "production/api")], set(), Pace())
    assert list(found.values()) == [2.0, 600.0, 600.0]


def test_asking_anew_is_about_what_somebody_sees() -> None:
    listed, one = presence("overview", None), presence("logs", "production/api")
    assert len(on_screen(fleet(3), [listed, one], Pace())) == 3
    assert on_screen(fleet(3), [one], Pace()) == on_screen(fleet(51), [listed, one], Pace()) == {"production/api"}


def test_what_containers_use_is_wanted_only_where_a_screen_shows_it() -> None:
    """Not for whose logs are read, nor of a service without a container, nor of one that left the fleet file."""
    plain = fleet(1)
    boxed = msgspec.structs.replace(plain.targets["production/web"], container=ContainerSpec("acme", "web"))
    here = msgspec.structs.replace(plain, targets={**plain.targets, boxed.name: boxed})
    shows = [presence("overview", "production/web"), presence("health", "production/api"), presence("health", None)]
    assert figured(here, [*shows, presence("overview", "production/gone")]) == {"production/web"}
    assert figured(here, [presence(view, "production/web") for view in ("logs", "rollouts", "drift")]) == frozenset()
    assert figured(here, [presence("health", "production/web")]) == {"production/web"}


def observation(
    release: str | None, *, seq: int | None = 20, health: str = "healthy", error: str | None = None
) -> Observation:
    body = {} if seq is None else {"seq": seq}
    return Observation("production/api", "web-1", SEEN, release, None, health, error, body)


def moving(before: str, to: str) -> Rollout:
    values: dict[str, Any] = dict.fromkeys(Rollout.__struct_fields__)
    return Rollout(
        **values | {"kind": RolloutKind.DEPLOY, "state": RolloutState.RUNNING, "from_release": before, "to_release": to}
    )


@pytest.mark.parametrize(
    ("seen", "drift"),
    [
        (observation("v2"), False),
        (observation("v1"), True),
        (observation(None), True),
        (observation("v1", error="no answer"), False),  # not known
        (observation("v1", seq=9), False),  # said before the rollout ended, written after
        (observation("v1", seq=None), True),  # of an older program
    ],
)
def test_drift_is_what_a_host_said_after_the_last_rollout_ended(seen: Observation, drift: bool) -> None:
    assert Expected("v2", 10, None).is_drift(seen) is drift


def test_what_a_rollout_moves_from_and_to_is_no_drift_and_anything_else_is() -> None:
    expected = Expected("v1", 10, moving("v1", "v2"))
    assert [expected.is_drift(observation(release)) for release in ("v1", "v2", "v0")] == [False, False, True]


def test_a_service_that_was_down_while_it_was_moved_is_not_down_afterwards() -> None:
    before, after = observation("v2", seq=9, health="unhealthy"), observation("v2", health="unhealthy")
    assert [Expected("v2", 10, None).health(seen) for seen in (before, after)] == ["unknown", "unhealthy"]
    assert Expected("v2", 10, None).health(observation("v2", seq=9)) == "healthy"
