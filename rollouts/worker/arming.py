"""Arming: everything that can be known before the first change — hosts, artifact, secrets, the plan — and nothing
changed.

What it finds out is one JSON body, the plan that is shown to the operator and whose hash the ``go`` names.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarterdeck.backends.errors import ArtifactMissing, BackendError, SecretUnavailable
from quarterdeck.backends.hosts.contract import SecretValues, TargetFacts
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.secrets import fingerprint, resolve_secrets, same
from quarterdeck.config.model import Hooks, Host, OnUnreachable, Target
from quarterdeck.config.release import Release, ResolvedArtifact, canonical
from quarterdeck.history.records import Rollout, RolloutKind
from quarterdeck.rollouts.declared import release_of
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.plan import NO_HOOKS, HostNow, Plan, plan_deploy, plan_rollback, summary
from quarterdeck.rollouts.policy import Sighting, refusal
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.journal_thread import JournalThread

if TYPE_CHECKING:
    import asyncssh

log = logging.getLogger("quarterdeck.worker")

STRAGGLERS = 1.5  # seconds that a rollback waits for further hosts after the first one has answered


class CannotBegin(Exception):
    """Nothing was changed. ``cause``: usage, policy, artifact, secrets, unreachable or hosts; it decides the exit
    status."""

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause
        self.why = why


@dataclass(slots=True)
class Armed:
    """What arming found. ``releases`` holds every release that a step may name, by id."""

    target: Target
    release: Release
    leaving: str | None
    hosts: list[HostNow]
    plan: Plan
    secrets: dict[str, SecretValues]  # by release id; empty values: what lies on the host is kept
    releases: dict[str, Release]
    body: dict[str, Any] = field(default_factory=dict)
    archive: Path | None = None
    highest_epoch: int = 0

    @property
    def plan_hash(self) -> str:
        shown = {key: self.body[key] for key in ("kind", "target", "from", "to", "steps")}
        return hashlib.sha256(canonical(shown)).hexdigest()


class Arming:
    def __init__(
        self, rollout: Rollout, target: Target, crew: Crew, journal: JournalThread, *, backend: SshBackend, cache: Path
    ) -> None:
        self.rollout = rollout
        self.target = target
        self.crew = crew
        self.journal = journal
        self.backend = backend
        self.cache = cache
        self.base = Path(str(rollout.options["base"]))
        only = set(rollout.options.get("only") or ())
        self.names = [host.name for host in target.hosts if not only or host.name in only]
        self._from_hosts: dict[str, Release] = {}  # releases that hosts carry, by id

    async def arm(self) -> Armed:
        """Raises ``CannotBegin``."""
        if self.rollout.kind is RolloutKind.ROLLBACK:
            return await self._arm_rollback()
        return await self._arm_deploy()

    # deploy

    async def _arm_deploy(self) -> Armed:
        from quarterdeck.backends.artifacts import check_archive, check_version, fetch, resolve

        options = self.rollout.options
        version = str(options["version"])
        try:
            check_version(version)
        except BackendError as error:
            raise CannotBegin("usage", str(error)) from error
        look = asyncio.create_task(self.look(None, patient=True))
        archive_task: asyncio.Task[Path] | None = None
        try:
            try:
                resolved = await resolve(self.target.artifact, version, connect=self.sftp)
                archive_task = asyncio.create_task(fetch(resolved, self.cache, connect=self.sftp))
                values = await resolve_secrets(self.target.secrets, base=self.base)
            except ArtifactMissing as error:
                raise CannotBegin("usage", str(error)) from error
            except SecretUnavailable as error:
                raise CannotBegin("secrets", str(error)) from error
            except BackendError as error:
                raise CannotBegin("artifact", str(error)) from error
            release = await self._release(version, resolved, values)
            self._policy(release)
            hosts = await look
            self.refuse_unreachable(hosts)
            try:
                archive = await archive_task
                await check_archive(archive)
            except BackendError as error:
                raise CannotBegin("artifact", str(error)) from error
        finally:
            for task in (look, archive_task):
                if task is not None and not task.done():
                    task.cancel()
        leaving = self.rollout.from_release or most_common(hosts)
        armed = Armed(
            self.target,
            release,
            leaving,
            hosts,
            plan_deploy(hosts, release.id, self.target.strategy, self.target.hooks, seed=self.rollout.id),
            {release.id: values},
            self.known_releases(release),
            archive=archive,
        )
        return self._described(armed, dict.fromkeys(values.values, "same"))

    async def _release(self, version: str, artifact: ResolvedArtifact, values: SecretValues) -> Release:
        prints = await asyncio.to_thread(lambda: {name: fingerprint(value) for name, value in values.values.items()})
        return release_of(
            self.target,
            version,
            artifact,
            prints,
            created=self.rollout.created,
            created_by=self.rollout.requested_by,
        )

    def _policy(self, release: Release) -> None:
        options = self.rollout.options
        reader = self.journal.reader
        row = reader.release(release.id)
        after = options.get("after")
        sighting = None
        if after:
            current = reader.current_release(str(after))
            there = reader.release(current) if current else None
            if there is not None:
                sighting = Sighting(there.release.artifact.sha256, there.verdict, there.last_good)
        why = refusal(
            release,
            verdict=row.verdict if row else "untried",
            verdict_reason=row.verdict_reason if row else "",
            force=bool(options.get("force")),
            after=str(after) if after else None,
            soak=float(options.get("soak") or 0.0),
            seen_there=sighting,
            now=self.rollout.created,
            overridden=frozenset(options.get("override") or ()),
        )
        if why is not None:
            raise CannotBegin("policy", why)

    def refuse_unreachable(self, hosts: list[HostNow]) -> None:
        lost = [host for host in hosts if host.error is not None]
        if lost and (self.target.on_unreachable is OnUnreachable.STOP or len(lost) == len(hosts)):
            raise CannotBegin("unreachable", unreachable_sentence(lost, len(hosts)))
        faulty = [host for host in hosts if host.error is None and host.problems]
        if faulty:
            faults = "; ".join(f"{host.host}: {', '.join(host.problems)}" for host in faulty)
            raise CannotBegin("hosts", f"{faults}; nothing was changed; see: qd doctor {self.target.name}")

    # rollback

    async def _arm_rollback(self) -> Armed:
        assert self.rollout.to_release is not None
        row = await self.journal.do(self.journal.journal.release, self.rollout.to_release)
        if row is None:
            raise CannotBegin("usage", f"release {self.rollout.to_release} is not in the journal; see: qd releases")
        release = row.release
        secrets_task = asyncio.create_task(self._old_secrets(release))
        try:
            hosts = await self.look(release, patient=False)
            values, states = await secrets_task
        finally:
            if not secrets_task.done():
                secrets_task.cancel()
        if hosts and all(host.error is not None for host in hosts):
            raise CannotBegin("unreachable", unreachable_sentence(hosts, len(hosts)))
        leaving = self.rollout.from_release if self.rollout.from_release != release.id else None
        active = self.journal.reader.active(self.target.name)
        if active is not None and active.id != self.rollout.id and active.to_release:
            leaving = active.to_release
        leaving = leaving or most_common([h for h in hosts if h.current != release.id])
        if self.rollout.options.get("settle"):
            leaving = None  # hosts that are owed follow the others: nothing is left, no hook is reversed
        releases = self.known_releases(release)
        hooks = self.hooks_to_reverse(leaving, releases)
        armed = Armed(
            self.target,
            release,
            leaving,
            hosts,
            plan_rollback(hosts, release.id, self.target.rollback.max_unavailable, leaving=leaving, hooks=hooks),
            {release.id: values, **await self.secrets_to_mask(releases.get(leaving or ""))},
            releases,
        )
        for phase in (*hooks.before, *hooks.after):
            if not phase.reversible:
                armed.body.setdefault("warnings", []).append(f"hook {phase.run!r} of {leaving} can't be reversed")
        return self._described(armed, states)

    async def _old_secrets(self, release: Release) -> tuple[SecretValues, dict[str, str]]:
        """The values that the old release's references have now. A source that is down must not stop a rollback: then
        what lies
        on the hosts is kept."""
        references = {name: record.reference for name, record in release.secrets.items()}
        try:
            values = await resolve_secrets(references, base=self.base, deadline=8.0)
        except BackendError as error:
            log.warning("secrets kept as they are on the hosts, reason=%s", error)
            return SecretValues({}), dict.fromkeys(references, "unavailable")
        states = await asyncio.to_thread(
            lambda: {
                name: "same" if same(value, release.secrets[name].fingerprint) else "changed"
                for name, value in values.values.items()
            }
        )
        return values, states

    def hooks_to_reverse(self, leaving: str | None, known: Mapping[str, Release]) -> Hooks:
        """Those of the release that is left; none while other hosts go on with it."""
        left = known.get(leaving) if leaving is not None else None
        return left.hooks if left is not None and not self.rollout.partial else NO_HOOKS

    async def secrets_to_mask(self, leaving: Release | None) -> dict[str, SecretValues]:
        """Values that the reverse hooks of the release that is left can print: they run in its environment."""
        if leaving is None or not any(hook.on_rollback for hook in (*leaving.hooks.before, *leaving.hooks.after)):
            return {}
        return {leaving.id: (await self._old_secrets(leaving))[0]}

    # both

    async def sftp(self, address: str) -> "asyncssh.SSHClientConnection":
        """A connection for fetching an artifact, under the same rules for host keys as every host's."""
        connection = await self.backend.connect(Host(address, address))
        return connection.ssh

    async def look(self, release: Release | None, *, patient: bool) -> list[HostNow]:
        """Every host as it is now. Not ``patient``: hosts that are late are given as errors after a moment, others
        don't wait."""
        tasks = {name: asyncio.create_task(self._look_at(name, release)) for name in self.names}
        loop = asyncio.get_running_loop()
        until: float | None = None
        waiting = set(tasks.values())
        while waiting:
            done, waiting = await asyncio.wait(
                waiting,
                timeout=None if until is None else max(0.0, until - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                break
            if not patient and until is None and any(task.result().error is None for task in done):
                until = loop.time() + STRAGGLERS
        result = []
        for name, task in tasks.items():
            if task.done():
                result.append(task.result())
            else:
                task.cancel()
                result.append(HostNow(name, error=LATE, late=True))
        return result

    async def _look_at(self, name: str, release: Release | None) -> HostNow:
        try:
            connection = await self.crew.connection(name)
            facts = await connection.facts(self.target.name, self.target.path, release)
        except BackendError as error:
            return HostNow(name, error=str(error))
        self._remember(facts)
        return host_now(name, facts)

    def _remember(self, facts: TargetFacts) -> None:
        """Releases that a host knows and the journal does not: their manifests are as good as a row."""
        for kept in facts.kept:
            if kept.intact and kept.manifest is not None and kept.release not in self._from_hosts:
                try:
                    found = release_in(kept.manifest)
                except ValueError:
                    continue
                if found.target == self.target.name:
                    self._from_hosts[kept.release] = found

    def known_releases(self, *wanted: Release) -> dict[str, Release]:
        known = dict(self._from_hosts)
        known.update({row.id: row.release for row in self.journal.reader.releases(self.target.name, limit=200)})
        known.update({release.id: release for release in wanted})
        return known

    def _described(self, armed: Armed, secret_states: Mapping[str, str]) -> Armed:
        hosts = armed.hosts
        armed.highest_epoch = max((host.epoch for host in hosts), default=0)
        to = armed.release.id
        reasons = [f"{host.host}: {host.error}" for host in hosts if host.error is not None]
        if self.rollout.kind is RolloutKind.ROLLBACK:
            missing = [host.host for host in hosts if host.error is None and to not in host.kept]
            if missing:
                reasons.append(f"no copy of {armed.release.version} on {', '.join(missing)}: it is fetched first")
        reasons += [f"secret {n}: {s}" for n, s in secret_states.items() if s != "same"]
        warnings = armed.body.get("warnings", [])
        warnings += [
            f"the value of secret {name} has changed since {armed.release.version} was released: the new value is used"
            for name, state in secret_states.items()
            if state == "changed"
        ] + [
            f"secret {name} can't be read now: the value that lies on the hosts is kept"
            for name, state in secret_states.items()
            if state == "unavailable"
        ]
        armed.body = {
            "kind": str(self.rollout.kind),
            "target": self.target.name,
            "from": armed.leaving,
            "to": to,
            "version": armed.release.version,
            "digest": armed.release.artifact.sha256,
            "strategy": self.target.strategy.kind,
            "hosts": [
                {
                    "host": host.host,
                    "current": host.current,
                    "running": host.running,
                    "has_release": to in host.kept,
                    "kept": sorted(host.kept),
                    "free_bytes": host.free_bytes,
                    "problems": list(host.problems),
                    "error": host.error,
                }
                for host in hosts
            ],
            "steps": describe(armed.plan),
            "summary": summary(armed.plan, hosts, armed.leaving),
            "readiness": {"state": "degraded" if reasons else "ready", "reasons": reasons},
            "secrets": dict(secret_states),
            "warnings": warnings,
        }
        return armed


LATE = "has not answered yet"


def describe(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"seq": seq, "batch": step.wave, "host": step.host, "action": str(step.action), **step.body}
        for seq, step in enumerate(plan.steps, 1)
    ]


def host_now(name: str, facts: TargetFacts) -> HostNow:
    return HostNow(
        name,
        current=facts.current,
        running=facts.running,
        kept=frozenset(kept.release for kept in facts.kept if kept.intact),
        epoch=facts.epoch,
        free_bytes=facts.free_bytes,
        problems=facts.problems,
    )


def hosts_from_body(body: Mapping[str, Any]) -> list[HostNow]:
    """The hosts as they were seen when the plan was made, read back from the journal by a worker that takes over."""
    return [
        HostNow(
            str(item["host"]),
            current=item["current"],
            running=item["running"],
            kept=frozenset(item["kept"]),
            error=item["error"],
        )
        for item in body["hosts"]
    ]


def most_common(hosts: list[HostNow]) -> str | None:
    """The release that most hosts run: what is being left, where the journal does not know it."""
    running = [host.current for host in hosts if host.current is not None]
    return max(sorted(set(running)), key=running.count) if running else None


def unreachable_sentence(lost: list[HostNow], total: int) -> str:
    first = lost[0].error or ""
    more = f" (and {len(lost) - 1} more: {', '.join(h.host for h in lost[1:])})" if len(lost) > 1 else ""
    return f"{len(lost)} of {total} hosts can't be reached, nothing was changed: {first}{more}"
