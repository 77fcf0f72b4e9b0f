"""What a host lacks for a first deploy, and how that is made: by the login user, or by root with a command that is printed. Looks with the
doctor's own questions; never runs sudo unless it was asked to.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.config.model import Fleet, Host, Target
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.doctor.engines import examine_engine
from quarterdeck.rollouts.doctor.findings import Finding, Verdict
from quarterdeck.rollouts.doctor.hosts import (
    CONNECT,
    HostLook,
    host_findings,
    instances,
    look_at_host,
    refused_commands,
    sudo_commands,
)
from quarterdeck.rollouts.leaving import leave

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Connection
    from quarterdeck.backends.hosts.opening import Hosts

MAKE = 30.0  # seconds for one command
INSTALL = 600.0
EVENT = "host.prepared"
_PACKAGES = {"flock": "util-linux", "find": "findutils", "tar": "tar"}  # all others: coreutils
_INSTALL = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "yum": "yum install -y",
    "zypper": "zypper install -y",
    "apk": "apk add",
}


class By(StrEnum):
    """Who makes it."""

    LOGIN = "login"  # the login user, as qd is on the host
    ROOT = "root"  # by ``command``: printed, run only with --sudo
    PERSON = "person"  # something has to be decided or written first
    ENGINE = "engine"  # the Docker engine, when asked for


class Need(msgspec.Struct, frozen=True):
    """One thing that is missing. ``command``: what makes it, for a shell on the host; empty where there is none. ``text``: of a file that
    a person has to complete. ``kind`` and ``name``: of what the engine makes."""

    what: str
    by: By
    command: str = ""
    target: str = ""
    text: str = ""
    kind: str = ""
    name: str = ""


class HostNeeds(msgspec.Struct, frozen=True):
    """``needs``: what is missing. ``findings``: what else is wrong there (disk, clock), which nobody here makes. ``words``: the host in a
    few words, as it answered."""

    host: str
    needs: tuple[Need, ...]
    findings: tuple[Finding, ...]
    words: str

    def by(self, *who: By) -> list[Need]:
        """Those that one of ``who`` makes."""
        return [need for need in self.needs if need.by in who]


class Made(msgspec.Struct, frozen=True):
    """What became of it. ``failed``: with the reason. ``after``: the host, read back."""

    made: tuple[str, ...]
    failed: tuple[str, ...]
    after: HostNeeds


def targets_on(fleet: Fleet, host: str) -> list[Target]:
    return [target for target in fleet.targets.values() if any(one.name == host for one in target.hosts)]


async def look(backend: "Hosts", host: Host, targets: Sequence[Target]) -> HostNeeds:
    """What the host lacks. Changes nothing. Raises BackendError."""
    connection = await backend.connect(host, deadline=CONNECT)
    try:
        return await _look(backend, connection, host, targets)
    finally:
        await leave(connection)


async def _look(backend: "Hosts", connection: "Connection", host: Host, targets: Sequence[Target]) -> HostNeeds:
    if host.contained:
        return await _look_at_engine(backend, connection, host, targets)
    looked = await look_at_host(connection, targets)
    if not looked.whole:
        raise CommandFailed(
            host.name,
            "look at it",
            "its shell did not answer as a POSIX shell does",
            exit_status=None,
            left="Nothing was changed",
            advice="the login shell must run sh scripts",
        )
    needs = [*_tools(looked)]
    for target, said in zip(targets, looked.said, strict=True):
        needs += _directories(target, said, looked.user)
        needs += _unit(target, said, looked.user, backend.fleet)
        needs += sudo_needs(target, said, looked.user, backend.fleet)
    every = host_findings(host.name, looked, targets)
    rest = [one for one in every if "MiB free" in one.sentence or "clock" in one.sentence]
    return HostNeeds(host.name, tuple(needs), tuple(rest), f"logged in as {looked.user}")


def _tools(looked: HostLook) -> list[Need]:
    if not looked.missing:
        return []
    packages = sorted({_PACKAGES.get(tool, "coreutils") for tool in looked.missing})
    what = f"install {', '.join(looked.missing)}"
    if not looked.installer:
        return [Need(what, By.PERSON)]
    return [Need(what, By.ROOT, f"{_INSTALL[looked.installer]} {' '.join(packages)}")]


def quoted(path: str) -> str:
    """For a shell on the host; ~/ is the login user's home there."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def _directories(target: Target, said: Mapping[str, str], user: str) -> list[Need]:
    if "made" in said and "unwritable" not in said:
        return []
    foreign = said.get("foreign", "")
    if foreign and "unwritable" not in said:
        what = f"{target.path}/{foreign} is not {user}'s to write: see whose it is, then give it to {user}"
        return [Need(what, By.PERSON, f"ls -ld -- {quoted(f'{target.path}/{foreign}')}", target.name)]
    below = [f"{target.path}/{name}" for name in ("releases", "shared/log")]
    make = f"umask 022; mkdir -p -- {' '.join(quoted(path) for path in below)}"
    if "unwritable" not in said:
        return [Need(f"make {target.path} with releases/ and shared/log/", By.LOGIN, make, target.name)]
    login = shlex.quote(user)
    place = f"~{user}/{shlex.quote(target.path[2:])}" if target.path.startswith("~/") else shlex.quote(target.path)
    group = f'"$(id -gn {login})"'
    if said.get("there", "-") not in ("-", "d", "l"):
        return [Need(f"{target.path} is no directory: move it away", By.PERSON, target=target.name)]
    if said.get("there") in ("d", "l"):
        command = f"chown {login}:{group} {place}"
        return [Need(f"give {target.path} to {user}", By.ROOT, command, target.name)]
    command = f"install -d -o {login} -g {group} -m 0755 {place}"
    return [Need(f"make {target.path} for {user}", By.ROOT, command, target.name)]


