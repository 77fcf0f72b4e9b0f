"""When a card's confirming key works: after so many ticks of the loop without a key, never sooner."""

from quarterdeck.tui.room.card import DEAD_TICKS, STALL, TICK, Guard


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def is_open(guard: Guard) -> bool:
    return guard.open


def ticked(guard: Guard, clock: Clock, count: int, every: float = TICK) -> None:
    for _ in range(count):
        clock.now += every
        guard.tick()


def test_it_opens_so_long_after_the_first_frame() -> None:
    clock = Clock()
    guard = Guard(clock)
    ticked(guard, clock, 50)
    assert not is_open(guard), "nothing was painted yet"
    guard.painted()
    ticked(guard, clock, DEAD_TICKS - 1)
    assert not is_open(guard)
    ticked(guard, clock, 1)
    assert is_open(guard)
    assert DEAD_TICKS * TICK >= 0.4


def test_a_key_in_the_dead_time_starts_it_anew() -> None:
    clock = Clock()
    guard = Guard(clock)
    guard.painted()
    for _ in range(5):
        ticked(guard, clock, DEAD_TICKS - 1)
        guard.restart()
    assert not is_open(guard)
    ticked(guard, clock, DEAD_TICKS)
    assert is_open(guard)


def test_time_alone_does_not_open_it() -> None:
    clock = Clock()
    guard = Guard(clock)
    guard.painted()
    clock.now += 3600
    assert not is_open(guard)
    guard.tick()  # the loop stood still for an hour; the keys that were typed meanwhile come behind this tick
    assert not is_open(guard)
    for _ in range(100):
        guard.tick()  # a heap of late ticks at one moment
    assert not is_open(guard)


def test_a_loop_that_stood_still_does_not_open_it_with_its_first_tick() -> None:
    clock = Clock()
    guard = Guard(clock)
    guard.painted()
    ticked(guard, clock, DEAD_TICKS - 1)
    ticked(guard, clock, 1, every=STALL * 10)
    assert not is_open(guard), "what was typed meanwhile comes now"
    guard.restart()
    ticked(guard, clock, DEAD_TICKS)
    assert is_open(guard)


def test_a_machine_that_is_always_late_opens_it_at_last() -> None:
    clock = Clock()
    guard = Guard(clock)
    guard.painted()
    ticked(guard, clock, 2 * DEAD_TICKS, every=STALL * 2)
    assert is_open(guard), "nothing may stand between an operator and a rollback"
