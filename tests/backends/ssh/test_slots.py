"""Slots on an SSH host, as its files, shells and processes show them: what each instance is told, what a host that was cut short leaves,
and how a service gets into its slots and out of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed, Fenced
from quarterdeck.backends.hosts.contract import Exited, Fence, Printed, SecretValues, SwitchOutcome, TargetFacts
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.config.model import CommandCheck, Commands, Health, Hook, Logs, Runner, Slots, TcpCheck
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import IN_SLOTS, QUICK, quick_release
from tests.backends.ssh.test_scripts import SHELLS, _programs
from tests.sshd import SshdFleet, wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

StartFleet = Callable[..., SshdFleet]
NO_SECRETS = SecretValues()
SLOTS = Slots(8081, 8082)


@dataclass
class Ground:
    """A target's directory on one host."""

    backend: SshBackend
    fleet: SshdFleet
    connection: SshConnection
    files: Path
    path: Path

    def fence(self, epoch: int = 1) -> Fence:
        return Fence("test/web", epoch, f"rollout {epoch}, alice@bastion", f"{epoch}:abcdef")

    async def staged(self, version: str, commands: Commands = IN_SLOTS, slots: Slots | None = SLOTS) -> Release:
        env = {"LISTEN": "{slot}:{port}", "PLAIN": "yes"}
        runner = Runner(commands=commands, slots=slots)
        release, archive = quick_release(self.files, version, self.path, runner=runner, env=env)
        await self.connection.stage(release, archive, NO_SECRETS, self.fence())
        return release

    async def switch(self, release: Release, epoch: int = 1, action: str = "restart") -> SwitchOutcome:
        op_id = f"{epoch}.{release.version}.{action}"
        return await self.connection.switch(release, NO_SECRETS, self.fence(epoch), op_id, action=action)

    async def retire(self, release: Release, epoch: int = 1) -> SwitchOutcome:
        return await self.connection.retire(release, self.fence(epoch), f"{epoch}.{release.version}.retire")

    async def facts(self) -> TargetFacts:
        return await self.connection.facts("test/web", str(self.path))

    @property
    def slots(self) -> dict[str, str]:
        """The links, as the target's own directory has them."""
        return {link.name: link.readlink().name for link in (self.path / "slots").glob("*")}

    @property
    def running(self) -> dict[str, str]:
        shared = self.path / "shared"
        return {file.suffix.lstrip("."): file.read_text().strip() for file in shared.glob("running*")}

    @property
    def calls(self) -> list[str]:
        file = self.path / "shared" / "calls"
        return file.read_text().splitlines() if file.exists() else []

    async def is_alone(self, release: Release, slot: str) -> None:
        assert (self.slots, self.running) == ({slot: release.id}, {slot: release.id})
        facts = await self.facts()
        assert (facts.current, facts.running, facts.drift, facts.as_started) == (release.id, True, (), True)


