"""A newer action does not wait for what an older one runs: it ends that, and the older one begins nothing further. Taken out, each of these
waits for a command that outlives every test, or ends something that it has no business with."""

import asyncio
import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from quarterdeck.backends.errors import Fenced, HostLockBusy
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.backends.hosts.ssh.script import build
from quarterdeck.config.model import Commands, Hook
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import QUICK, quick_release
from tests.backends.ssh.test_scripts import SHELLS, _programs
from tests.counts import counts_are_full
from tests.sshd import SshdFleet, wait_for

pytestmark = [pytest.mark.trust(24), pytest.mark.sshd, pytest.mark.timeout(300)]

StartFleet = Callable[..., SshdFleet]
NO_SECRETS = SecretValues()
SLOW = 'touch "$QD_SHARED/begun"; sleep 4321; touch "$QD_SHARED/waited"'
DEAF = "trap '' TERM; " + SLOW
GLAD = "trap 'exit 0' TERM; " + SLOW.replace("sleep 4321", "sleep 4321 & wait $!")
ONCE = 'if [ -e "$QD_SHARED/begun" ]; then {quick}; else {slow}; fi'


@dataclass
class Ground:
    """One host, and two connections to it: of whoever is older, and of whoever is newer."""

    fleet: SshdFleet
    older: SshConnection
    newer: SshConnection
    files: Path
    path: Path
    shell: str

    @property
    def control(self) -> Path:
        return self.path / ".quarterdeck"

    @property
    def calls(self) -> list[str]:
        return (self.path / "shared" / "calls").read_text().splitlines()

    def fence(self, epoch: int) -> Fence:
        return Fence("test/web", epoch, f"rollout {epoch}, alice@bastion", f"{epoch}:abcdef")

    async def staged(self, version: str, commands: Commands = QUICK) -> Release:
        release, archive = quick_release(self.files, version, self.path, commands=commands)
        await self.older.stage(release, archive, NO_SECRETS, self.fence(1))
        return release

    async def until_it_runs(self) -> None:
        await asyncio.to_thread(wait_for, (self.path / "shared" / "begun").exists, "the older one's command runs")

    def running(self, *words: bytes) -> bool:
        """Whether a command with these words runs on the host."""
        for pid in self.fleet.tagged_processes():
            with contextlib.suppress(OSError):
                if set(words) <= set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                    return True
        return False

    def polls(self) -> bool:
        """Whether somebody waits for the lock who has looked whom to overtake: with flock -w, or by trying again after a moment."""
        return self.running(b"flock", b"-w") or self.running(b"sleep", b"0.2")

    def hook_as_nobody(self, release: Release, fence: Fence) -> str:
        """What the gate answers a login of somebody who may write there, and not signal the processes of the one who runs the tests."""
        values = {
            "path": str(self.path),
            "release": release.id,
            "target": fence.target,
            "epoch": str(fence.epoch),
            "holder": fence.holder,
            "anchor": fence.anchor,
            "op": "2.1",
            "time": "1",
            "wait": "3",
            "seconds": "10",
            "command": "true",
        }
        subprocess.run(["chmod", "-R", "a+rwX", str(self.path)], check=True, timeout=20)
        script = build("hook", values)
        programs = str(_programs(self.path.parent / "bin", self.shell))
        done = subprocess.run(
            [f"{programs}/sh"],
            input=script.ahead + script.text,
            capture_output=True,
            timeout=60,
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PATH": programs},
        )
        return done.stdout.decode()

    def assert_it_was_ended(self) -> None:
        wait_for(lambda: not self.running(b"4321"), "nothing of it goes on")
        assert not (self.path / "shared" / "waited").exists()


# The two that differ most; what bash makes of every script is tested with the others.
_SHELLS = SHELLS if counts_are_full() else [shell for shell in SHELLS if shell != "bash"]


