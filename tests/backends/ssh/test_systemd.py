"""Units. There is no systemd where the tests run: a recorded ``systemctl`` stands in for it, everything else is real."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from quarterdeck.backends.errors import CommandFailed, Fenced, NotPermitted
from quarterdeck.backends.hosts.contract import Fence, NewLines, SecretValues, ServiceFigures
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.config.model import Commands, Logs, Runner, Slots
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import quick_release
from tests.requirements_here import need
from tests.sshd import SshdFleet, wait_for

# What systemctl of systemd 252 answers in each case, and with which status.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$RECORD/calls"
mode=$(cat "$RECORD/mode")
for word do case $word in restart|start|stop|show|status) verb=$word ;; esac; done
case $verb:$mode in
show:*) cat "$RECORD/state" 2>/dev/null || printf 'ActiveState=inactive\\nSubState=dead\\nMainPID=0\\n' ;;
status:*) echo "web.service - Web"; echo "main process exited, status=203/EXEC"; exit 3 ;;
*:denied) echo "Failed to $verb web.service: Interactive authentication required." >&2; exit 1 ;;
*:missing) echo "Failed to $verb web.service: Unit web.service not found." >&2; exit 5 ;;
*:broken) echo "Job for web.service failed because the control process exited with error code." >&2; exit 1 ;;
restart:dies) printf 'ActiveState=failed\\nSubState=failed\\nMainPID=0\\n' >"$RECORD/state" ;;
restart:loops) printf 'ActiveState=activating\\nSubState=auto-restart\\nMainPID=0\\n' >"$RECORD/state" ;;
restart:*) printf 'ActiveState=active\\nSubState=running\\nMainPID=4242\\n' >"$RECORD/state" ;;
stop:*) rm -f "$RECORD/state" ;;
esac
"""
ID = '#!/bin/sh\nif [ "$1" = -u ]; then echo 1000; else exec /usr/bin/id "$@"; fi\n'
SUDO = '#!/bin/sh\n[ "$1" = -n ] && shift\necho "sudo: a password is required" >&2\nexit 1\n'
JOURNALCTL = (
    '#!/bin/sh\necho "$*" >>"$RECORD/calls"\necho \'2026-11-23T18:30:00+0000 host web[4242]: listening \x1b[31mnow\'\n'
)
# A journal whose cursors are its entries' numbers: those of other units are there too.
JOURNAL = """#!/bin/sh
echo "$*" >>"$RECORD/calls"
after=0 unit=
for word do
    case $word in --after-cursor=*) after=${word#*=} ;; --lines=1) after=$(($(wc -l <"$RECORD/journal") - 1)) ;; --unit) unit=yes ;; esac
done
awk -v after="$after" -v unit="$unit" '
NR > after && (!unit || /^web/) { print substr($0, 5); last = NR }
END { if (last) print "-- cursor: " last }' "$RECORD/journal"
"""
FENCE = Fence("test/web", 1, "me")
NO_SECRETS = SecretValues()


@dataclass
class Systemd:
    connection: SshConnection
    record: Path
    programs: Path
    files: Path
    path: Path
    fleet: SshdFleet

    def mode(self, mode: str) -> None:
        (self.record / "mode").write_text(mode)

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return [line for line in (self.record / "calls").read_text().splitlines() if " show " not in f" {line} "]

    async def staged(self, version: str, runner: Runner) -> Release:
        release, archive = quick_release(self.files, version, self.path, runner=runner)
        await self.connection.stage(release, archive, NO_SECRETS, FENCE)
        return release


@pytest.fixture
async def systemd(start_sshd_fleet: Callable[..., SshdFleet], tmp_path: Path) -> Systemd:
    record, programs = tmp_path / "record", tmp_path / "bin"
    record.mkdir()
    programs.mkdir()
    path = f"{programs}:/usr/bin:/bin"
    fleet = start_sshd_fleet(1, environment=[f"PATH={path}", f"RECORD={record}", "XDG_RUNTIME_DIR=/run/user/1000"])
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    made = Systemd(connection, record, programs, tmp_path, tmp_path / "srv", fleet)
    made.program("systemctl", SYSTEMCTL)
    made.mode("ok")
    return made