def _unit(target: Target, said: Mapping[str, str], user: str, fleet: str) -> list[Need]:
    unit = target.runner.unit
    if unit is None:
        return []
    if "systemctl" in said:
        return [
            Need(f"there is no systemctl for {unit}: use commands: in place of unit:", By.PERSON, target=target.name)
        ]
    needs = []
    if said.get("unit") not in {"loaded", None}:
        own = target.runner.user_unit
        place = f"~/.config/systemd/user/{unit}" if own else f"/etc/systemd/system/{unit}"
        scope = "--user " if own else ""
        enable = " ".join(instances(unit))
        needs.append(
            Need(
                f"write the unit {place}: complete its ExecStart, then the command",
                By.PERSON,
                f"systemctl {scope}daemon-reload && systemctl {scope}enable {enable}",
                target.name,
                unit_text(target, user),
            )
        )
    if said.get("linger", "").startswith("no"):
        needs.append(
            Need(
                f"let {unit} outlive the login of {user}",
                By.ROOT,
                f"loginctl enable-linger {shlex.quote(user)}",
                target.name,
            )
        )
    if said.get("restart", "").startswith("no"):
        verbs = [f"/usr/bin/systemctl {verb} {one}" for one in instances(unit) for verb in ("restart", "start", "stop")]
        needs += _sudoers(target, verbs, user, fleet)
    return needs


def unit_text(target: Target, user: str) -> str:
    """A unit for the target as far as it can be known: a person completes ExecStart."""
    home = target.path.replace("~/", "%h/", 1) if target.path.startswith("~/") else target.path
    slots = target.runner.slots is not None
    at = f"{home}/slots/%i" if slots else f"{home}/current"
    own = target.runner.user_unit
    lines = ["[Unit]", f"Description={target.name}" + (" in slot %i" if slots else ""), "After=network-online.target"]
    lines += [f"ConditionPathExists={at}"] if slots else []
    lines += ["", "[Service]", *([] if own else [f"User={user}"]), f"WorkingDirectory={at}"]
    lines += [f"EnvironmentFile={at}/qd.env", f"EnvironmentFile=-{at}/qd.secrets.env"]
    lines += [f"EnvironmentFile={at}/qd.%i.env"] if slots else []
    lines += [f"ExecStart={at}/bin/{target.service}", "Restart=on-failure", "TimeoutStopSec=20"]
    return "\n".join([*lines, "", "[Install]", f"WantedBy={'default' if own else 'multi-user'}.target", ""])


def sudo_needs(target: Target, said: Mapping[str, str], user: str, fleet: str) -> list[Need]:
    """Where one of its commands is refused a line with all of them: its file is written anew, and what was allowed must stay so. sudo
    allows programs by their whole path, as the host has them."""
    if not refused_commands(said):
        return []
    allowed: list[str] = []
    for at, command in enumerate(sudo_commands(target)):
        program = said.get(f"program-{at}", "")
        if not program.startswith("/"):
            what = (
                f"let {user} run what {target.name} runs with sudo: {shlex.join(command)} (no line can be made of that)"
            )
            return [Need(what, By.PERSON, target=target.name)]
        allowed.append(shlex.join([program, *command[1:]]))
    return _sudoers(target, allowed, user, fleet)


