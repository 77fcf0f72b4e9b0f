"""Files of flag definitions on real hosts: one file that differs, a host that is away, somebody who writes at the same time."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, FlagRefused, NotPermitted, Unreachable
from quarterdeck.backends.flags import flag_files
from quarterdeck.backends.flags.contract import FlagState
from quarterdeck.backends.flags.opening import open_flag
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.flags import FlagdFlag
from tests.backends.flags.kinds import DEFINITIONS, FlagdHere, FlagdThere
from tests.requirements_here import need
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


@pytest.fixture
def over(tmp_path: Path, sshd_fleet: SshdFleet) -> Iterator[FlagdThere]:
    made = FlagdThere(sshd_fleet, tmp_path)
    yield made
    made.close()


async def test_hosts_that_differ_are_told_and_brought_together(over: FlagdThere) -> None:
    flag = over.connect()
    await flag.set(5)
    over.files[1].write_text(DEFINITIONS)
    state = await flag.read()
    assert state.percent == 5
    assert state.problems == ("its hosts differ: host-1 5 %, host-2 0 %",)
    assert (await flag.set(5)).state == FlagState(5)
    assert over.files[0].read_text() == over.files[1].read_text()


async def test_a_host_without_the_file_and_none_is_changed(over: FlagdThere) -> None:
    over.files[1].unlink()
    with pytest.raises(FlagRefused, match=r"flag checkout on host-2: read .*: there is no file ~/.*flags.json") as told:
        await over.connect().set(5)
    assert told.value.untouched
    assert over.files[0].read_text() == DEFINITIONS
    with pytest.raises(FlagRefused, match="host-1 did it"):
        await over.connect().off()


async def test_the_kill_switch_reaches_every_host_that_can_be_reached(over: FlagdThere) -> None:
    flag = over.connect()
    await flag.set(50)
    host = over.fleet.hosts[0]
    host.stop()
    try:
        with pytest.raises(Unreachable, match=r"flag checkout on host-1: set the flag to 0 %.*host-2 did it"):
            await flag.off()
    finally:
        host.start()
    assert json.loads(over.files[1].read_text())["flags"]["new-checkout"]["targeting"] == {
        "fractional": [["on", 0], ["off", 100]]
    }
    assert (await flag.off()).state == FlagState(0)


async def test_a_host_that_hangs_holds_nobody_up_for_longer_than_the_deadline(over: FlagdThere) -> None:
    host = over.fleet.hosts[0]
    host.freeze()
    try:
        with pytest.raises(Unreachable, match="no answer within 1"):
            await over.connect().read(deadline=1.0)
    finally:
        host.thaw()


async def test_somebody_who_writes_at_the_same_time_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = FlagdHere(tmp_path)
    replace = flag_files.FlagFile.replace
    others = iter([1, 2])

    async def replace_late(self: flag_files.FlagFile, was: str, new: str) -> None:
        """Somebody else is quicker, twice."""
        if (number := next(others, None)) is not None:
            kind.file.write_text(kind.file.read_text().replace('"red": 1.0', f'"red": 1.0, "other-{number}": 7'))
        await replace(self, was, new)

    monkeypatch.setattr(flag_files.FlagFile, "replace", replace_late)
    assert (await kind.connect().set(5)).state == FlagState(5)
    assert '"red": 1.0, "other-2": 7, "other-1": 7' in kind.file.read_text()


async def test_one_who_writes_again_and_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = FlagdHere(tmp_path)
    replace = flag_files.FlagFile.replace

    async def replace_late(self: flag_files.FlagFile, was: str, new: str) -> None:
        kind.file.write_text(kind.file.read_text() + "\n")
        await replace(self, was, new)

    monkeypatch.setattr(flag_files.FlagFile, "replace", replace_late)
    with pytest.raises(FlagRefused, match="somebody else has changed it in this very moment"):
        await kind.connect().set(5)
    assert kind.file.read_text().strip() == DEFINITIONS.strip()


async def test_what_is_not_a_share_is_left_alone_but_for_the_kill_switch(tmp_path: Path) -> None:
    kind = FlagdHere(tmp_path)
    whole = json.loads(DEFINITIONS)
    whole["flags"]["new-checkout"]["targeting"] = {"if": [{"var": "beta"}, "on", "off"]}
    kind.file.write_text(json.dumps(whole))
    flag = kind.connect()
    with pytest.raises(FlagRefused, match="its targeting is no share of on and off") as told:
        await flag.set(5)
    assert told.value.left == "The flag was not changed"
    assert json.loads(kind.file.read_text()) == whole
    assert (await flag.off()).state == FlagState(0)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o600])
async def test_permissions_and_links_stay(tmp_path: Path, mode: int) -> None:
    kind = FlagdHere(tmp_path)
    real = tmp_path / "real" / "flags.json"
    real.parent.mkdir()
    kind.file.rename(real)
    kind.file.symlink_to(real)
    real.chmod(mode)
    await kind.connect().set(5)
    assert kind.file.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == mode
    assert sorted(path.name for path in real.parent.iterdir()) == ["flags.json"]


@pytest.mark.root
async def test_another_s_file_stays_his(tmp_path: Path) -> None:
    kind = FlagdHere(tmp_path)
    os.chown(kind.file, 12345, 54321)
    await kind.connect().set(5)
    assert (kind.file.stat().st_uid, kind.file.stat().st_gid) == (12345, 54321)


async def test_whoever_reads_it_meanwhile_never_sees_half_of_it(tmp_path: Path) -> None:
    kind = FlagdHere(tmp_path)
    flag, seen, over = kind.connect(), set(), asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            definition = json.loads(kind.file.read_text())["flags"]["new-checkout"]
            seen.add(json.dumps(definition.get("targeting")))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for percent in (5, 20, 60):
        await flag.set(percent)
    over.set()
    await looking
    assert len(seen) >= 2


@pytest.mark.parametrize("name", ["a b", "it's", "$(touch ran)", '"; touch ran; "', "-n"])
async def test_a_path_is_a_path(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "flags.json"
    file.parent.mkdir()
    file.write_text(DEFINITIONS)
    flag = open_flag(FlagdFlag(str(file), "new-checkout", name="checkout"), Hosts(), {}, tmp_path)
    assert (await flag.set(5)).state == FlagState(5)
    assert not (tmp_path / "ran").exists()


async def test_a_large_file_goes_over_too(over: FlagdThere) -> None:
    whole = json.loads(DEFINITIONS)
    whole["flags"] |= {f"flag-{n}": {"state": "ENABLED", "variants": {"a": "é" * 300}} for n in range(1500)}
    for file in over.files:
        file.write_text(json.dumps(whole, ensure_ascii=False))
    assert (await over.connect().set(5)).state == FlagState(5)
    after = json.loads(over.files[0].read_text())
    after["flags"].pop("new-checkout"), whole["flags"].pop("new-checkout")
    assert after == whole


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (lambda file: file.write_text("x" * (1024 * 1024 + 1)), FlagRefused, "more than 1048576 bytes"),
        (lambda file: file.write_bytes(b"\xff{}"), FlagRefused, "no UTF-8 text"),
        (lambda file: (file.unlink(), file.mkdir()), FlagRefused, "there is no file"),
        (lambda file: file.write_text("flags: {}"), FlagRefused, "it is no JSON"),
    ],
    ids=["too large", "no text", "a directory", "YAML"],
)
async def test_what_can_not_be_read(
    tmp_path: Path, make: Callable[[Path], object], kind: type[BackendError], told: str
) -> None:
    flag = FlagdHere(tmp_path)
    make(flag.file)
    with pytest.raises(kind, match=told):
        await flag.connect().read()


async def test_hosts_that_are_none(over: FlagdThere) -> None:
    unknown = FlagdFlag("~/f", "new-checkout", name="checkout", hosts=("nowhere",))
    with pytest.raises(BackendError, match="flag checkout on nowhere: read the flag: there is no such host"):
        await over.connect(unknown).read()


@pytest.fixture
def sealed(over: FlagdThere) -> Iterator[str]:
    """A file on host-1 whose directory nobody may write, not even root: as it is where it is mounted into a container."""
    directory = over.files[0].parent / f"{over.files[0].name}.d"
    directory.mkdir()
    (directory / "flags.json").write_text(DEFINITIONS)
    seal = ["chattr", "+i"] if os.geteuid() == 0 else ["chmod", "500"]
    done = subprocess.run([*seal, str(directory)], capture_output=True, timeout=10)
    need(done.returncode == 0, "a file system with immutable directories (chattr +i)")
    yield f"~/{directory.name}/flags.json"
    subprocess.run([seal[0], "-i" if os.geteuid() == 0 else "700", str(directory)], check=True, timeout=10)
    shutil.rmtree(directory)


async def test_a_directory_that_may_not_be_written(over: FlagdThere, sealed: str) -> None:
    flag = FlagdFlag(sealed, "new-checkout", name="checkout", hosts=("host-1",))
    with pytest.raises(NotPermitted, match=r"(?i)flag checkout on host-1: write ~/.*let the login user"):
        await over.connect(flag).set(5)
    assert (await over.connect(flag).read()) == FlagState(0)