@pytest.mark.parametrize("user_unit", [False, True])
async def test_a_unit_is_restarted_and_read_back(systemd: Systemd, user_unit: bool) -> None:
    runner = Runner(unit="web.service", user_unit=user_unit)
    scope = "--user " if user_unit else ""
    first, second = await systemd.staged("v1", runner), await systemd.staged("v2", runner)
    await systemd.connection.switch(first, NO_SECRETS, FENCE, "1.1")
    outcome = await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.2")
    assert (outcome.current, outcome.previous) == (second.id, first.id)
    assert systemd.calls == [f"--no-ask-password {scope}restart web.service"] * 2
    facts = await systemd.connection.facts("test/web", str(systemd.path), second)
    assert facts.running is True
    await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.3", action="stop")
    assert systemd.calls[-1] == f"--no-ask-password {scope}stop web.service"
    assert (await systemd.connection.facts("test/web", str(systemd.path), second)).running is False


async def test_a_unit_of_another_name_is_stopped_first(systemd: Systemd) -> None:
    first = await systemd.staged("v1", Runner(unit="old.service"))
    second = await systemd.staged("v2", Runner(unit="web.service"))
    await systemd.connection.switch(first, NO_SECRETS, FENCE, "1.1")
    await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.2")
    assert systemd.calls[1:] == ["--no-ask-password stop old.service", "--no-ask-password restart web.service"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("missing", "systemctl restart web.service ended with status 5"),
        ("broken", "main process exited, status=203/EXEC"),
        ("loops", "does not run after it was started .ActiveState=activating SubState=auto-restart"),
        ("dies", "does not run after it was started .ActiveState=failed SubState=failed"),
    ],
)
async def test_a_unit_that_does_not_start(systemd: Systemd, mode: str, words: str) -> None:
    release = await systemd.staged("v1", Runner(unit="web.service"))
    systemd.mode(mode)
    with pytest.raises(CommandFailed, match=words):
        await systemd.connection.switch(release, NO_SECRETS, FENCE, "1.1")


async def test_a_user_who_may_not_restart_is_told_what_to_allow(systemd: Systemd) -> None:
    systemd.program("id", ID)
    systemd.program("sudo", SUDO)
    release = await systemd.staged("v1", Runner(unit="web.service"))
    systemd.mode("denied")
    with pytest.raises(NotPermitted, match=r"systemctl restart web\.service: the login user may not .*sudoers"):
        await systemd.connection.switch(release, NO_SECRETS, FENCE, "1.1")


async def test_sudo_is_used_where_it_is_allowed_and_needed(systemd: Systemd) -> None:
    systemd.program("id", ID)
    systemd.program("sudo", f'#!/bin/sh\nshift\necho "sudo $*" >>"$RECORD/calls"\n{_rest("restart:*")}')
    release = await systemd.staged("v1", Runner(unit="web.service"))
    systemd.mode("denied")
    await systemd.connection.switch(release, NO_SECRETS, FENCE, "1.1")
    assert systemd.calls == [
        "--no-ask-password restart web.service",
        "sudo systemctl restart web.service",
    ]


async def test_who_is_newer_ends_a_systemctl_that_waits_for_its_job(systemd: Systemd) -> None:
    """Only the client: the newer one's own call replaces the job of the unit."""
    hangs = SYSTEMCTL.replace("restart:*)", 'restart:hangs) touch "$RECORD/begun"; exec sleep 4321 ;;\nrestart:*)')
    systemd.program("systemctl", hangs)
    first, second = [await systemd.staged(version, Runner(unit="web.service")) for version in ("v1", "v2")]
    systemd.mode("hangs")
    going = asyncio.create_task(systemd.connection.switch(second, NO_SECRETS, FENCE, "1.1"))
    await asyncio.to_thread(wait_for, (systemd.record / "begun").exists, "systemctl waits")
    systemd.mode("ok")
    newer = await SshBackend([systemd.fleet.ssh_config]).connect(systemd.fleet[0].as_host())
    outcome = await newer.switch(first, NO_SECRETS, Fence("test/web", 2, "me"), "2.1")
    assert (outcome.current, outcome.previous) == (first.id, second.id)
    with pytest.raises(Fenced, match="ended half-way"):
        await going
    await newer.close()


def _rest(case: str) -> str:
    """What the recorded systemctl does in ``case``."""
    line = next(line for line in SYSTEMCTL.splitlines() if line.startswith(case))
    return line.removeprefix(case + ")").removesuffix(";;")


