"""The scripts under the shells that hosts have, and what they do when a host lacks something."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.config.model import Commands, Hook
from tests.backends.ssh.releases import quick_release
from tests.sshd import SshdFleet

StartFleet = Callable[..., SshdFleet]
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
SCRIPTS = sorted(path.name for path in files("quarterdeck.backends.hosts.ssh").joinpath("scripts").iterdir())
NO_SECRETS = SecretValues()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_read_by_every_shell(shell: str, script: str) -> None:
    text = files("quarterdeck.backends.hosts.ssh").joinpath("scripts", script).read_text(encoding="utf-8")
    command = ["busybox", "ash", "-n"] if shell == "busybox" else [shell, "-n"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def _programs(directory: Path, shell: str, without: tuple[str, ...] = ()) -> Path:
    """A PATH of one directory: the usual programs, ``sh`` being ``shell``; with busybox everything is busybox."""
    directory.mkdir()
    if shell == "busybox":
        subprocess.run([str(shutil.which("busybox")), "--install", "-s", str(directory)], check=True, timeout=20)
        if not (directory / "flock").exists():  # Debian's busybox is built without it, Alpine's with it
            (directory / "flock").symlink_to(str(shutil.which("flock")))
    else:
        for place in ("/usr/bin", "/bin"):
            for program in os.listdir(place):
                if program not in without and not (directory / program).exists():
                    (directory / program).symlink_to(f"{place}/{program}")
        (directory / "sh").unlink()
        (directory / "sh").symlink_to(str(shutil.which(shell)))
    for program in without:
        (directory / program).unlink(missing_ok=True)
    return directory


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_whole_life_under_each_shell(start_sshd_fleet: StartFleet, tmp_path: Path, shell: str) -> None:
    path = _programs(tmp_path / "bin", shell)
    fleet = start_sshd_fleet(1, environment=[f"PATH={path}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    fence = Fence("test/web", 3, "me", "1:abc")
    place = fleet[0].target
    first, archive = quick_release(tmp_path, "v1", place, env={"A": 'it\'s $HOME "x" `id`'})
    second, other = quick_release(tmp_path, "v2", place)
    await connection.stage(first, archive, SecretValues({"B": "two\nlines"}), fence)
    assert (await connection.stage(first, archive, NO_SECRETS, fence)).already
    await connection.stage(second, other, NO_SECRETS, fence)
    assert (await connection.switch(first, NO_SECRETS, fence, "1.1")).current == first.id
    outcome = await connection.hook(Hook(""), 'printf "%s|%s" "$A" "$B"; exit 3', first, fence, "1.2")
    assert (outcome.exit_status, outcome.output) == (3, 'it\'s $HOME "x" `id`|two\nlines')
    assert (await connection.switch(second, NO_SECRETS, fence, "1.3")).previous == first.id
    assert (await connection.switch(second, NO_SECRETS, fence, "1.3")).replayed
    facts = await connection.facts("test/web", str(place))
    assert (facts.current, facts.running, facts.epoch, facts.problems) == (second.id, True, 3, ())
    assert [kept.intact for kept in facts.kept] == [True, True]
    assert await connection.finish(second, [], fence, "1.4", prune_to=0) == (first.id,)
    assert (await connection.withdraw(second, fence, "1.5")).current is None
    assert (await connection.vitals(str(place))).cores > 0
    await connection.close()


@pytest.mark.parametrize("missing", ["flock", "tar", "timeout"])
async def test_a_missing_program_is_named(start_sshd_fleet: StartFleet, tmp_path: Path, missing: str) -> None:
    path = _programs(tmp_path / "bin", "dash", (missing,))
    fleet = start_sshd_fleet(1, environment=[f"PATH={path}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    fence = Fence("test/web", 1, "me")
    release, archive = quick_release(tmp_path, "v1", fleet[0].target)

    async def use_it() -> None:
        await connection.facts("test/web", str(fleet[0].target))
        await connection.stage(release, archive, NO_SECRETS, fence)
        await connection.switch(release, NO_SECRETS, fence, "1.1")

    with pytest.raises(BackendError) as caught:
        await use_it()
    assert f"{missing} is missing on the host" in str(caught.value)
    await connection.close()


@pytest.mark.parametrize("missing", ["flock", "tar", "timeout"])
async def test_who_only_looks_is_told_of_a_missing_program(
    start_sshd_fleet: StartFleet, tmp_path: Path, missing: str
) -> None:
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', 'dash', (missing,))}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    try:
        told = " ".join((await connection.facts("test/web", str(fleet[0].target))).problems)
    except BackendError as error:
        told = str(error)
    assert f"{missing} is missing on the host" in told
    await connection.close()


@pytest.mark.parametrize("command", ["/bin/false", "echo This account is not available.; exit 1", "no-such-program"])
async def test_a_login_shell_that_runs_nothing(start_sshd_fleet: StartFleet, tmp_path: Path, command: str) -> None:
    fleet = start_sshd_fleet(1, options=[f"ForceCommand {command}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    release, archive = quick_release(tmp_path, "v1", fleet[0].target)
    with pytest.raises(CommandFailed, match=r"host-1: .*the host's shell did not run the command"):
        await connection.facts("test/web", str(fleet[0].target))
    with pytest.raises(CommandFailed, match=r"host-1: .*the host's shell did not run the command"):
        await connection.stage(release, archive, NO_SECRETS, Fence("test/web", 1, "me"))
    await connection.close()


async def test_noise_of_a_login_shell_is_no_answer(start_sshd_fleet: StartFleet, tmp_path: Path) -> None:
    fleet = start_sshd_fleet(1, options=['ForceCommand echo "Welcome"; echo "done 0"; eval "$SSH_ORIGINAL_COMMAND"'])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    assert (await connection.facts("test/web", str(fleet[0].target))).current is None
    await connection.close()


@pytest.mark.parametrize("shell", SHELLS)
async def test_only_the_release_that_was_changed_is_damaged(
    start_sshd_fleet: StartFleet, tmp_path: Path, shell: str
) -> None:
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', shell)}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    place = fleet[0].target
    names = []
    for version in ("v1", "v2", "v3"):
        release, archive = quick_release(tmp_path, version, place)
        await connection.stage(release, archive, NO_SECRETS, Fence("test/web", 1, "me"))
        names.append(release.id)

    async def intact() -> dict[str, bool]:
        kept = (await connection.facts("test/web", str(place))).kept
        return {found.release: found.intact for found in kept}

    assert await intact() == dict.fromkeys(names, True)
    with (place / "releases" / names[1] / "qd.run").open("a") as file:
        file.write("run_start=true\n")
    assert await intact() == {names[0]: True, names[1]: False, names[2]: True}
    # A record that holds no checksum at all proves nothing, whatever stands beside it.
    (place / "releases" / names[1] / "qd.sha256").write_text("nothing\n")
    assert await intact() == {names[0]: True, names[1]: False, names[2]: True}
    (place / "releases" / names[1] / "qd.sha256").write_text("")
    assert await intact() == {names[0]: True, names[1]: False, names[2]: True}
    await connection.close()


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_fence_is_read_as_it_was_written_last(
    start_sshd_fleet: StartFleet, tmp_path: Path, shell: str
) -> None:
    """In place where the shell writes in one go, whatever a longer one leaves behind; a file that may not be written is replaced."""
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', shell)}"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    place = fleet[0].target
    release, archive = quick_release(tmp_path, "v1", place)
    written = place / ".quarterdeck" / "epoch"
    files = []
    for number, (epoch, holder) in enumerate([(9, "a holder with a long name"), (10, "b"), (10, "c"), (11, "d e")]):
        fence = Fence("test/web", epoch, holder, f"{number}:{'f' * (64 if number == 0 else 3)}")
        await connection.stage(release, archive, NO_SECRETS, fence)
        assert (await connection.switch(release, NO_SECRETS, fence, f"{number}.1")).current == release.id
        facts = await connection.facts("test/web", str(place))
        assert (facts.epoch, facts.holder, facts.anchor) == (epoch, holder, fence.anchor)
        files.append(written.stat().st_ino)
    assert len(set(files)) == 1 or shell == "bash"
    await connection.close()


async def test_a_switch_is_logged_with_the_time_of_the_host(start_sshd_fleet: StartFleet, tmp_path: Path) -> None:
    """Which looking has told: a switch asks for it only where that was not done, or is long ago."""
    path, asked = _programs(tmp_path / "bin", "dash"), tmp_path / "asked"
    (path / "date").unlink()
    (path / "date").write_text(f'#!/bin/sh\necho asked >>{asked}\nexec {shutil.which("date")} -d "+3 hours" "$@"\n')
    (path / "date").chmod(0o755)
    fleet = start_sshd_fleet(1, environment=[f"PATH={path}"])
    place, fence = fleet[0].target, Fence("test/web", 1, "me")
    release, archive = quick_release(tmp_path, "v1", place)

    async def put_there(connection: SshConnection, op_id: str) -> tuple[timedelta, int]:
        before = len(asked.read_text().splitlines()) if asked.exists() else 0
        await connection.switch(release, NO_SECRETS, fence, op_id)
        last = (place / "shared" / "log" / "service.log").read_text().splitlines()[-1]
        ahead = datetime.fromisoformat(last.split()[0]) - datetime.now(UTC)
        return ahead, len(asked.read_text().splitlines()) - before

    backend = SshBackend([fleet.ssh_config])
    connection = await backend.connect(fleet[0].as_host())
    await connection.stage(release, archive, NO_SECRETS, fence)
    await connection.facts("test/web", str(place), then_switch=True)
    ahead, times = await put_there(connection, "1.1")
    assert times == 0
    assert timedelta(hours=2, minutes=58) < ahead < timedelta(hours=3, minutes=1)
    await connection.close()
    connection = await backend.connect(fleet[0].as_host())
    ahead, times = await put_there(connection, "1.2")  # nobody has looked through this connection
    assert times == 2  # it is stopped and started
    assert timedelta(hours=2, minutes=58) < ahead < timedelta(hours=3, minutes=1)
    await connection.close()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("directory", "kept"), [(0o755, 0o600), (0o2775, 0o660)], ids=["its user's", "shared"])
async def test_what_a_command_printed_is_kept_for_those_alone_who_may_read_the_secrets(
    start_sshd_fleet: StartFleet, tmp_path: Path, shell: str, directory: int, kept: int
) -> None:
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', shell)}"])
    place = fleet[0].target
    place.mkdir(parents=True)
    place.chmod(directory)
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    fence = Fence("test/web", 1, "me")
    release, archive = quick_release(
        tmp_path, "v1", place, commands=Commands(start="echo a secret; exit 1", stop="true")
    )
    await connection.stage(release, archive, NO_SECRETS, fence)
    await connection.hook(Hook(""), "echo a secret; touch ../../made", release, fence, "1.1")
    with pytest.raises(CommandFailed):
        await connection.switch(release, NO_SECRETS, fence, "1.2")
    await connection.close()
    operations = place / ".quarterdeck" / "ops"
    outputs = {file.name: file.stat().st_mode & 0o777 for file in operations.glob("*.out")}
    assert outputs == {"1.1.out": kept, "1.2.out": kept}
    assert all("a secret" in (operations / name).read_text() for name in outputs)
    others = 0o664 if directory == 0o2775 else 0o644
    for file in (place / "made", operations / "1.1", place / ".quarterdeck" / "ledger"):
        assert file.stat().st_mode & 0o777 == others, file
