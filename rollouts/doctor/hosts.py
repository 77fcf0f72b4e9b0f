"""The doctor's questions to one host, asked in one script that only looks, and what the answers mean."""

import asyncio
import re
import shlex
import time
from collections.abc import Mapping, Sequence

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.contract import Connection, HostBackend
from quarterdeck.backends.numbers import number_in
from quarterdeck.config.model import Host, Target
from quarterdeck.config.release import Release
from quarterdeck.rollouts.doctor.engines import examine_engine
from quarterdeck.rollouts.doctor.findings import LITTLE_ROOM, Finding, Verdict
from quarterdeck.rollouts.leaving import leave

CONNECT = 10.0  # seconds
ASK = 20.0
CLOCK_OFF = 30.0  # seconds; no decision depends on it
_SUDO = re.compile(r"(?:^|[;&|(]|&&)\s*sudo\s+(?:-n\s+)?([^;&|()\n]+)")
TOOLS = ("sh", "flock", "tar", "sha256sum", "timeout", "mktemp", "df", "find")


async def examine_host(
    backend: HostBackend, host: Host, targets: Sequence[Target], back: Mapping[str, Release]
) -> list[Finding]:
    """What is wrong with the host, or one finding that says that nothing is. ``back``: by target what a rollback would lead to. Raises
    nothing for a host."""
    subject = f"host {host.name}"
    try:
        async with asyncio.timeout(CONNECT + ASK):
            connection = await backend.connect(host, deadline=CONNECT)
            try:
                if host.contained:
                    return await examine_engine(subject, connection, targets, back, swarm=bool(host.swarm))
                return await _connected(subject, connection, targets)
            finally:
                await leave(connection)
    except TimeoutError:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                f"{host.name} let us in and did not answer within {ASK:g} s",
                "look at its load and its disks",
                unreachable=True,
            )
        ]
    except BackendError as error:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                _problem(error),
                error.advice
                or f"is the host up, and its entry right: {host.ssh or host.docker or ', '.join(host.swarm)}?",
                unreachable=isinstance(error, Unreachable),
            )
        ]


def _problem(error: BackendError) -> str:
    return f"{error.action}: {error.problem}"


class HostLook(msgspec.Struct, frozen=True):
    """What a host answered. ``said``: by target, in their order. ``ahead``: seconds by which its clock is before this machine's, None: it
    did not say. ``installer``: the program that installs packages there, empty: none that is known."""

    user: str
    missing: tuple[str, ...]
    said: tuple[Mapping[str, str], ...]
    ahead: float | None
    installer: str
    whole: bool  # it answered to the end