@pytest.fixture(params=_SHELLS)
async def ground(request: pytest.FixtureRequest, start_sshd_fleet: StartFleet, tmp_path: Path) -> AsyncIterator[Ground]:
    """With each shell, and with the ``timeout`` of coreutils and of busybox."""
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', request.param)}"])
    backend = SshBackend([fleet.ssh_config])
    older, newer = [await backend.connect(fleet[0].as_host()) for _ in range(2)]
    yield Ground(fleet, older, newer, tmp_path, fleet[0].target, request.param)
    await older.close()
    await newer.close()


@pytest.mark.parametrize("slow", [SLOW, DEAF, GLAD], ids=["slow", "deaf", "glad"])
async def test_a_start_that_takes_long_is_ended(ground: Ground, slow: str) -> None:
    first = await ground.staged("v1")
    second = await ground.staged("v2", Commands(start=slow, stop=QUICK.stop, status=QUICK.status))
    await ground.older.switch(first, NO_SECRETS, ground.fence(1), "1.1")
    going = asyncio.create_task(ground.older.switch(second, NO_SECRETS, ground.fence(1), "1.2"))
    await ground.until_it_runs()
    outcome = await ground.newer.switch(first, NO_SECRETS, ground.fence(2), "2.1")
    assert (outcome.current, outcome.previous) == (first.id, second.id)
    with pytest.raises(Fenced, match=rf"ended half-way.*current points to {second.id}") as caught:
        await going
    assert (caught.value.epoch, caught.value.seen, caught.value.untouched) == (1, 2, False)
    ground.assert_it_was_ended()
    facts = await ground.newer.facts("test/web", str(ground.path), first)
    assert (facts.current, facts.running, facts.epoch) == (first.id, True, 2)
    assert (ground.control / "ops" / "1.2").read_text().endswith("complete\n")


@pytest.mark.parametrize("slow", [SLOW, GLAD], ids=["slow", "glad"])
async def test_after_a_stop_that_was_ended_nothing_is_started(ground: Ground, slow: str) -> None:
    stop = ONCE.format(quick=QUICK.stop, slow=slow)
    first = await ground.staged("v1", Commands(start=QUICK.start, stop=stop, status=QUICK.status))
    second = await ground.staged("v2", Commands(start='echo second >>"$QD_SHARED/calls"', stop="true", status="true"))
    await ground.older.switch(first, NO_SECRETS, ground.fence(1), "1.1")
    going = asyncio.create_task(ground.older.switch(second, NO_SECRETS, ground.fence(1), "1.2"))
    await ground.until_it_runs()
    assert (await ground.newer.switch(first, NO_SECRETS, ground.fence(2), "2.1")).previous == first.id
    with pytest.raises(Fenced, match=rf"ended half-way.*current points to {first.id}"):
        await going
    ground.assert_it_was_ended()
    assert "second" not in ground.calls


async def test_a_host_on_which_another_release_is_being_started_is_not_as_it_looks(ground: Ground) -> None:
    """It still runs the one before: whoever took that for settled would leave the host to what is under way there."""
    stop = ONCE.format(quick=QUICK.stop, slow=SLOW)
    first = await ground.staged("v1", Commands(start=QUICK.start, stop=stop, status=QUICK.status))
    second = await ground.staged("v2")
    await ground.older.switch(first, NO_SECRETS, ground.fence(1), "1.1")
    seen = await ground.newer.facts("test/web", str(ground.path), first)
    assert (seen.current, seen.running, seen.as_started) == (first.id, True, True)
    going = asyncio.create_task(ground.older.switch(second, NO_SECRETS, ground.fence(1), "1.2"))
    await ground.until_it_runs()
    seen = await ground.newer.facts("test/web", str(ground.path), first)
    assert (seen.current, seen.running, seen.as_started) == (first.id, True, False)
    await ground.newer.switch(first, NO_SECRETS, ground.fence(2), "2.1")
    with pytest.raises(Fenced):
        await going
    seen = await ground.newer.facts("test/web", str(ground.path), first)
    assert (seen.current, seen.running, seen.as_started) == (first.id, True, True)


