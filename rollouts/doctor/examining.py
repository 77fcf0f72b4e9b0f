"""Tests this machine, every host and every router, side by side, and says for each fault how it is fixed. Changes nothing anywhere.

No secret's value is ever in a finding: only whether it could be read.
"""

import asyncio
import os
import shlex
import stat
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import (
    ArtifactMissing,
    BackendError,
)
from quarterdeck.config.model import Fleet, Host, SecretReference, Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.doctor.findings import LITTLE_ROOM, Finding, Verdict
from quarterdeck.rollouts.doctor.hosts import CONNECT, examine_host
from quarterdeck.rollouts.doctor.routers import examine_routers
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.roles import may_change
from quarterdeck.rollouts.way_back.leading import leads_back_to

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection

    from quarterdeck.backends.hosts.opening import Hosts

RESOLVE = 20.0


async def examine(
    backend: "Hosts",
    fleet: Fleet,
    journal: Journal | JournalError,
    operator: Operator,
    targets: Collection[str],
    said: Callable[[Finding], None],
) -> list[Finding]:
    """All findings, each told to ``said`` as soon as it is known: first this machine, then hosts, routers, artifacts and
    secrets."""
    findings: list[Finding] = []

    def tell(found: Sequence[Finding]) -> None:
        findings.extend(found)
        for finding in found:
            said(finding)

    tell(await asyncio.to_thread(_fleet_file, fleet))
    tell(_journal(journal))
    tell([_rights(fleet, operator)])
    tell(await asyncio.to_thread(detachment))

    async def then_tell(examination: Awaitable[list[Finding]]) -> None:
        tell(await examination)

    declared = [fleet.targets[name] for name in targets]
    hosts = {host.name: host for target in declared for host in target.hosts}
    there: dict[str, list[Target]] = {}
    for target in declared:
        for host in target.hosts:
            there.setdefault(host.name, []).append(target)
    back = _ways_back(journal, declared)
    async with asyncio.TaskGroup() as group:
        for host in hosts.values():
            group.create_task(then_tell(examine_host(backend, host, there[host.name], back)))
        group.create_task(then_tell(examine_routers(backend, declared)))
        for target in declared:
            group.create_task(then_tell(_artifact(backend, journal, target)))
        group.create_task(then_tell(_secrets(fleet, declared)))
        if fleet.flags:
            from quarterdeck.rollouts.flags import examine_flags

            group.create_task(then_tell(examine_flags(backend, fleet, targets)))
    return findings


def _ways_back(journal: Journal | JournalError, targets: Sequence[Target]) -> dict[str, Release]:
    """By target what a rollback would lead to; nothing where there is none."""
    found: dict[str, Release] = {}
    if isinstance(journal, Journal):
        for target in targets:
            with suppress(Refused):
                row = journal.release(leads_back_to(journal, target.name, None))
                if row is not None:
                    found[target.name] = row.release
    return found


# this machine


def _fleet_file(fleet: Fleet) -> list[Finding]:
    subject = "fleet file"
    described = f"{fleet.file}: {len(fleet.hosts)} hosts, {len(fleet.targets)} targets"
    try:
        mode = fleet.file.stat().st_mode
    except OSError as error:
        return [Finding(subject, Verdict.WARN, f"{fleet.file}: {error.strerror}")]
    if mode & stat.S_IWOTH:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                f"{fleet.file} can be written by everybody on this machine",
                f"chmod o-w {shlex.quote(str(fleet.file))}",
            )
        ]
    return [Finding(subject, Verdict.OK, described)]


def _journal(journal: Journal | JournalError) -> list[Finding]:
    from quarterdeck.history.engine import engine

    if isinstance(journal, JournalError):
        return [Finding("journal", Verdict.FAIL, journal.problem, journal.advice)]
    used = engine()
    found = [
        Finding(
            "journal engine",
            Verdict.WARN if used.affected else Verdict.OK,
            f"SQLite {used.version} ({used.name}), journal mode {used.mode}"
            + (
                ": this release can corrupt a WAL, so a rollback journal is used, which is slower"
                if used.affected
                else ""
            ),
            "pip install pysqlite3, which brings a newer SQLite" if used.affected else "",
        )
    ]
    place = journal.path.parent
    try:
        mode = place.stat().st_mode
        free = os.statvfs(place)
    except OSError as error:
        return [*found, Finding("state directory", Verdict.FAIL, f"{place}: {error.strerror}")]
    room = free.f_bavail * free.f_frsize
    if mode & stat.S_IRWXO:
        found.append(
            Finding(
                "state directory",
                Verdict.FAIL,
                f"{place} is open to everybody on this machine",
                f"chmod o= {shlex.quote(str(place))}",
            )
        )
    elif room < LITTLE_ROOM:
        found.append(
            Finding(
                "state directory", Verdict.WARN, f"{place} has only {room // 2**20} MiB free", "make room on that disk"
            )
        )
    else:
        shared = "shared with its group" if mode & stat.S_IWGRP else "for one user"
        found.append(
            Finding("state directory", Verdict.OK, f"{place}, on a local disk, {shared}, {room // 2**20} MiB free")
        )
    return found


def _rights(fleet: Fleet, operator: Operator) -> Finding:
    if may_change(fleet.operators, operator):
        return Finding("operator", Verdict.OK, f"{operator.label} (uid {operator.uid}) may deploy")
    return Finding(
        "operator",
        Verdict.WARN,
        f"{operator.label} (uid {operator.uid}) may look and change nothing",
        "operators.deploy of the fleet file names who may",
    )