@pytest.fixture
async def ground(sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Ground]:
    backend = SshBackend([sshd_fleet.ssh_config])
    connection = await backend.connect(sshd_fleet[1].as_host())
    yield Ground(backend, sshd_fleet, connection, tmp_path, tmp_path / "a place" / "srv")
    await connection.close()


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_whole_life_under_each_shell(start_sshd_fleet: StartFleet, tmp_path: Path, shell: str) -> None:
    fleet = start_sshd_fleet(1, environment=[f"PATH={_programs(tmp_path / 'bin', shell)}"])
    backend = SshBackend([fleet.ssh_config])
    connection = await backend.connect(fleet[0].as_host())
    ground = Ground(backend, fleet, connection, tmp_path, tmp_path / "srv")
    first, second = await ground.staged("v1"), await ground.staged("v2")
    outcome = await ground.switch(first)
    assert (outcome.current, outcome.previous, outcome.beside) == (first.id, None, False)
    await ground.is_alone(first, "blue")
    assert (await ground.switch(second)).beside
    assert ground.slots == ground.running == {"blue": first.id, "green": second.id}
    hook = Hook("")
    said = await connection.hook(hook, 'echo "$QD_SLOT $QD_PORT $LISTEN $PLAIN"', second, ground.fence(), "1.h")
    assert said.output.strip() == "green 8082 green:8082 yes"
    assert (await ground.retire(second)).current == second.id
    await ground.is_alone(second, "green")
    assert (await ground.switch(first, 2)).beside
    assert not (await ground.switch(second, 3)).beside  # back
    await ground.is_alone(second, "green")
    assert (await ground.switch(second, 4, "stop")).current == second.id
    assert (ground.slots, ground.running) == ({"green": second.id}, {})
    assert (await ground.switch(second, 5, "start")).current == second.id
    await ground.is_alone(second, "green")
    removed = await connection.finish(second, [], ground.fence(5), "5.f", prune_to=0)
    assert removed == (first.id,)
    assert (await connection.withdraw(second, ground.fence(6), "6.w")).current is None
    assert (ground.slots, ground.running) == ({}, {})
    await connection.close()


async def test_each_instance_is_told_its_slot_and_port_and_has_its_own_log(ground: Ground) -> None:
    says = Commands(
        start=f'{IN_SLOTS.start}; echo "$QD_RELEASE on $QD_PORT: $LISTEN $PLAIN"',
        stop=IN_SLOTS.stop,
        status=IN_SLOTS.status,
    )
    first, second = await ground.staged("v1", says), await ground.staged("v2", says)
    await ground.switch(first)
    await ground.switch(second)
    logs = ground.path / "shared" / "log"
    for slot, release, port in (("blue", first, 8081), ("green", second, 8082)):
        lines = (logs / f"service.{slot}.log").read_text().splitlines()
        assert f"--- quarterdeck: start {release.id}" in lines[0]
        assert lines[1:] == [f"{release.id} on {port}: {slot}:{port} yes"]
    assert not (logs / "service.log").exists()
    check = Health(command=CommandCheck('test "$QD_SLOT$LISTEN" = greengreen:8082'))
    assert (await ground.connection.check_health(check, second)).healthy
    assert not (await ground.connection.check_health(check, first)).healthy
    # An operator's command is run where the current one runs.
    pieces = [
        piece
        async for piece in ground.connection.exec_in(
            "test/web", str(ground.path), ["sh", "-c", 'echo "$QD_SLOT $LISTEN $QD_RELEASE"'], deadline=20
        )
    ]
    assert pieces[-1] == Exited(0)
    assert (
        b"".join(piece.data for piece in pieces if isinstance(piece, Printed))
        == f"blue blue:8081 {first.id}\n".encode()
    )
    hook = Hook("")
    third = await ground.staged("v3", says)  # in no slot yet, as when hooks run before the first switch
    said = await ground.connection.hook(
        hook, 'echo "${QD_SLOT-none} ${LISTEN-none} $PLAIN"', third, ground.fence(), "1.h"
    )
    assert said.output.strip() == "none none yes"