async def look_at_host(connection: Connection, targets: Sequence[Target]) -> HostLook:
    """One execution that only looks. Raises BackendError."""
    asked = time.time()
    answer = await connection.execute(questions(targets), deadline=ASK)
    lines = answer.output.splitlines()

    def told(word: str) -> str:
        return next((line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")), "")

    clock = number_in(told("clock"))
    said = []
    for number in range(len(targets)):
        mine = (line.removeprefix(f"target {number} ") for line in lines if line.startswith(f"target {number} "))
        said.append({key: value for line in mine for key, _, value in [line.partition(" ")]})
    return HostLook(
        told("user"),
        tuple(line.removeprefix("missing ") for line in lines if line.startswith("missing ")),
        tuple(said),
        _ahead(float(clock), asked, time.time()) if clock is not None else None,
        told("installer"),
        "end" in lines,
    )


def _ahead(told: float, asked: float, answered: float) -> float:
    """It told whole seconds, at some time between the two."""
    if asked - 1 <= told <= answered + 1:
        return 0.0
    return told - answered if told > answered else told - asked


async def _connected(subject: str, connection: Connection, targets: Sequence[Target]) -> list[Finding]:
    looked = await look_at_host(connection, targets)
    found = host_findings(subject, looked, targets)
    if found:
        return found
    kibibytes = number_in(next((said["free"] for said in looked.said if said.get("free")), ""))
    room = f", {kibibytes // 1024} MiB free" if kibibytes is not None else ""
    paths = f"{len(targets)} target path{'s' if len(targets) != 1 else ''}"
    return [Finding(subject, Verdict.OK, f"connection, host key, tools, {paths}{room}")]


def host_findings(subject: str, looked: HostLook, targets: Sequence[Target]) -> list[Finding]:
    """What is wrong there; none: nothing is."""
    found: list[Finding] = []
    if looked.missing:
        fix = "install them on the host (Debian: util-linux, tar, coreutils, findutils)"
        found.append(Finding(subject, Verdict.FAIL, f"lacks {', '.join(looked.missing)}", fix))
    for target, said in zip(targets, looked.said, strict=True):
        found += path_findings(subject, target, said)
        found += unit_findings(subject, target, said)
        found += command_findings(subject, target, said)
    if looked.ahead is not None and abs(looked.ahead) > CLOCK_OFF:
        way = "before" if looked.ahead > 0 else "behind"
        told = f"its clock is {abs(looked.ahead):.0f} s {way} this machine's: times in its logs are off"
        found.append(Finding(subject, Verdict.WARN, told, "on the host: timedatectl set-ntp true"))
    if not looked.whole:
        found.append(
            Finding(
                subject,
                Verdict.FAIL,
                "its shell did not answer as a POSIX shell does",
                "the login shell must run sh scripts",
            )
        )
    return found


def questions(targets: Sequence[Target]) -> str:
    """One script for all: it only looks. Paths are quoted, units too."""
    lines = ["LC_ALL=C; export LC_ALL", "PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
    lines.append(f"for tool in {' '.join(TOOLS)}; do command -v $tool >/dev/null 2>&1 || echo missing $tool; done")
    for number, target in enumerate(targets):
        path = target.path
        quoted = f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
        lines += [
            f"place={quoted}",
            'while [ ! -d "$place" ] && [ "$place" != "${place%/*}" ]; do place=${place%/*}; done; place=${place:-/}',
            f'if [ -w "$place" ] && [ -x "$place" ]; then echo "target {number} writable $place"',
            f'else echo "target {number} unwritable $place"; echo "target {number} user $(id -un)"; fi',
            f'echo "target {number} free $(df -Pk -- "$place" | awk \'NR == 2 {{ print $4 }}\')"',
            f"place={quoted}",
            f'[ ! -e "$place" ] || echo "target {number} there $(ls -ld -- "$place" | cut -c1)"',
            f'if [ -w "$place/releases" ] && [ -w "$place/shared" ] && [ -w "$place/shared/log" ]; then echo "target {number} made"',
            "else for made in releases shared shared/log; do",
            f'[ ! -d "$place/$made" ] || [ -w "$place/$made" ] || echo "target {number} foreign $made"; done; fi',
        ]
        for at, command in enumerate(sudo_commands(target)):
            lines.append(f'echo "target {number} program-{at} $(command -v -- {shlex.quote(command[0])} 2>/dev/null)"')
            lines.append(
                f'sudo -n -l {shlex.join(command)} >/dev/null 2>&1 || [ "$(id -u)" = 0 ] || '
                f"echo {shlex.quote(f'target {number} sudo-{at} {shlex.join(command)}')}"
            )
        if target.runner.unit is not None:
            unit = shlex.quote(instances(target.runner.unit)[0])  # a template has no state itself
            scope = "--user " if target.runner.user_unit else ""
            if target.runner.user_unit:
                lines.append(
                    '[ -n "${XDG_RUNTIME_DIR-}" ] || { XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR; }'
                )
            lines += [
                f"if ! command -v systemctl >/dev/null 2>&1; then echo 'target {number} systemctl missing'; else",
                f"state=$(timeout 5 systemctl {scope}show --property=LoadState --value {unit} 2>/dev/null </dev/null)",
                f'echo "target {number} unit ${{state:-unknown}}"',
            ]
            if target.runner.user_unit:
                lines.append(
                    f'[ -e "/var/lib/systemd/linger/$(id -un)" ] && echo "target {number} linger yes" '
                    f'|| echo "target {number} linger no $(id -un)"'
                )
            else:
                # `sudo -n -l COMMAND` says whether it would be allowed, and runs nothing.
                lines.append(
                    f'if [ "$(id -u)" = 0 ] || sudo -n -l systemctl restart {unit} >/dev/null 2>&1; '
                    f'then echo "target {number} restart yes"; else echo "target {number} restart no $(id -un)"; fi'
                )
            lines.append("fi")
    lines.append("for tool in apt-get dnf yum zypper apk; do")
    lines.append('command -v $tool >/dev/null 2>&1 && { echo "installer $tool"; break; }; done')
    lines.append('echo "user $(id -un)"; echo "clock $(date +%s)"; echo end')
    return "\n".join(lines)


def sudo_commands(target: Target) -> list[list[str]]:
    """What the target's commands run by sudo, each once; none that a shell has to make of variables first."""
    commands = target.runner.commands
    texts = (commands.start, commands.stop, commands.restart, commands.status) if commands is not None else ()
    found: list[list[str]] = []
    for text in texts:
        for match in _SUDO.finditer(text or ""):
            try:
                words = shlex.split(match.group(1))
            except ValueError:
                continue
            if words and not any(character in match.group(1) for character in "$`*?<>") and words not in found:
                found.append(words)
    return found


def refused_commands(said: Mapping[str, str]) -> list[str]:
    """The command lines that the login user may not run with sudo."""
    return [line for key, line in said.items() if key.startswith("sudo-")]


def command_findings(subject: str, target: Target, said: Mapping[str, str]) -> list[Finding]:
    """Commands of the target that say sudo, and may not."""
    refused = refused_commands(said)
    if not refused:
        return []
    why = f"the login user may not run with sudo what its commands do: {', '.join(refused)}"
    fix = "a line for sudoers, for exactly that; qd env setup HOST prints it"
    return [Finding(subject, Verdict.FAIL, f"{target.name}: {why}", fix)]


def instances(unit: str) -> tuple[str, ...]:
    """Of a template those in the two slots; of any other unit itself."""
    return tuple(dict.fromkeys(unit.replace("@.", f"@{slot}.", 1) for slot in ("blue", "green")))


def path_findings(subject: str, target: Target, said: Mapping[str, str]) -> list[Finding]:
    """What the answers say of the target's path: may it be written, is there room."""
    found = []
    if "unwritable" in said:
        user = shlex.quote(said["user"])
        found.append(
            Finding(
                subject,
                Verdict.FAIL,
                f"{target.name}: {user} can't write {said['unwritable']}, where {target.path} is to be",
                f"on the host: sudo install -d -o {user} {shlex.quote(target.path)}",
            )
        )
    free = number_in(said.get("free"))
    if free is not None and free * 1024 < LITTLE_ROOM:
        found.append(
            Finding(
                subject,
                Verdict.WARN,
                f"{target.name}: only {free // 1024} MiB free below {target.path}",
                "make room, or lower keep.releases",
            )
        )
    return found


def unit_findings(subject: str, target: Target, said: Mapping[str, str]) -> list[Finding]:
    """What the answers say of the target's unit: is it known, may it be restarted, does it outlive the login."""
    unit = target.runner.unit
    if unit is None:
        return []
    if "systemctl" in said:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                f"{target.name}: there is no systemctl on the host",
                "use commands: in place of unit:",
            )
        ]
    found = []
    if said.get("unit") not in {"loaded", None}:
        found.append(
            Finding(
                subject,
                Verdict.FAIL,
                f"{target.name}: systemd does not know the unit {unit} ({said.get('unit')})",
                f"put {unit} on the host and run: systemctl {'--user ' if target.runner.user_unit else ''}daemon-reload",
            )
        )
    if said.get("linger", "").startswith("no"):
        user = said["linger"].partition(" ")[2]
        found.append(
            Finding(
                subject,
                Verdict.FAIL,
                f"{target.name}: the user unit {unit} would stop when {user} logs out",
                f"on the host: loginctl enable-linger {user}",
            )
        )
    if said.get("restart", "").startswith("no"):
        user = said["restart"].partition(" ")[2]
        allowed = ", ".join(
            f"/usr/bin/systemctl {verb} {one}" for one in instances(unit) for verb in ("restart", "start", "stop")
        )
        found.append(
            Finding(
                subject,
                Verdict.WARN,
                f"{target.name}: {user} may not restart {unit} with sudo; unless polkit allows it, a switch will fail",
                f"a line for sudoers: {user} ALL=(root) NOPASSWD: {allowed}",
            )
        )
    return found