def _sudoers(target: Target, commands: Sequence[str], user: str, fleet: str) -> list[Need]:
    """One file for a target of a fleet. ``commands``: all that it needs, by the whole paths of their programs."""
    line = f"{user} ALL=(root) NOPASSWD: {', '.join(commands)}"
    parts = ("quarterdeck", fleet, target.environment, target.service)
    name = "--".join("".join(c if c.isalnum() or c in "-_" else "-" for c in part) for part in parts)
    file = f"/etc/sudoers.d/{name}"  # sudo reads no file with a dot in its name
    command = (
        f"umask 337; printf '%s\\n' {shlex.quote(line)} >{file}.new && visudo -cqf {file}.new && mv {file}.new {file}"
    )
    return [Need(f"allow {user} what {target.name} runs with sudo", By.ROOT, command, target.name, line)]


async def _look_at_engine(
    backend: "Hosts", connection: "Connection", host: Host, targets: Sequence[Target]
) -> HostNeeds:
    found = await examine_engine(
        host.name, connection, targets, {}, swarm=bool(host.swarm)
    )  # before a first deploy there is no way back to know of
    specs = [target.container for target in targets if target.container is not None]
    version, lacking = await backend.engine_lacks(host, specs)
    needs = tuple(
        Need(
            f"{kind} {name} is external and not there",
            By.ENGINE,
            f"docker {kind} create {'-d overlay --attachable ' if host.swarm else ''}{shlex.quote(name)}",
            kind=kind,
            name=name,
        )
        for kind, name in lacking
    )
    if host.swarm:
        needs += tuple(await _without_a_place(backend, host, targets))
        found += [
            Finding(
                host.name,
                Verdict.WARN,
                f"the engine of the node {name} is not reached: {why}",
                "commands in its containers (qd exec, health: {command: …}) and figures need it: see the host's nodes",
            )
            for name, why in await backend.unreached_nodes(host)
        ]
    return HostNeeds(
        host.name,
        needs,
        tuple(one for one in found if one.verdict is not Verdict.OK),
        f"Docker {'Swarm, a manager with ' if host.swarm else ''}engine {version}",
    )


async def _without_a_place(backend: "Hosts", host: Host, targets: Sequence[Target]) -> list[Need]:
    """Services of a Swarm that its nodes would not take: labels that are missing, for instance."""
    placed = [(target.name, target.container) for target in targets if target.container is not None]
    found = await backend.without_a_place(host, [spec for _, spec in placed])
    return [
        Need(f"{name} has no place: {one[0]}; {one[1]}", By.PERSON, target=name)
        for (name, _), one in zip(placed, found, strict=True)
        if one is not None
    ]


async def prepare(
    backend: "Hosts",
    host: Host,
    targets: Sequence[Target],
    needs: Sequence[Need],
    journal: Journal,
    said: Callable[[str], None],
) -> Made:
    """Makes ``needs``, one after the other, each told to ``said`` before; reads the host back, and journals what was made.

    One that fails does not keep the others from being made. Raises BackendError where the host can't be reached.
    """
    connection = await backend.connect(host, deadline=CONNECT)
    made: list[Need] = []
    failed: list[str] = []

    async def make(wanted: Sequence[Need]) -> None:
        for need in wanted:
            said(_shown(need))
            try:
                why = await _make(backend, connection, host, need)
            except BackendError as error:
                why = error.problem
            if why:
                failed.append(f"{need.what}: {why}")
            else:
                made.append(need)

    try:
        await make(needs)
        after = await _look(backend, connection, host, targets)
        # What root has opened is the login user's to go on with.
        further = [need for need in after.by(By.LOGIN) if need not in needs]
        if further:
            await make(further)
            after = await _look(backend, connection, host, targets)
    finally:
        await leave(connection)
        if made:
            by_root = [need.command for need in made if need.by is By.ROOT]
            body = {"made": [need.what for need in made], "sudo": by_root, "failed": failed}
            journal.record(EVENT, host=host.name, body=body)
    return Made(tuple(need.what for need in made), tuple(failed), after)


def _shown(need: Need) -> str:
    return f"sudo sh -c {shlex.quote(need.command)}" if need.by is By.ROOT else need.command


async def _make(backend: "Hosts", connection: "Connection", host: Host, need: Need) -> str:
    """Why it could not be made; empty: it was."""
    if need.by is By.ENGINE:
        await backend.make_on_engine(host, need.kind, need.name)
        return ""
    command = need.command
    if need.by is By.ROOT:
        command = (
            f'if [ "$(id -u)" = 0 ]; then sh -c {shlex.quote(command)}; else sudo -n sh -c {shlex.quote(command)}; fi'
        )
    deadline = INSTALL if need.what.startswith("install ") else MAKE
    outcome = await connection.execute(command, deadline=deadline)
    if outcome.exit_status == 0:
        return ""
    lines = outcome.output.strip().splitlines()
    return lines[-1] if lines else f"exit status {outcome.exit_status}"