async def test_logs_are_those_of_both_and_new_lines_those_of_the_release(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    await ground.switch(second)
    logs = Logs(files=(f"{ground.path}/shared/log/app.{{slot}}.log",))
    blue, green = (ground.path / "shared" / "log" / f"app.{slot}.log" for slot in ("blue", "green"))
    blue.write_text("old\n")
    green.write_text("new\n")
    marks = {one.id: (await ground.connection.new_lines(logs, one)).mark for one in (first, second)}
    blue.write_text("old\nmore of the old\n")
    green.write_text("new\nmore of the new\n")
    for release, expected in ((first, "more of the old"), (second, "more of the new")):
        found = await ground.connection.new_lines(logs, release, marks[release.id])
        assert list(found.texts) == [expected]
    lines = {line.text async for line in ground.connection.logs(logs, first, lines=9)}
    assert lines == {
        "app.blue.log: old",
        "app.blue.log: more of the old",
        "app.green.log: new",
        "app.green.log: more of the new",
    }


async def test_a_switch_a_check_and_a_retirement_are_an_execution_each_at_most(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    before = ground.connection.executions
    await ground.connection.facts("test/web", str(ground.path), second, then_switch=True)
    assert (await ground.switch(second)).beside
    assert ground.connection.executions == before + 1
    with contextlib.closing(await asyncio.start_server(lambda *_: None, ground.connection.address, 0)) as server:
        port = server.sockets[0].getsockname()[1]
        check = Health(
            tcp=TcpCheck(port, ground.connection.address)
        )  # none of the slots' ports: asked as it is written
        assert (await ground.connection.check_health(check, second)).healthy
        assert (await ground.connection.check_health(check, first)).healthy
    assert ground.connection.executions == before + 1, "where they run was just said"
    await ground.retire(second)
    assert ground.connection.executions == before + 2
    assert await ground.connection.address_of(second, 8081) == f"{ground.connection.address}:8082"
    assert await ground.connection.address_of(second, 9999) == f"{ground.connection.address}:9999"
    assert await ground.connection.address_of(second, None) == ground.connection.address
    # Not there any more: where it would be started.
    assert await ground.connection.address_of(first, 8082) == f"{ground.connection.address}:8081"
    assert first.health is None
    assert not (await ground.connection.check_health(Health(tcp=TcpCheck(8081)), first)).healthy


async def test_who_only_knows_of_a_release_without_slots_is_told_of_those_there_are(ground: Ground) -> None:
    plain, first, second = await ground.staged("v0", QUICK, None), await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    await ground.switch(second)
    for known in (None, plain):
        facts = await ground.connection.facts("test/web", str(ground.path), known)
        assert (facts.current, facts.running) == (first.id, True)
        assert facts.drift == (f"{second.id} runs as well, in slot green",)


async def test_into_the_slots_and_out_of_them(ground: Ground) -> None:
    """A release from before there were slots is stopped in its own way first, and so are the slots for one that knows none."""
    plain, first, second = await ground.staged("v0", QUICK, None), await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(plain)
    outcome = await ground.switch(first)
    assert (outcome.current, outcome.previous, outcome.beside) == (first.id, plain.id, False)
    assert ground.calls == ["start", f"stop {plain.id}", "start blue 8081"]
    await ground.is_alone(first, "blue")
    assert (await ground.switch(second)).beside
    back = await ground.switch(plain, 2)  # a rollback over the change, from a state that nobody took to its end
    assert (back.current, back.previous, back.beside) == (plain.id, first.id, False)
    assert (ground.slots, ground.running) == ({}, {"": plain.id})
    facts = await ground.facts()
    assert (facts.current, facts.running, facts.drift) == (plain.id, True, ())
    assert (await ground.connection.switch(plain, NO_SECRETS, ground.fence(2), "2.v0.restart")).replayed
    assert (await ground.switch(second, 3)).current == second.id
    await ground.is_alone(second, "blue")
    # Stopped first, as `recreate` does it.
    await ground.switch(plain, 4, "stop")
    assert ground.running == {}
    await ground.switch(plain, 4, "start")
    assert (ground.slots, ground.running) == ({}, {"": plain.id})


async def test_other_ports_are_changed_to_without_running_beside(ground: Ground) -> None:
    """The new one's might be those of what runs."""
    first, swapped = await ground.staged("v1"), await ground.staged("v2", slots=Slots(8082, 8081))
    await ground.switch(first)
    outcome = await ground.switch(swapped, 2)
    assert (outcome.current, outcome.previous, outcome.beside) == (swapped.id, first.id, False)
    assert ground.calls == ["start blue 8081", f"stop blue {first.id}", "start blue 8082"]
    await ground.is_alone(swapped, "blue")
    await ground.switch(first, 3)
    await ground.is_alone(first, "blue")


async def test_what_runs_in_a_slot_and_should_not_is_told_and_ended(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    (ground.path / "shared" / "running.green").write_text("by hand")
    facts = await ground.facts()
    assert facts.drift == ("something runs in slot green, and no release is in it",)
    assert (facts.running, facts.as_started) == (True, False)
    assert (await ground.switch(second)).beside
    assert ground.calls[-2:] == [f"stop green {second.id}", "start green 8082"]
    await ground.retire(second)
    await ground.is_alone(second, "green")
    (ground.path / "shared" / "running.green").unlink()
    assert (await ground.facts()).running is False
    (ground.path / "slots" / "green").unlink()
    assert (await ground.facts()).running is False
    await ground.switch(second, 2)
    await ground.is_alone(second, "blue")


async def test_a_slot_that_is_no_link_is_left_alone(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    (ground.path / "slots" / "green").mkdir()
    with pytest.raises(CommandFailed, match="slots/green is not a link") as caught:
        await ground.switch(second)
    assert caught.value.untouched
    (ground.path / "slots" / "green").rmdir()
    await ground.is_alone(first, "blue")


async def test_one_that_can_not_be_stopped_is_said_so_and_nothing_is_started_in_its_slot(ground: Ground) -> None:
    stubborn = Commands(start=IN_SLOTS.start, stop="exit 9", status=IN_SLOTS.status)
    first, second, third = await ground.staged("v1"), await ground.staged("v2", stubborn), await ground.staged("v3")
    await ground.switch(first)
    assert (await ground.switch(second)).beside
    with pytest.raises(CommandFailed, match="stop ended with status 9"):
        await ground.switch(third, 2)
    assert ground.slots == ground.running == {"blue": first.id, "green": second.id}
    with pytest.raises(CommandFailed, match="stop ended with status 9"):
        await ground.switch(first, 3)
    assert (await ground.retire(second, 4)).current == second.id  # forward there is a way
    await ground.is_alone(second, "green")


async def test_one_that_ended_by_itself_is_not_given_the_traffic(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    await ground.switch(second)
    (ground.path / "shared" / "running.green").unlink()
    with pytest.raises(CommandFailed, match="does not run beside") as caught:
        await ground.retire(second)
    assert caught.value.untouched
    assert ground.running == {"blue": first.id}
    assert not (await ground.switch(first, 2)).beside
    await ground.is_alone(first, "blue")


async def test_new_secrets_reach_the_instance_that_they_are_for(ground: Ground) -> None:
    first, second = await ground.staged("v1"), await ground.staged("v2")
    await ground.switch(first)
    await ground.switch(second)
    count = len(ground.calls)
    switch = ground.connection.switch
    assert (await switch(second, SecretValues({"KEY": "new"}), ground.fence(2), "2.1")).beside
    assert ground.calls[count:] == [f"stop green {second.id}", "start green 8082"]
    await ground.retire(second, 2)
    count = len(ground.calls)
    await switch(
        second, SecretValues({"KEY": "newer"}), ground.fence(3), "3.1"
    )  # it is current: started anew in its place
    assert ground.calls[count:] == [f"stop green {second.id}", "start green 8082"]
    await ground.is_alone(second, "green")


# The host dies in the middle: what reads the commands is killed from within them, and its lock is free when they end.
def dies(at: str) -> str:
    return (
        f'if [ -e "$QD_SHARED/dies-{at}" ]; then rm "$QD_SHARED/dies-{at}"; read -r it <"/proc/$PPID/stat"; set -- ${{it##*) }}; '
        f"kill -9 $2; fi"
    )


MORTAL = Commands(
    start=f"{dies('before-start')}; {IN_SLOTS.start}; {dies('after-start')}",
    stop=f"{dies('before-stop')}; {IN_SLOTS.stop}; {dies('after-stop')}",
    status=IN_SLOTS.status,
)


async def moved(ground: Ground, release: Release, epoch: int) -> None:
    outcome = await ground.switch(release, epoch)
    if outcome.beside:
        await ground.retire(release, epoch)


@pytest.mark.parametrize("then", ["finished", "taken back"])
@pytest.mark.parametrize("at", ["before-start", "after-start", "before-stop", "after-stop"])
async def test_a_host_that_was_cut_short_is_finished_or_taken_back(ground: Ground, at: str, then: str) -> None:
    first, second = await ground.staged("v1", MORTAL), await ground.staged("v2", MORTAL)
    await moved(ground, first, 1)
    mark = ground.path / "shared" / f"dies-{at}"
    mark.touch()
    with pytest.raises(BackendError):
        await moved(ground, second, 2)
    assert not mark.exists()
    facts = await ground.facts()
    assert facts.current == (second.id if at.endswith("stop") else first.id)
    assert set(ground.running.values()) & {first.id, second.id}, "one of them serves all the time"
    if then == "finished":
        await moved(ground, second, 2)  # by a worker that takes over, with the same operations
        await ground.is_alone(second, "green")
        await moved(ground, first, 3)
    else:
        await moved(ground, first, 3)
    facts = await ground.facts()
    assert (facts.current, facts.running, facts.drift) == (first.id, True, ())
    assert list(ground.running.values()) == list(ground.slots.values()) == [first.id]


@pytest.mark.parametrize("at", ["before-stop", "after-stop"])
async def test_going_back_that_was_cut_short_is_finished(ground: Ground, at: str) -> None:
    first, second = await ground.staged("v1", MORTAL), await ground.staged("v2", MORTAL)
    await moved(ground, first, 1)
    await ground.switch(second, 2)
    (ground.path / "shared" / f"dies-{at}").touch()
    with pytest.raises(BackendError):
        await ground.switch(first, 3)
    await ground.switch(first, 3)
    await ground.is_alone(first, "blue")


@pytest.mark.parametrize("at", ["before-start", "after-start", "before-stop", "after-stop"])
async def test_changing_into_slots_that_was_cut_short_is_finished_or_taken_back(ground: Ground, at: str) -> None:
    old = Commands(
        start=QUICK.start, stop=f"{dies('before-stop')}; {QUICK.stop}; {dies('after-stop')}", status=QUICK.status
    )
    plain, first = await ground.staged("v0", old, None), await ground.staged("v1", MORTAL)
    for epoch, then in ((2, first), (4, plain)):
        await ground.switch(plain, epoch - 1)
        (ground.path / "shared" / f"dies-{at}").touch()
        with pytest.raises(BackendError):
            await ground.switch(first, epoch)
        await ground.connection.switch(then, NO_SECRETS, ground.fence(epoch), f"{epoch}.again")
        assert list(ground.running.values()) == [then.id]
        facts = await ground.facts()
        assert (facts.current, facts.running, facts.drift) == (then.id, True, ())


async def test_who_goes_back_does_not_wait_for_a_slow_start(ground: Ground) -> None:
    slow = Commands(start='touch "$QD_SHARED/begun"; sleep 4321', stop=IN_SLOTS.stop, status=IN_SLOTS.status)
    first, second = await ground.staged("v1"), await ground.staged("v2", slow)
    await ground.switch(first)
    older = asyncio.create_task(ground.switch(second, 2))
    await asyncio.to_thread(wait_for, (ground.path / "shared" / "begun").exists, "the start runs")
    newer = await ground.backend.connect(ground.fleet[1].as_host())
    outcome = await newer.switch(first, NO_SECRETS, ground.fence(3), "3.1")
    assert (outcome.current, outcome.beside) == (first.id, False)
    with pytest.raises(Fenced):
        await older
    await newer.close()
    await ground.is_alone(first, "blue")
    assert ground.calls.count("start blue 8081") == 1, "the one that serves was left alone"