async def test_a_hook_that_hangs_is_ended(ground: Ground) -> None:
    first = await ground.staged("v1")
    going = asyncio.create_task(ground.older.hook(Hook(""), SLOW, first, ground.fence(1), "1.1"))
    await ground.until_it_runs()
    assert (await ground.newer.hook(Hook(""), "true", first, ground.fence(2), "2.1")).exit_status == 0
    with pytest.raises(Fenced, match="ended half-way"):
        await going
    ground.assert_it_was_ended()


@pytest.mark.parametrize("newer", [(1, "1.2"), (2, "1.1")], ids=["same epoch", "same operation, taken over"])
async def test_who_is_not_newer_or_does_the_same_waits(ground: Ground, newer: tuple[int, str]) -> None:
    first = await ground.staged("v1")
    wait = 'touch "$QD_SHARED/begun"; while [ ! -f "$QD_SHARED/go" ]; do sleep 0.1; done'
    going = asyncio.create_task(ground.older.hook(Hook(""), wait, first, ground.fence(1), "1.1"))
    await ground.until_it_runs()
    epoch, op_id = newer
    waiting = asyncio.create_task(ground.newer.hook(Hook(""), "exit 7", first, ground.fence(epoch), op_id))
    await asyncio.to_thread(wait_for, ground.polls, "the newer one waits for the lock")
    (ground.path / "shared" / "go").touch()
    assert (await going).exit_status == 0
    assert (await waiting).exit_status == (0 if op_id == "1.1" else 7)


async def test_who_has_asked_for_the_host_fences_as_who_has_got_it(ground: Ground) -> None:
    first = await ground.staged("v1")
    await ground.older.switch(first, NO_SECRETS, ground.fence(4), "4.1")
    (ground.control / "wanted").write_text("5\nrollout 5, bob@bastion\n5:abcdef\n")
    with pytest.raises(Fenced, match=r"refused, epoch 4 .*bob@bastion") as caught:
        await ground.older.hook(Hook(""), "touch ../../hooked", first, ground.fence(4), "4.2")
    assert caught.value.untouched
    assert not (ground.path / "hooked").exists()
    assert (await ground.older.facts("test/web", str(ground.path))).epoch == 5
    assert (await ground.newer.hook(Hook(""), "true", first, ground.fence(5), "5.1")).exit_status == 0
    assert (ground.control / "epoch").read_text().splitlines()[0] == "5"


@pytest.mark.parametrize("newer", ["hook", "finish"])
async def test_who_would_not_put_the_service_right_waits_for_a_start(ground: Ground, newer: str) -> None:
    """Ended for a hook or for cleaning up, the service would stay down: nothing of theirs starts it."""
    first = await ground.staged("v1")
    wait = 'touch "$QD_SHARED/begun"; while [ ! -f "$QD_SHARED/go" ]; do sleep 0.1; done; ' + QUICK.start
    second = await ground.staged("v2", Commands(start=wait, stop=QUICK.stop, status=QUICK.status))
    going = asyncio.create_task(ground.older.switch(second, NO_SECRETS, ground.fence(1), "1.1"))
    await ground.until_it_runs()

    async def other() -> None:
        if newer == "hook":
            await ground.newer.hook(Hook(""), "true", first, ground.fence(2), "2.1")
        else:
            await ground.newer.finish(first, [], ground.fence(2), "2.1")

    waiting = asyncio.create_task(other())
    await asyncio.to_thread(wait_for, lambda: ground.polls() or going.done(), "the newer one waits for the lock")
    assert not (ground.control / "wanted").exists()
    (ground.path / "shared" / "go").touch()
    assert (await going).current == second.id
    await waiting


