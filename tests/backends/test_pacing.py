"""Places that are given on: so many at once, and nobody is held up by one who hangs."""

import asyncio

from quarterdeck.backends.pacing import Pace
from tests.jumping_clock import run_jumping

BOUND = 30.0  # seconds for what takes milliseconds


async def test_no_more_than_there_are_places_are_at_work() -> None:
    pace, at_work, most = Pace(3, 60.0), 0, 0

    async def work() -> None:
        nonlocal at_work, most
        async with pace.place():
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0)
            at_work -= 1

    async with asyncio.timeout(BOUND):
        await asyncio.gather(*(work() for _ in range(50)))
    assert most == 3


async def test_who_hangs_gives_its_place_on_and_stays() -> None:
    """More of them than places, and in front of all others. Seen to fail with places that are never given on."""
    pace, hang = Pace(2, 0.05), asyncio.Event()

    async def hung() -> None:
        async with pace.place():
            await hang.wait()

    hanging = [asyncio.create_task(hung()) for _ in range(7)]
    await asyncio.sleep(0)  # they are first
    async with asyncio.timeout(BOUND), pace.place():
        assert not any(task.done() for task in hanging)
    hang.set()
    await asyncio.gather(*hanging)
    # Each place was given back once: there are two of them again, not nine.
    async with asyncio.timeout(BOUND), pace.place(), pace.place():
        third = asyncio.create_task(pace.place().__aenter__())
        await asyncio.sleep(0.01)
        assert not third.done(), "a third place"
        third.cancel()


def test_who_goes_on_keeps_its_place_for_as_long_as_that() -> None:
    async def goes_on() -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(1, 0.5)
        async with pace.place() as turn:
            waiting = asyncio.create_task(pace.place().__aenter__())
            while loop.time() < 1.2:
                await asyncio.sleep(0.01)
                turn.moved()
            assert not waiting.done()
            await waiting  # nothing moves any more
            assert 1.69 < loop.time() < 1.73

    run_jumping(goes_on())


async def test_who_leaves_the_line_takes_no_place_along() -> None:
    pace = Pace(1, 60.0)
    async with pace.place():
        waiting = asyncio.create_task(pace.place().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with asyncio.timeout(BOUND), pace.place():
        pass
