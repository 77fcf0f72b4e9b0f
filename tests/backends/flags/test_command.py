"""A flag behind commands: what they print, what they get, and what is left of one that hangs."""

from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, FlagRefused, NotReadBack
from quarterdeck.backends.flags.contract import FlagState
from tests.backends.flags.kinds import ByCommand
from tests.playground.by_hand import alive
from tests.sshd import wait_for

pytestmark = pytest.mark.timeout(300)


async def test_the_number_comes_as_an_argument_and_in_a_variable(tmp_path: Path) -> None:
    kind = ByCommand(tmp_path)
    flag = kind.connect(set='echo "$# $1 $QD_PERCENT $QD_FLAG $MORE" > said; echo "$1" > value', env={"MORE": "a b"})
    await flag.set(5)
    assert (tmp_path / "said").read_text() == "1 5 5 checkout a b\n"


@pytest.mark.parametrize(("printed", "percent"), [("25", 25), ("25%", 25), (" 2.5 % ", 2.5), ("all well\n100\n", 100)])
async def test_what_it_prints_last_is_the_percentage(tmp_path: Path, printed: str, percent: float) -> None:
    (tmp_path / "printed").write_text(printed)
    assert await ByCommand(tmp_path).connect(read="cat printed").read() == FlagState(percent)


@pytest.mark.parametrize("printed", ["", "on", "-1", "101", "nan", "inf", "5 %; x"])
async def test_what_is_no_percentage_is_refused(tmp_path: Path, printed: str) -> None:
    (tmp_path / "printed").write_text(printed)
    with pytest.raises(FlagRefused, match="no percentage"):
        await ByCommand(tmp_path).connect(read="cat printed").read()


async def test_one_that_fails_tells_no_secret(tmp_path: Path) -> None:
    flag = ByCommand(tmp_path).connect(read="echo hunter2; echo hunter2 >&2; exit 3")
    with pytest.raises(CommandFailed, match="`read` ended with 3") as told:
        await flag.read()
    assert "hunter2" not in str(told.value)


async def test_one_that_fails_before_it_sets_has_changed_nothing(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as told:
        await ByCommand(tmp_path).connect(read="exit 1").set(5)
    assert told.value.untouched
    with pytest.raises(CommandFailed, match="`set` ended with 1") as told:
        await ByCommand(tmp_path).connect(set="exit 1").set(5)
    assert not told.value.untouched


async def test_the_kill_switch_does_not_need_to_read_first(tmp_path: Path) -> None:
    kind = ByCommand(tmp_path)
    with pytest.raises(BackendError):
        await kind.connect(read="exit 1", set='echo "$1" > set').off()
    assert (tmp_path / "set").read_text() == "0\n"


async def test_what_is_not_read_back_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(NotReadBack, match="its `set` ended well, and its `read` says 0 %"):
        await ByCommand(tmp_path).connect(set="true").set(5)


async def test_at_its_deadline_nothing_of_it_is_left(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    flag = ByCommand(tmp_path).connect(set=f"sleep 600 & echo $! > {pids}; echo $$ >> {pids}; wait")
    with pytest.raises(CommandTimedOut, match="`set` did not end in time"):
        await flag.set(5, deadline=5)
    wait_for(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()), "all of it has ended")
