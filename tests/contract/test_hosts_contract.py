"""What every implementation of the hosts contract keeps, on real hosts."""

import asyncio
import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from quarterdeck.backends.errors import (
    ArtifactRefused,
    BackendError,
    CommandFailed,
    CommandTimedOut,
    Fenced,
    HostLockBusy,
    Unreachable,
)
from quarterdeck.backends.hosts.contract import Connection, Fence, HostBackend, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import (
    CommandCheck,
    Commands,
    ConfigFile,
    Health,
    Hook,
    HttpCheck,
    Logs,
    Runner,
    TcpCheck,
)
from quarterdeck.config.release import Release, ResolvedArtifact, release_from_json
from tests.backends.ssh.releases import QUICK, http_release, quick_release, resolved
from tests.sshd import SshdFleet, SshHost, free_port, wait_for

NO_SECRETS = SecretValues()


@dataclass
class Place:
    """A host, a connection to it and a directory for a target there."""

    backend: HostBackend
    connection: Connection
    host: SshHost
    path: Path
    files: Path

    def release(self, version: str, *, commands: Commands = QUICK, **more: object) -> tuple[Release, Path]:
        return quick_release(self.files, version, self.path, commands=commands, **more)

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence("test/web", epoch, holder, f"{epoch}:abcdef")

    async def staged(self, version: str, **more: object) -> Release:
        release, archive = self.release(version, **more)  # type: ignore[arg-type] # passed through
        await self.connection.stage(release, archive, NO_SECRETS, self.fence())
        return release

    @property
    def calls(self) -> list[str]:
        file = self.path / "shared" / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def kept(self) -> list[Path]:
        return list((self.path / "releases").iterdir())

    @property
    def escaped(self) -> list[Path]:
        """What a member of an archive has written outside of its release."""
        return [*self.files.rglob("*escaped*"), *Path("/tmp").glob("qd-escaped")]

    @property
    def left_over(self) -> list[str]:
        """What an upload or a removal that was cut short would leave behind."""
        return [path.name for path in (self.path / "releases").glob(".*")] if self.path.exists() else []


@pytest.fixture(params=["ssh"])
async def place(request: pytest.FixtureRequest, sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Place]:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    connection = await backend.connect(host.as_host())
    yield Place(backend, connection, host, tmp_path / "srv", tmp_path)
    await connection.close()


async def test_an_empty_host_has_no_facts_and_stays_empty(place: Place) -> None:
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.kept, facts.epoch, facts.good, facts.problems) == (None, (), 0, (), ())
    assert facts.free_bytes is not None
    assert facts.free_bytes > 0
    assert not place.path.exists()


async def test_a_staged_release_is_complete_and_read_back_as_it_was(place: Place) -> None:
    release, archive = place.release(
        "v1",
        env={"A": "1"},
        files=(ConfigFile("conf/app ini", "no newline at the end", 0o600), ConfigFile("VERSION", "other\n")),
    )
    outcome = await place.connection.stage(release, archive, SecretValues({"KEY": "s3cret"}), place.fence())
    assert not outcome.already
    home = place.path / "releases" / release.id
    assert (home / "data" / "text").read_text() == "v1\n" * 10
    assert (home / "conf" / "app ini").read_text() == "no newline at the end"
    assert (home / "conf" / "app ini").stat().st_mode & 0o777 == 0o600
    assert (home / "VERSION").read_text() == "other\n"
    assert (home / "qd.secrets.env").stat().st_mode & 0o777 == 0o600
    assert place.left_over == []
    facts = await place.connection.facts("test/web", str(place.path))
    (kept,) = facts.kept
    assert (kept.release, kept.intact) == (release.id, True)
    assert kept.manifest is not None
    assert release_from_json(kept.manifest["release"]) == release
    assert kept.manifest["digest"] == release.digest
    assert facts.current is None


