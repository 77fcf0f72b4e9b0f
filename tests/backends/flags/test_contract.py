"""What every flag does: set, read back, set again without a change, switched off, and changed by hand."""

import contextlib

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.flags.contract import FlagState
from tests.backends.flags.kinds import Kind

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


async def test_it_goes_up_and_down_and_is_read_back(kind: Kind) -> None:
    flag = kind.connect()
    before = await flag.read()
    assert (before.reaches, before.problems) == (0, ())
    for percent in (5, 50, 100, 20):
        changed = await flag.set(percent)
        assert (changed.already, changed.state) == (False, FlagState(percent))
        assert await flag.read() == FlagState(percent)
    assert (await kind.connect().read()).reaches == 20


async def test_what_is_so_already_is_not_done_again(kind: Kind) -> None:
    flag = kind.connect()
    assert not (await flag.set(5)).already
    again = await flag.set(5)
    assert (again.already, again.before, again.state) == (True, FlagState(5), FlagState(5))


async def test_the_kill_switch_and_what_it_was_before(kind: Kind) -> None:
    flag = kind.connect()
    was = await flag.read()
    await flag.set(50)
    off = await flag.off()
    assert (off.before.reaches, off.state.reaches, off.already) == (50, 0, False)
    assert (await flag.read()).reaches == 0
    assert (await flag.off()).already
    await flag.set(50)
    back = await flag.set(was.percent, enabled=was.enabled, force=True)
    assert back.state == was == await flag.read()


async def test_down_and_never_up(kind: Kind) -> None:
    flag = kind.connect()
    await flag.set(50)
    down = await flag.lower(20)
    assert (down.already, down.before, down.state) == (False, FlagState(50), FlagState(20))
    assert (await flag.lower(20)).already
    assert (await flag.lower(70)).already
    assert await flag.read() == FlagState(20)
    await flag.off()
    assert (await flag.lower(20)).state.reaches == 0
    assert (await flag.read()).reaches == 0
    assert (await flag.lower(0, enabled=False)).already


async def test_what_can_not_be_read_is_not_raised(kind: Kind) -> None:
    """Somebody has switched it off, and nobody can see that."""
    flag = kind.connect()
    await flag.set(50)
    await flag.off()
    with kind.unreadable():
        with pytest.raises(BackendError) as told:
            await flag.lower(20)
        assert told.value.left.startswith("Nothing was written: somebody may have switched it off")
        assert told.value.untouched
    assert (await flag.read()).reaches == 0
    await flag.set(50)
    with kind.unreadable(), contextlib.suppress(BackendError):  # a command is told all the same that nobody gets it
        await flag.lower(0)
    await flag.lower(0)
    assert (await flag.read()).reaches == 0


async def test_a_change_by_hand_is_told(kind: Kind) -> None:
    flag = kind.connect()
    await flag.set(5)
    kind.by_hand(70)
    assert await flag.read() == FlagState(70)
    changed = await flag.set(10)
    assert (changed.before, changed.state) == (FlagState(70), FlagState(10))


async def test_errors_name_the_flag_and_where_it_is(kind: Kind) -> None:
    assert kind.connect().name.startswith("flag checkout ")
