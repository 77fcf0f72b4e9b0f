"""How long the health gate waits: on a clock that jumps from one wait to the next, so that minutes cost nothing."""

import asyncio
from collections.abc import Callable
from typing import cast

from quarterdeck.backends.hosts.contract import Connection, HealthOutcome
from quarterdeck.config.model import Health, HttpCheck, TcpCheck
from quarterdeck.config.release import Release
from quarterdeck.rollouts.worker.health_gate import become_healthy
from tests.jumping_clock import run_jumping

CHECK = HttpCheck(8080)


class Service:
    """``well`` says how it is at a time; a look at it lasts as long as ``lasts`` says, by when it begins."""

    def __init__(self, well: Callable[[float], bool], lasts: Callable[[float], float] = lambda now: 0.0) -> None:
        self.well, self.lasts = well, lasts
        self.looks: list[float] = []  # when each began

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        loop = asyncio.get_running_loop()
        self.looks.append(loop.time())
        lasted = self.lasts(loop.time())
        await asyncio.sleep(lasted)
        return HealthOutcome(self.well(loop.time()), "as it is", lasted)

    def waited_for(self, health: Health, hold: float = 0.0) -> HealthOutcome:
        async def wait() -> HealthOutcome:
            return await become_healthy(cast(Connection, self), health, cast(Release, None), hold=hold)

        return run_jumping(wait())


def gate(deadline: float, interval: float = 2.0, tcp: TcpCheck | None = None) -> Health:
    return Health(http=CHECK, tcp=tcp, interval=interval, timeout=5.0, healthy_deadline=deadline)


def test_a_service_may_take_as_long_as_the_deadline_says_however_long_the_interval_is() -> None:
    """It gave up where the next look by the interval would have come after the deadline: after 40 of 60 seconds here."""
    for interval in (2.0, 25.0, 30.0, 300.0):
        service = Service(lambda now: now > 59.9)
        outcome = service.waited_for(gate(60.0, interval))
        assert (outcome.healthy, round(outcome.seconds)) == (True, 60), interval


def test_it_gives_up_at_the_deadline_after_a_last_look() -> None:
    for deadline, interval in ((60.0, 30.0), (20.0, 30.0), (5.0, 30.0), (60.0, 2.0)):
        service = Service(lambda now: False)
        outcome = service.waited_for(gate(deadline, interval))
        assert not outcome.healthy
        assert deadline <= outcome.seconds < deadline + 0.01
        assert deadline - 0.01 < service.looks[-1]


def test_it_is_looked_at_often_at_first_and_then_by_the_interval() -> None:
    service = Service(lambda now: False)
    service.waited_for(gate(60.0, 7.0))
    late = [after - before for before, after in zip(service.looks, service.looks[1:], strict=False) if before > 10.0]
    assert len([at for at in service.looks if at <= 10.0]) >= 40
    assert [round(one, 6) for one in late[:-1]] == [7.0] * (len(late) - 1)


def test_one_that_became_well_in_time_is_held_for_as_long_as_it_must_be() -> None:
    service = Service(lambda now: now > 59.0)
    outcome = service.waited_for(gate(60.0, 3.0), hold=20.0)
    assert outcome.healthy
    assert 79.0 <= outcome.seconds <= 82.1
    assert service.looks[-1] >= 79.0


def test_one_that_falls_ill_while_it_is_held_may_come_back_until_the_deadline_only() -> None:
    assert Service(lambda now: now > 3.0 and not 8.0 < now < 12.0).waited_for(gate(60.0), hold=20.0).healthy
    outcome = Service(lambda now: now > 45.0 and not 61.0 < now < 64.0).waited_for(gate(60.0), hold=20.0)
    assert (outcome.healthy, 61.0 < outcome.seconds < 64.0) == (False, True)


def test_what_an_engine_took_for_its_answers_is_not_the_services_time() -> None:
    """A look that lasted longer than its checks may: the service had not been seen meanwhile."""
    service = Service(lambda now: now > 25.0, lambda now: 9.0 if now < 18.0 else 0.0)
    outcome = service.waited_for(gate(20.0))
    assert (outcome.healthy, 25.0 < outcome.seconds < 27.1) == (True, True)


def test_checks_that_use_up_their_own_timeouts_are_the_services_time() -> None:
    service = Service(lambda now: False, lambda now: 9.0)
    outcome = service.waited_for(gate(20.0, tcp=TcpCheck(8080)))  # two checks: 10 s
    assert (outcome.healthy, 20.0 <= outcome.seconds < 30.0) == (False, True)


def test_an_engine_that_is_slow_for_ever_ends_the_wait_all_the_same() -> None:
    outcome = Service(lambda now: False, lambda now: 25.0).waited_for(gate(60.0))
    assert (outcome.healthy, 60.0 <= outcome.seconds <= 146.0) == (False, True)