async def test_staging_again_changes_nothing(place: Place) -> None:
    release = await place.staged("v1")
    mark = place.path / "releases" / release.id / "written-by-the-service"
    mark.write_text("kept")
    again = await place.connection.stage(release, place.files / "v1.tar.gz", NO_SECRETS, place.fence())
    assert again.already
    assert mark.read_text() == "kept"


async def test_staging_at_the_same_time_gives_one_whole_release(place: Place) -> None:
    release, archive = place.release("v1")
    await asyncio.gather(*(place.connection.stage(release, archive, NO_SECRETS, place.fence()) for _ in range(5)))
    facts = await place.connection.facts("test/web", str(place.path))
    assert [(kept.release, kept.intact) for kept in facts.kept] == [(release.id, True)]
    assert place.left_over == []


async def test_a_wrong_checksum_is_refused_and_nothing_is_left(place: Place) -> None:
    release, archive = place.release("v1")
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactRefused, match=r"SHA-256 [0-9a-f]{64}"):
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert place.kept == []


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    member.size = 1 if kind == tarfile.REGTYPE else 0
    return member


BAD_MEMBERS = {
    "absolute path": [_member("/tmp/qd-escaped")],
    "path that climbs": [_member("../../escaped")],
    "link to an absolute path": [_member("passwd", tarfile.SYMTYPE, "/etc/passwd")],
    "link that climbs": [_member("a/b", tarfile.SYMTYPE, "../../escaped")],
    "link that climbs after another": [
        _member("a/b/top", tarfile.SYMTYPE, "../.."),
        _member("out", tarfile.SYMTYPE, "a/b/top/../escaped"),
    ],
    "file through a link": [_member("dir", tarfile.SYMTYPE, "../.."), _member("dir/escaped")],
    "hard link to an absolute path": [_member("passwd", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_member("null", tarfile.CHRTYPE)],
    "pipe": [_member("pipe", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("what", BAD_MEMBERS)
async def test_an_archive_that_leads_out_is_refused(place: Place, what: str) -> None:
    release, archive = place.release("v1")
    with tarfile.open(archive, "w:gz") as file:
        for member in BAD_MEMBERS[what]:
            file.addfile(member, io.BytesIO(b"x"))
    release = replace(release, artifact=resolved(archive))
    with pytest.raises(BackendError) as caught:
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert isinstance(caught.value, ArtifactRefused), caught.value
    assert place.kept == []
    assert place.escaped == []


async def test_links_within_the_release_are_kept(place: Place) -> None:
    release, archive = place.release("v1")
    with tarfile.open(archive, "w:gz") as file:
        file.addfile(_member("lib/a.so.1"), io.BytesIO(b"x"))
        file.addfile(_member("lib/a.so", tarfile.SYMTYPE, "a.so.1"))
        file.addfile(_member("bin/deep/a", tarfile.SYMTYPE, "../../lib/a.so"))
        file.addfile(_member("hard", tarfile.LNKTYPE, "lib/a.so.1"))
    release = replace(release, artifact=resolved(archive))
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert (place.path / "releases" / release.id / "bin/deep/a").read_text() == "x"


async def test_what_is_no_archive_is_refused(place: Place) -> None:
    release, archive = place.release("v1")
    archive.write_bytes(b"this is no archive" * 100)
    body = archive.read_bytes()
    release = replace(release, artifact=ResolvedArtifact(str(archive), hashlib.sha256(body).hexdigest()))
    with pytest.raises(ArtifactRefused, match="can't be unpacked"):
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())


async def test_a_switch_starts_the_release_and_reads_it_back(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    outcome = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    assert (outcome.current, outcome.previous, outcome.replayed) == (first.id, None, False)
    outcome = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert (outcome.current, outcome.previous) == (second.id, first.id)
    assert (place.path / "current").readlink() == Path(f"releases/{second.id}")
    assert (place.path / "shared" / "running").read_text().strip() == second.id
    assert place.calls == ["start", f"stop {first.id}", "start"]
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.running) == (second.id, True)


async def test_the_same_operation_again_does_nothing_and_answers_the_same(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    done = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    again = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    assert again.replayed
    assert (again.current, again.previous) == (done.current, done.previous)
    assert (place.path / "current").readlink() == Path(f"releases/{second.id}")
    assert len([call for call in place.calls if call == "start"]) == 2


async def test_stop_and_start_leave_and_move_the_link(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    stopped = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2", action="stop")
    assert stopped.current == first.id
    assert place.calls[-1] == f"stop {first.id}"
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.running) == (first.id, False)
    linked = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.3", action="none")
    assert linked.current == second.id
    assert place.calls[-1] == f"stop {first.id}"
    started = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.4", action="start")
    assert started.current == second.id
    assert place.calls[-1] == "start"


async def test_restart_is_used_where_it_is_given(place: Place) -> None:
    commands = replace(QUICK, restart='echo restart >>"$QD_SHARED/calls"')
    first, second = await place.staged("v1", commands=commands), await place.staged("v2", commands=commands)
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert place.calls == ["start", "restart"]


async def test_a_release_is_stopped_the_way_it_was_started(place: Place) -> None:
    other = replace(QUICK, stop='echo "the other stop" >>"$QD_SHARED/calls"', restart="exit 1")
    first, second = await place.staged("v1", commands=other), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert place.calls == ["start", "the other stop", "start"]


async def test_a_broken_release_does_not_stand_in_the_way_of_the_one_before(place: Place) -> None:
    first = await place.staged("v1")
    broken = await place.staged("v2", commands=Commands(start="echo oops; exit 7", stop="exit 9"))
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    with pytest.raises(CommandFailed) as caught:
        await place.connection.switch(broken, NO_SECRETS, place.fence(), "1.2")
    assert (caught.value.exit_status, caught.value.output.strip()) == (7, "oops")
    assert "start ended with status 7: oops" in str(caught.value)
    facts = await place.connection.facts("test/web", str(place.path))
    assert facts.current == broken.id  # the truth: the link was moved before the start failed
    back = await place.connection.switch(first, NO_SECRETS, place.fence(2), "2.1")
    assert back.current == first.id
    assert (place.path / "shared" / "running").read_text().strip() == first.id
    with pytest.raises(CommandFailed, match="recorded"):  # the outcome of a failure is recorded as well
        await place.connection.switch(broken, NO_SECRETS, place.fence(2), "1.2")


async def test_a_service_that_does_not_stay_up_is_no_success(place: Place) -> None:
    release = await place.staged("v1", commands=Commands(start="true", stop="true", status="false"))
    with pytest.raises(CommandFailed, match="does not run after it was started"):
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")


async def test_a_start_that_hangs_is_ended(place: Place) -> None:
    release = await place.staged("v1", commands=Commands(start="sleep 600", stop="true"))
    with pytest.raises(CommandTimedOut) as caught:
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1", deadline=4)
    assert caught.value.exit_status == 124


async def test_secrets_are_renewed_where_they_differ_and_kept_otherwise(place: Place) -> None:
    release, archive = place.release("v1", commands=replace(QUICK, start='printf %s "$KEY" >"$QD_SHARED/running"'))
    tricky = "a'b\"c\\d$e`f\n#g ü"
    await place.connection.stage(release, archive, SecretValues({"KEY": "old"}), place.fence())
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    assert (place.path / "shared" / "running").read_text() == "old"
    await place.connection.switch(release, SecretValues({"KEY": tricky}), place.fence(), "1.2")
    assert (place.path / "shared" / "running").read_text() == tricky
    assert (place.path / "releases" / release.id / "qd.secrets.env").stat().st_mode & 0o777 == 0o600


async def test_an_older_epoch_is_refused_everywhere_and_changes_nothing(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(second, NO_SECRETS, place.fence(7, "rollout 7, bob@bastion"), "7.1")
    third, archive = place.release("v3")
    old, connection = place.fence(6), place.connection
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: connection.stage(third, archive, NO_SECRETS, old),
        lambda: connection.switch(first, NO_SECRETS, old, "6.1"),
        lambda: connection.withdraw(second, old, "6.2"),
        lambda: connection.hook(Hook("true"), "touch ../../hooked", second, old, "6.3"),
        lambda: connection.finish(first, [], old, "6.4", prune_to=0),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced) as caught:
            await attempt()
        assert (caught.value.epoch, caught.value.seen) == (6, 7)
        assert "bob@bastion" in str(caught.value)
    facts = await connection.facts("test/web", str(place.path))
    assert (facts.current, facts.epoch, facts.holder, facts.anchor) == (
        second.id,
        7,
        "rollout 7, bob@bastion",
        "7:abcdef",
    )
    assert {kept.release for kept in facts.kept} == {first.id, second.id}
    assert not (place.path / "hooked").exists()


async def test_a_release_that_is_not_there_or_damaged_is_not_started(place: Place) -> None:
    first = await place.staged("v1")
    missing, _ = place.release("v2")
    with pytest.raises(CommandFailed, match="is not on the host"):
        await place.connection.switch(missing, NO_SECRETS, place.fence(), "1.1")
    damaged = place.path / "releases" / first.id / "qd.env"
    damaged.write_text("PATH=/nowhere\n")
    facts = await place.connection.facts("test/web", str(place.path))
    assert [kept.intact for kept in facts.kept] == [False]
    with pytest.raises(CommandFailed, match="not as it was staged"):
        await place.connection.switch(first, NO_SECRETS, place.fence(), "1.2")
    assert not (place.path / "current").exists()
    healed = await place.connection.stage(first, place.files / "v1.tar.gz", NO_SECRETS, place.fence())
    assert not healed.already
    # What was refused before it touched anything may be tried again under the same name.
    outcome = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.2")
    assert (outcome.current, outcome.replayed) == (first.id, False)


async def test_a_directory_in_the_place_of_the_link_is_left_alone(place: Place) -> None:
    release = await place.staged("v1")
    (place.path / "current").mkdir()
    with pytest.raises(CommandFailed, match="is not a link"):
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    assert (place.path / "current").is_dir()


async def test_withdraw_stops_and_removes_the_link(place: Place) -> None:
    release = await place.staged("v1")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    outcome = await place.connection.withdraw(release, place.fence(), "1.2")
    assert (outcome.current, outcome.previous) == (None, release.id)
    assert not (place.path / "current").is_symlink()
    assert place.calls[-1] == f"stop {release.id}"
    assert (await place.connection.withdraw(release, place.fence(), "1.2")).replayed


async def test_a_hook_gives_its_status_and_output_once(place: Place) -> None:
    release = await place.staged("v1", env={"A": "1"})
    command = 'echo "$A $B $QD_RELEASE $PWD"; echo once >>"$QD_SHARED/calls"; exit 3'
    hook = Hook(command)
    outcome = await place.connection.hook(hook, command, release, place.fence(), "1.1", extra_env={"B": "x 'y'"})
    home = place.path / "releases" / release.id
    assert (outcome.exit_status, outcome.output, outcome.replayed) == (3, f"1 x 'y' {release.id} {home}", False)
    again = await place.connection.hook(hook, command, release, place.fence(), "1.1", extra_env={"B": "x 'y'"})
    assert (again.exit_status, again.output, again.replayed) == (3, outcome.output, True)
    assert place.calls == ["once"]


async def test_a_hook_that_takes_too_long_is_ended(place: Place) -> None:
    release = await place.staged("v1")
    with pytest.raises(CommandTimedOut, match="after 1 s"):
        await place.connection.hook(Hook("", timeout=1), "sleep 600", release, place.fence(), "1.1")


async def test_finish_marks_good_and_keeps_what_must_be_kept(place: Place) -> None:
    releases = [await place.staged(f"v{number}") for number in range(8)]
    for index, release in enumerate(releases):  # staged one after the other: file times say so
        manifest = place.path / "releases" / release.id / "qd.manifest.json"
        os.utime(manifest, (1_700_000_000 + index, 1_700_000_000 + index))
    good, wanted, current = releases[0], releases[2], releases[1]
    await place.connection.switch(good, NO_SECRETS, place.fence(), "1.1")
    assert await place.connection.finish(good, [], place.fence(), "1.2", prune_to=100) == ()
    await place.connection.switch(current, NO_SECRETS, place.fence(), "1.3")
    removed = await place.connection.finish(current, [wanted.id], place.fence(), "1.4", prune_to=2)
    assert set(removed) == {release.id for release in releases[3:6]}
    facts = await place.connection.facts("test/web", str(place.path))
    assert {kept.release for kept in facts.kept} == {r.id for r in (good, wanted, current, *releases[6:])}
    assert facts.good == (good.id, current.id)
    assert place.left_over == []


async def test_a_held_lock_names_its_holder_and_is_got_when_it_is_free(place: Place) -> None:
    first = await place.staged("v1")
    second = await place.backend.connect(place.host.as_host())
    command = 'touch "$QD_SHARED/begun"; while [ ! -f "$QD_SHARED/go" ]; do sleep 0.05; done'
    holding = asyncio.create_task(
        place.connection.hook(Hook(""), command, first, place.fence(1, "rollout 1, alice@bastion"), "1.1")
    )
    try:
        begun = place.path / "shared" / "begun"
        await asyncio.to_thread(wait_for, begun.exists, "the hook has begun")
        with pytest.raises(HostLockBusy, match="alice@bastion"):
            await second.switch(first, NO_SECRETS, place.fence(2), "2.1", deadline=2)
        waiting = asyncio.create_task(second.switch(first, NO_SECRETS, place.fence(2), "2.2"))
        (place.path / "shared" / "go").touch()
        assert (await waiting).current == first.id
        assert (await holding).exit_status == 0
    finally:
        (place.path / "shared" / "go").touch()
        await second.close()


async def test_a_service_runs_on_when_its_connection_ends_and_holds_no_lock(place: Place) -> None:
    port = free_port(place.host.address)
    release, archive = http_release(place.files, "v1", place.path, place.host.address, port)
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    other = await place.backend.connect(place.host.as_host())
    await other.switch(release, NO_SECRETS, place.fence(), "1.1")
    await other.close()
    await _healthy(place.connection, release)
    outcome = await place.connection.hook(Hook(""), "true", release, place.fence(), "1.2")  # needs the lock
    assert outcome.exit_status == 0
    await place.connection.withdraw(release, place.fence(), "1.3")


async def _healthy(connection: Connection, release: Release) -> None:
    assert release.health is not None
    outcome = await connection.check_health(release.health, release)
    async with asyncio.timeout(10):
        while not outcome.healthy:
            await asyncio.sleep(0.02)
            outcome = await connection.check_health(release.health, release)


@pytest.mark.parametrize("made_from", ["host", "bastion"])
async def test_health_checks_say_what_they_saw(place: Place, made_from: str) -> None:
    port, address = free_port(place.host.address), place.host.address
    release, archive = http_release(place.files, "v1", place.path, address, port)
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    check = HttpCheck(port, "/", host=address)
    where = f"{address}:{port}"

    async def health(**set_checks: object) -> tuple[bool, str]:
        asked = Health(made_from=made_from, timeout=3, **set_checks)  # type: ignore[arg-type] # passed through
        outcome = await place.connection.check_health(asked, release)
        return outcome.healthy, outcome.detail

    assert await health(http=check) == (False, f"refused by {where}/")
    assert await health(tcp=TcpCheck(port, address)) == (False, f"refused by {where}")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    await _healthy(place.connection, release)
    before = place.connection.executions
    assert await health(http=check) == (True, f"http 200 from {where}/")
    assert await health(http=replace(check, path="/broken")) == (False, f"http 500 from {where}/broken")
    assert await health(http=replace(check, status=204)) == (False, f"http 200 from {where}/, not 204")
    assert await health(http=replace(check, contains="{version} hello")) == (True, f"http 200 from {where}/")
    assert await health(http=replace(check, contains="{release}")) == (True, f"http 200 from {where}/")
    healthy, detail = await health(http=replace(check, contains="v2"))
    assert not healthy
    assert "does not say 'v2': 'v1 hello" in detail
    assert await health(tcp=TcpCheck(port, address)) == (True, f"{where} accepts connections")
    assert place.connection.executions == before  # nothing was executed for them
    assert await health(command=CommandCheck('test "$QD_VERSION" = v1')) == (
        True,
        "the command 'test \"$QD_VERSION\" = v1' ended with 0",
    )
    assert await health(command=CommandCheck("echo no; exit 4")) == (
        False,
        "the command 'echo no; exit 4' ended with 4: no",
    )
    healthy, detail = await health(http=check, command=CommandCheck("false"))
    assert not healthy
    await place.connection.withdraw(release, place.fence(), "1.2")


@pytest.mark.parametrize("made_from", ["host", "bastion"])
async def test_a_service_that_never_answers_is_unhealthy_in_time(place: Place, made_from: str) -> None:
    release, _ = place.release("v1")
    silent = await asyncio.start_server(lambda _reader, _writer: None, place.host.address, 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        health = Health(http=HttpCheck(port, host=place.host.address), timeout=0.3, made_from=made_from)
        outcome = await place.connection.check_health(health, release)
    assert not outcome.healthy
    assert outcome.detail == f"no answer from {place.host.address}:{port}/ within 0.3 s"


async def test_vitals_are_plausible(place: Place) -> None:
    vitals = await place.connection.vitals(str(place.path))
    assert vitals.cores > 0
    assert 0 < vitals.memory_available <= vitals.memory_total
    assert 0 < vitals.disk_free <= vitals.disk_total
    assert vitals.uptime > 0
    assert vitals.load_1m >= 0
    assert 0 < vitals.cpu_busy < vitals.cpu_total


async def test_logs_of_files(place: Place) -> None:
    release, _ = place.release("v1")
    logs = Logs(files=(str(place.files / "*.log"),))
    (place.files / "a b.log").write_text("".join(f"line {number}\n" for number in range(50)) + "\x1b[31mred\x1b[0m\n")
    lines = [line.text async for line in place.connection.logs(logs, release, lines=3)]
    assert lines == ["line 48", "line 49", "red"]


async def test_followed_logs_end_with_their_reader(place: Place, sshd_fleet: SshdFleet) -> None:
    release, _ = place.release("v1")
    file = place.files / "service.log"
    file.write_text("first\n")
    lines = place.connection.logs(Logs(files=(str(file),)), release, lines=10, follow=True)
    assert (await anext(lines)).text == "first"
    with file.open("a") as out:
        out.write("second\n")
    async with asyncio.timeout(10):
        assert (await anext(lines)).text == "second"
    assert _followers(sshd_fleet, file)
    await lines.aclose()  # type: ignore[attr-defined] # an async generator
    await asyncio.to_thread(wait_for, lambda: not _followers(sshd_fleet, file), "nothing follows the file any more")


def _followers(fleet: SshdFleet, file: Path) -> list[int]:
    found = []
    for pid in fleet.tagged_processes():
        with contextlib.suppress(OSError):
            if str(file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


async def test_a_log_that_is_not_there_is_said_so(place: Place) -> None:
    release, _ = place.release("v1")
    with pytest.raises(CommandFailed, match="no such file"):
        [line async for line in place.connection.logs(Logs(files=("/nowhere/*.log",)), release)]


async def test_a_rollback_takes_at_most_three_executions(place: Place) -> None:
    port = free_port(place.host.address)
    first, archive = http_release(place.files, "v1", place.path, place.host.address, port)
    second, other = http_release(place.files, "v2", place.path, place.host.address, port)
    for release, file, op in ((first, archive, "1.1"), (second, other, "1.2")):
        await place.connection.stage(release, file, NO_SECRETS, place.fence())
        await place.connection.switch(release, NO_SECRETS, place.fence(), op)
    rollback = await place.backend.connect(place.host.as_host())
    await rollback.facts("test/http", str(place.path), first)
    await rollback.switch(first, NO_SECRETS, place.fence(2), "2.1")
    await _healthy(rollback, first)
    await rollback.finish(first, [second.id], place.fence(2), "2.2")
    assert rollback.executions == 3
    await rollback.close()
    await place.connection.withdraw(first, place.fence(2), "2.3")


async def test_a_bare_command(place: Place) -> None:
    outcome = await place.connection.execute("cat; echo err >&2; exit 5", deadline=10, input=b"in\n")
    assert (outcome.exit_status, outcome.output) == (5, "in\nerr\n")
    with pytest.raises(CommandFailed) as caught:
        await place.connection.execute("kill -9 $$", deadline=10)
    assert caught.value.exit_status is None
    with pytest.raises(CommandTimedOut):
        await place.connection.execute("sleep 60", deadline=0.3)


async def test_cancelled_tasks_leave_no_channel_behind(place: Place) -> None:
    """sshd allows 10 sessions on a connection, and following a log would hold one for ever."""
    release, _ = place.release("v1")
    log = place.files / "service.log"
    log.touch()

    async def follow() -> None:
        async for _ in place.connection.logs(Logs(files=(str(log),)), release, follow=True):
            pass

    for delay in [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.1] * 8:
        task = asyncio.create_task(follow())
        await asyncio.sleep(delay)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, CommandFailed):
            await task
    output = ""
    async with asyncio.timeout(10):  # the host needs a moment to end what was started there
        while not output:
            with contextlib.suppress(CommandFailed):
                output = (await place.connection.execute("echo still here", deadline=10)).output
    assert output == "still here\n"


async def test_a_lost_host_is_unreachable(place: Place, sshd_fleet: SshdFleet) -> None:
    connection = await place.backend.connect(sshd_fleet[4].as_host())
    waiting = asyncio.create_task(connection.execute("sleep 60", deadline=60))
    probe = await connection.execute("true", deadline=10)
    assert probe.exit_status == 0
    sshd_fleet[4].drop_connections()
    with pytest.raises(Unreachable, match="host-5"):
        await waiting
    with pytest.raises(Unreachable):
        await connection.facts("test/web", str(place.path))
    with pytest.raises(Unreachable):
        await connection.check_health(Health(tcp=TcpCheck(1)), place.release("v1")[0])
    await connection.close()


async def test_names_that_could_lead_elsewhere_are_refused(place: Place) -> None:
    release, archive = place.release("v1")
    for bad in ("../evil", "a/b", "", "a b", "-x", "a\nb", ".hidden"):
        with pytest.raises(BackendError, match="name of a release"):
            await place.connection.stage(replace(release, version=bad or "/"), archive, NO_SECRETS, place.fence())
    for bad in ("relative", "/srv/../etc", "/", "/a\nb"):
        with pytest.raises(BackendError, match="absolute path"):
            await place.connection.facts("test/web", bad)
    with pytest.raises(ArtifactRefused):
        await place.connection.stage(
            replace(release, files=(ConfigFile("../../x", ""),), runner=Runner(commands=QUICK)),
            archive,
            NO_SECRETS,
            place.fence(),
        )