async def test_the_journal_is_read_with_its_times(systemd: Systemd) -> None:
    systemd.program("journalctl", JOURNALCTL)
    release = await systemd.staged("v1", Runner(unit="web.service"))
    lines = [line async for line in systemd.connection.logs(Logs(journal="web.service"), release, lines=7)]
    assert [(line.time, line.text) for line in lines] == [("2026-11-23T18:30:00Z", "host web[4242]: listening now")]
    assert "--lines=7 --unit web.service" in systemd.calls[-1]


async def test_the_journal_is_read_on_from_a_cursor(systemd: Systemd) -> None:
    systemd.program("journalctl", JOURNAL)
    journal = systemd.record / "journal"
    release = await systemd.staged("v1", Runner(unit="web.service"))

    async def new(mark: str, lines: int = 100) -> NewLines:
        return await systemd.connection.new_lines(Logs(journal="web.service"), release, mark, lines=lines)

    journal.write_text("")
    with pytest.raises(NotPermitted, match="shows nothing to the login user"):
        await new("")
    journal.write_text("web before\nsql other\n")
    begun = await new("")
    assert begun == NewLines("2")
    assert await new("2") == NewLines("2"), "nothing came"
    with journal.open("a") as more:
        more.write("web one\nsql other\nweb two\nweb \x1b[31mthree\n")
    assert await new("2") == NewLines("6", ["one", "two", "three"])
    assert await new("2", lines=2) == NewLines("6", ["one", "two"], 1)
    assert "--output=cat --show-cursor --after-cursor=2 --unit web.service" in systemd.calls[-1]
    systemd.program("journalctl", "#!/bin/sh\necho Failed to open it >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="Failed to open it"):
        await new("2")


async def test_figures_of_a_unit(systemd: Systemd) -> None:
    release = await systemd.staged("v1", Runner(unit="web.service", user_unit=True))
    state = systemd.record / "state"
    told = "NRestarts=3\nMemoryCurrent=1048576\nMemoryMax=4194304\nCPUUsageNSec=2500000000\nLoadState=loaded\n"
    state.write_text(f"{told}ControlGroup=/nowhere/web.service\n")
    found = await systemd.connection.service_figures(release)
    assert found == ServiceFigures(restarts=3, memory=1048576, memory_limit=4194304, cpu_seconds=2.5)
    state.write_text(
        f"MemoryCurrent=[not set]\nMemoryMax=infinity\nCPUUsageNSec={2**64 - 1}\nLoadState=loaded\nControlGroup=\n"
    )
    found = await systemd.connection.service_figures(release)
    machine = (await systemd.connection.vitals(str(systemd.path))).memory_total
    assert found == ServiceFigures(memory_limit=machine), "what is not accounted is not guessed"
    state.write_text("LoadState=not-found\nNRestarts=0\n")
    with pytest.raises(CommandFailed, match=r"systemd knows no unit web\.service"):
        await systemd.connection.service_figures(release)
    commands = await systemd.staged("v2", Runner(commands=Commands(start="true", stop="true")))
    with pytest.raises(CommandFailed, match="run by commands"):
        await systemd.connection.service_figures(commands)


# A state for each unit: instances of a template are units of their own.
INSTANCES = SYSTEMCTL.replace("#!/bin/sh\n", "#!/bin/sh\nfor unit do :; done\n", 1).replace(
    "$RECORD/state", "$RECORD/state.$unit"
)


@pytest.mark.parametrize("user_unit", [False, True])
async def test_slots_are_instances_of_a_template(systemd: Systemd, user_unit: bool) -> None:
    systemd.program("systemctl", INSTANCES)
    runner = Runner(unit="web@.service", user_unit=user_unit, slots=Slots(8081, 8082))
    scope = "--user " if user_unit else ""
    first, second = await systemd.staged("v1", runner), await systemd.staged("v2", runner)
    await systemd.connection.switch(first, NO_SECRETS, FENCE, "1.1")
    assert (await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.2")).beside
    facts = await systemd.connection.facts("test/web", str(systemd.path), second)
    assert (facts.current, facts.running) == (first.id, True)
    assert facts.drift == (f"{second.id} runs as well, in slot green",)
    assert (await systemd.connection.retire(second, FENCE, "1.3")).current == second.id
    said = f"--no-ask-password {scope}"
    begun = [f"{said}restart web@blue.service", f"{said}restart web@green.service", f"{said}stop web@blue.service"]
    assert systemd.calls == begun
    facts = await systemd.connection.facts("test/web", str(systemd.path), second)
    assert (facts.current, facts.running, facts.drift) == (second.id, True, ())
    for slot in ("blue", "green"):
        # What starts after a reboot is what has a link: see docs/hosts.md.
        assert (systemd.path / "slots" / slot).exists() is (slot == "green")
        lines = (systemd.path / "releases" / second.id / f"qd.{slot}.env").read_text().splitlines()
        assert lines == [f'QD_PORT="{runner.slots.ports[slot]}"' if runner.slots else "", f'QD_SLOT="{slot}"']


async def test_a_slot_that_may_not_be_stopped_is_told_with_what_to_allow(systemd: Systemd) -> None:
    systemd.program("systemctl", INSTANCES)
    systemd.program("id", ID)
    systemd.program("sudo", SUDO)
    runner = Runner(unit="web@.service", slots=Slots(8081, 8082))
    first, second = await systemd.staged("v1", runner), await systemd.staged("v2", runner)
    await systemd.connection.switch(first, NO_SECRETS, FENCE, "1.1")
    await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.2")
    systemd.mode("denied")
    with pytest.raises(NotPermitted, match=r"systemctl stop web@blue\.service: the login user may not .*sudoers"):
        await systemd.connection.retire(second, FENCE, "1.3")
    facts = await systemd.connection.facts("test/web", str(systemd.path), second)
    assert (facts.current, facts.running, len(facts.drift)) == (second.id, True, 1)
    systemd.mode("ok")
    await systemd.connection.retire(second, FENCE, "1.4")
    assert (await systemd.connection.facts("test/web", str(systemd.path), second)).drift == ()


async def test_the_journals_and_figures_of_slots(systemd: Systemd) -> None:
    systemd.program("systemctl", INSTANCES)
    runner = Runner(unit="web@.service", slots=Slots(8081, 8082))
    first, second, third = [await systemd.staged(version, runner) for version in ("v1", "v2", "v3")]
    await systemd.connection.switch(first, NO_SECRETS, FENCE, "1.1")
    await systemd.connection.switch(second, NO_SECRETS, FENCE, "1.2")
    systemd.program("journalctl", JOURNALCTL)
    logs = Logs(journal="web@.service")
    assert [line async for line in systemd.connection.logs(logs, second, lines=7)]
    assert systemd.calls[-1].endswith("--lines=7 --unit web@blue.service --unit web@green.service")
    systemd.program("journalctl", JOURNAL)
    (systemd.record / "journal").write_text("web one\nweb two\n")
    for release, units in (
        (first, "--unit web@blue.service"),
        (second, "--unit web@green.service"),
        (third, "--unit web@blue.service --unit web@green.service"),
    ):
        await systemd.connection.new_lines(logs, release, "1")
        assert systemd.calls[-1].endswith(f"--after-cursor=1 {units}")
    for slot, restarts in (("blue", 3), ("green", 5)):
        state = f"NRestarts={restarts}\nLoadState=loaded\nControlGroup=\n"
        (systemd.record / f"state.web@{slot}.service").write_text(state)
    assert (await systemd.connection.service_figures(first)).restarts == 3
    assert (await systemd.connection.service_figures(second)).restarts == 5
    with pytest.raises(CommandFailed, match="runs in no slot"):
        await systemd.connection.service_figures(third)


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_the_template_in_the_documentation_is_one(tmp_path: Path, slot: str) -> None:
    """As systemd itself reads it: no unknown key, and the program is where the slot's link leads."""
    program = shutil.which("systemd-analyze")
    need(program is not None, "systemd-analyze (package systemd)")
    page = (Path(__file__).resolve().parents[3] / "docs" / "hosts.md").read_text()
    shown = page.split("## Two instances beside each other", 1)[1].split("```ini\n", 1)[1].split("```", 1)[0]
    served = tmp_path / "srv" / "releases" / "v1" / "bin" / "api"
    served.parent.mkdir(parents=True)
    served.write_text("#!/bin/sh\n")
    served.chmod(0o755)
    (tmp_path / "srv" / "slots").mkdir()
    (tmp_path / "srv" / "slots" / slot).symlink_to("../releases/v1")
    units = tmp_path / "units"
    units.mkdir()
    (units / "api@.service").write_text(shown.replace("/srv/api", f"{tmp_path}/srv").replace("User=api\n", ""))
    done = subprocess.run(
        [str(program), "verify", f"{units}/api@{slot}.service"],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