def detachment(
    *,
    booted: Path = Path("/run/systemd/system"),
    linger: Path = Path("/var/lib/systemd/linger"),
    logind: Path = Path("/etc/systemd/logind.conf"),
) -> list[Finding]:
    """Whether a worker outlives the session that started it: logind may end everything of a user who logs out."""
    subject = "detachment"
    if not booted.is_dir():
        return [
            Finding(subject, Verdict.OK, "workers run in a session of their own; no systemd here that could end them")
        ]
    if os.geteuid() == 0:
        return [
            Finding(
                subject, Verdict.OK, "workers run in a session of their own; root's processes are not ended at logout"
            )
        ]
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or ""
    if name and (linger / name).exists():
        return [Finding(subject, Verdict.OK, f"lingering is on for {name}: workers outlive the last session")]
    if not kills_user_processes(logind):
        return [
            Finding(
                subject,
                Verdict.OK,
                "workers run in a session of their own, and logind leaves processes alone at logout",
            )
        ]
    return [
        Finding(
            subject,
            Verdict.FAIL,
            f"logind ends every process of {name or 'this user'} at logout (KillUserProcesses=yes): a rollout would die with the session",
            f"loginctl enable-linger {name}".strip(),
        )
    ]


def kills_user_processes(configuration: Path) -> bool:
    """What logind's own file and its drop-ins say; the last word counts, no by default."""
    answer = False
    drop_ins = sorted(configuration.parent.glob(f"{configuration.name}.d/*.conf"))
    for file in (configuration, *drop_ins):
        with suppress(OSError, UnicodeDecodeError):
            for line in file.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "KillUserProcesses":
                    answer = value.strip().lower() in {"yes", "true", "1", "on"}
    return answer


# artifacts and secrets


async def _artifact(backend: "Hosts", journal: Journal | JournalError, target: Target) -> list[Finding]:
    """Whether artifacts can be had: those that can be listed, else the version that was released last."""
    from quarterdeck.backends.artifacts import available, resolve

    subject = f"artifact {target.name}"
    shown = target.artifact.image or target.artifact.tarball
    row = None
    if isinstance(journal, Journal):
        row = next(iter(journal.releases(target.name, limit=1)), None)

    if target.images_on is not None:
        return [await _images(backend, target, target.images_on)]

    async def connect(address: str) -> "SSHClientConnection":
        async with asyncio.timeout(CONNECT):
            return await backend.sftp(address)

    try:
        async with asyncio.timeout(RESOLVE):
            versions = await available(
                target.artifact, limit=3, deadline=RESOLVE, connect=connect, logins=backend.logins
            )
            if versions:
                return [Finding(subject, Verdict.OK, f"{shown}: the newest is {versions[0]}")]
            if row is None:
                return [
                    Finding(
                        subject,
                        Verdict.WARN,
                        f"{shown}: nothing was found there and nothing has been released, so it was not tested",
                    )
                ]
            await resolve(
                target.artifact, row.release.version, deadline=RESOLVE, connect=connect, logins=backend.logins
            )
    except TimeoutError:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                f"{shown}: no answer within {RESOLVE:g} s",
                "is the server up, the address right?",
            )
        ]
    except ArtifactMissing as error:
        return [
            Finding(
                subject,
                Verdict.WARN,
                f"{shown}: version {row.release.version if row else ''} is gone: {error.problem}",
                error.advice or "keep the artifacts of releases that a rollback may need",
            )
        ]
    except BackendError as error:
        return [
            Finding(
                subject,
                Verdict.FAIL,
                f"{shown}: can't {error.action}: {error.problem}",
                error.advice or "is its place in the fleet file right?",
            )
        ]
    return [Finding(subject, Verdict.OK, f"{shown}: {row.release.version} is there")]


async def _images(backend: "Hosts", target: Target, host: Host) -> Finding:
    """Whether the engine that has the images has any."""
    subject, shown = f"artifact {target.name}", f"{target.artifact.image} on {host.name}"
    try:
        found = await backend.image_tags(host, target.artifact.image)
    except BackendError as error:
        return Finding(
            subject,
            Verdict.FAIL,
            f"{shown}: can't {error.action}: {error.problem}",
            error.advice or "is the engine up?",
        )
    if not found:
        return Finding(
            subject, Verdict.WARN, f"{shown}: there is no image", "build one there, or correct image: in the fleet file"
        )
    return Finding(subject, Verdict.OK, f"{shown}: the newest is {found[0]}")


async def _secrets(fleet: Fleet, targets: Sequence[Target]) -> list[Finding]:
    from quarterdeck.backends.secrets import resolve_secrets

    wanted: dict[SecretReference, list[str]] = {}
    for target in targets:
        for name, reference in target.secrets.items():
            wanted.setdefault(reference, []).append(f"{name} of {target.name}")
    found: list[Finding] = []

    async def one(reference: SecretReference, names: list[str]) -> None:
        subject = f"secret {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        try:
            async with asyncio.timeout(RESOLVE):
                await resolve_secrets({names[0].split(" ")[0]: reference}, base=fleet.file.parent)
        except (BackendError, TimeoutError) as error:
            reason = error.problem if isinstance(error, BackendError) else f"no answer within {RESOLVE:g} s"
            fix = (
                error.advice if isinstance(error, BackendError) else ""
            ) or f"see that its {reference.kind} can be read by this user on this machine"
            found.append(Finding(subject, Verdict.FAIL, f"from {reference.kind}: {reason}", fix))
        else:
            found.append(Finding(subject, Verdict.OK, f"can be read from {reference.kind}"))

    async with asyncio.TaskGroup() as group:
        for reference, names in wanted.items():
            group.create_task(one(reference, names))
    return sorted(found, key=lambda finding: finding.subject)