async def test_what_was_ended_half_way_is_done_when_it_is_asked_for_under_a_newer_epoch(ground: Ground) -> None:
    first = await ground.staged("v1")
    hook = ONCE.format(quick="exit 7", slow=SLOW)
    going = asyncio.create_task(ground.older.hook(Hook(""), hook, first, ground.fence(1), "1.1"))
    await ground.until_it_runs()
    await ground.newer.hook(Hook(""), "true", first, ground.fence(2), "2.1")
    with pytest.raises(Fenced, match="ended half-way"):
        await going
    again = await ground.newer.hook(Hook(""), hook, first, ground.fence(3), "1.1")
    assert (again.exit_status, again.replayed) == (7, False)
    assert (await ground.newer.hook(Hook(""), hook, first, ground.fence(3), "1.1")).replayed


@dataclass
class Held:
    """The lock of a host whose holder can't be told. ``stranger``: a process that has nothing to do with it, but waits for it too."""

    lock: TextIO
    stranger: int


@pytest.fixture
def held(ground: Ground) -> Iterator[Held]:
    ground.control.mkdir(parents=True)
    (ground.control / "ops").mkdir()
    with (ground.control / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waits = ["sh", "-c", 'exec 9>>"$0"; exec sleep 600', str(ground.control / "lock")]
        stranger = subprocess.Popen(waits)
        wait_for(Path(f"/proc/{stranger.pid}/fd/9").exists, "it has the lock's file open")
        yield Held(lock, stranger.pid)
    assert stranger.poll() is None, "it was ended"
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("script", ["parent", "gone", "nobody"])
async def test_a_number_that_another_process_has_now_is_left_alone(
    ground: Ground, held: Held, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.backends.hosts.ssh.connection._LONGEST_WAIT", 2.0)
    first = await ground.staged("v1")
    parent = {"parent": os.getpid(), "gone": 2**22 + 1, "nobody": ""}[script]
    (ground.control / "at-work").write_text(f"1 1.1 restart {parent} {held.stranger}\n")
    with pytest.raises(HostLockBusy):
        await ground.newer.switch(first, NO_SECRETS, ground.fence(2), "2.1")
    assert (ground.control / "wanted").exists()


async def test_of_two_who_want_the_host_the_newest_has_the_last_word(ground: Ground, held: Held) -> None:
    """Both may look before either has told it; then the older one's wish may be the one that is left."""
    first = await ground.staged("v1")
    (ground.control / "at-work").write_text(f"1 1.1 restart 1 {held.stranger}\n")
    waiting = asyncio.create_task(ground.newer.switch(first, NO_SECRETS, ground.fence(3), "3.1"))
    wanted = ground.control / "wanted"

    def told() -> bool:
        return wanted.exists() and wanted.read_text().startswith("3\n")

    await asyncio.to_thread(wait_for, told, "it tells that it wants the host")
    wanted.write_text("2\nrollout 2, bob@bastion\n2:abcdef\n")
    await asyncio.to_thread(wait_for, told, "it tells it once more")
    fcntl.flock(held.lock, fcntl.LOCK_UN)
    assert (await waiting).current == first.id


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user may write to, as no directory of pytest's is."""
    with tempfile.TemporaryDirectory(prefix="qd-open-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.root
async def test_what_another_user_runs_is_waited_for(ground: Ground, open_to_all: Path) -> None:
    ground.path = open_to_all / "srv"
    first = await ground.staged("v1")
    going = asyncio.create_task(ground.older.hook(Hook(""), SLOW, first, ground.fence(1), "1.1"))
    await ground.until_it_runs()
    answer = await asyncio.to_thread(ground.hook_as_nobody, first, ground.fence(2))
    assert " busy rollout 1, alice@bastion" in answer
    assert ground.running(b"4321")
    assert (ground.control / "wanted").read_text().startswith("2\n")
    # Whoever may signal it overtakes it, also under an epoch that is wished for already.
    assert (await ground.newer.hook(Hook(""), "true", first, ground.fence(2), "2.2")).exit_status == 0
    with pytest.raises(Fenced):
        await going
    ground.assert_it_was_ended()
