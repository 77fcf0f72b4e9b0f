"""Arming: everything that can be known before the first change — hosts, artifact, secrets, the plan — and nothing
changed.

What it finds out is one JSON body, the plan that is shown to the operator and whose hash the ``go`` names.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.backends.errors import ArtifactMissing, BackendError, SecretUnavailable
from quarterdeck.backends.hosts.contract import SecretValues, TargetFacts
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.secrets import fingerprint, resolve_secrets
from quarterdeck.config.model import OnUnreachable, Target
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.declared import release_of
from quarterdeck.rollouts.drills.age import drill_age
from quarterdeck.rollouts.freezes import from_options
from quarterdeck.rollouts.frozen import frozen_now
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.plans.beside import why_not_beside
from quarterdeck.rollouts.plans.flags import flags_first
from quarterdeck.rollouts.plans.plan import HostNow, Plan, plan_rollback
from quarterdeck.rollouts.plans.undoing import Left
from quarterdeck.rollouts.policy import (
    NOTHING_BEFORE,
    Objection,
    WayRound,
    build_not_passed,
    drill_too_old,
    marked_bad,
    objections,
    refusal,
    way_closed,
)
from quarterdeck.rollouts.previews.whose import of_another_fleet
from quarterdeck.rollouts.proof import seen_before
from quarterdeck.rollouts.way_back.ahead import CLOSED, FIRST
from quarterdeck.rollouts.way_back.old_secrets import old_secrets
from quarterdeck.rollouts.worker.armed import (
    Armed,
    CannotBegin,
    described,
    host_now,
    left_half_way,
    most_common,
    unreachable,
)
from quarterdeck.rollouts.worker.built import Origin
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.drillable import only_practised, refuse_hooks, refuse_unless_whole
from quarterdeck.rollouts.worker.fetchable import why_not_fetchable
from quarterdeck.rollouts.worker.flagging import Flags, to_put_back_with
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.left_behind import left_behind, not_undone, printable
from quarterdeck.rollouts.worker.own_log import own_log
from quarterdeck.rollouts.worker.required import way_back

if TYPE_CHECKING:
    import asyncssh

    from quarterdeck.rollouts.plans.traffic import Traffic
    from quarterdeck.rollouts.worker.directing import Director

LATE = "has not answered yet"
STRAGGLERS = 1.5  # seconds that a rollback waits for further hosts after the first one has answered


class Arming:
    def __init__(
        self, rollout: Rollout, target: Target, crew: Crew, journal: JournalThread, *, backend: Hosts, cache: Path
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
        self.director: Director | None = None  # None: no router is in front of the target
        self._router_fault = ""
        self.flags = Flags(rollout, journal, backend, self.base)
        self.origin = Origin(rollout.options, self.base, journal.journal.path.parent)
        self._from_hosts: dict[str, Release] = {}  # releases that hosts carry, by id
        self._read: set[str] = set()  # releases whose secrets are masked already
        # What is only shown, and given up again, sets nothing aside that anybody should be told of.
        self.let_go = bool(rollout.options.get("go")) or rollout.state is not RolloutState.ARMED

    async def arm(self) -> Armed:
        """Raises ``CannotBegin``."""
        if self.rollout.kind in (RolloutKind.ROLLBACK, RolloutKind.DRILL):
            return await self._arm_rollback()
        return await self._arm_deploy()

    # deploy

    async def _arm_deploy(self) -> Armed:
        from quarterdeck.backends.artifacts import check_archive, check_version, fetch, resolve

        options = self.rollout.options
        version = str(options["version"])
        digest = options.get("digest")
        try:
            if self.target.artifact.image:
                from quarterdeck.backends.artifacts.registry.reference import check_reference

                check_reference(version)
            else:
                check_version(version)
        except BackendError as error:
            raise CannotBegin("usage", str(error)) from error
        look = asyncio.create_task(self.look(None, patient=True))
        self.origin.begin(version)
        archive_task: asyncio.Task[Path] | None = None
        try:
            try:
                if self.target.images_on is not None:
                    image = self.target.artifact.image
                    resolved = await self.backend.find_image(self.target.images_on, image, version)
                else:
                    # An image can be asked for by its digest: the tag may have moved on meanwhile.
                    wanted = f"sha256:{digest}" if digest and self.target.artifact.image else version
                    resolved = await resolve(
                        self.target.artifact, wanted, connect=self.sftp, logins=self.backend.logins
                    )
                if digest and resolved.sha256 != digest:
                    raise CannotBegin(
                        "policy",
                        f"{version} stands for sha256:{resolved.sha256[:12]}… now, and sha256:{str(digest)[:12]}… was to be "
                        f"promoted: it was made anew; nothing was changed. To ship the new one: "
                        f"qd deploy {self.target.name} {version}",
                    )
                if self.target.container is None:  # an image is fetched by each engine itself
                    archive_task = asyncio.create_task(fetch(resolved, self.cache, connect=self.sftp))
                values = await resolve_secrets(self.target.secrets, base=self.base)
                own_log.hide(values.values.values())
            except ArtifactMissing as error:
                raise CannotBegin("usage", str(error)) from error
            except SecretUnavailable as error:
                raise CannotBegin("secrets", str(error)) from error
            except BackendError as error:
                raise CannotBegin("artifact", str(error)) from error
            release = await self._release(version, resolved, values)
            await self.check_policy(release)
            hosts = await look
            self.refuse_unreachable(hosts)
            archive: Path | None = None
            try:
                if archive_task is not None:
                    archive = await archive_task
                    await check_archive(archive)
            except BackendError as error:
                raise CannotBegin("artifact", str(error)) from error
        finally:
            for task in (look, archive_task):
                if task is not None and not task.done():
                    task.cancel()
        leaving = self.rollout.from_release or most_common(hosts)
        hosts, traffic = await self.traffic(hosts, release, leaving)
        armed = Armed(
            self.target,
            release,
            leaving,
            hosts,
            await self.plan_deploy(hosts, release, leaving, traffic),
            {release.id: values},
            self.known_releases(release),
            archive=archive,
            warnings=[*self.flags.warnings, *self.origin.warnings],
            traffic=traffic,
        )
        described(armed, self.rollout.kind, dict.fromkeys(values.values, "same"))
        await self.check_required(armed)
        return armed

    async def _release(self, version: str, artifact: ResolvedArtifact, values: SecretValues) -> Release:
        prints = await asyncio.to_thread(lambda: {name: fingerprint(value) for name, value in values.values.items()})
        return release_of(
            self.target,
            version,
            artifact,
            prints,
            commit=await self.origin.commit(),
            created=self.rollout.created,
            created_by=self.rollout.requested_by,
        )

    async def check_policy(self, release: Release) -> None:
        """Raises ``CannotBegin`` for what may not go out now; what is set aside is journalled, once, when it is let go."""
        options = self.rollout.options
        reader = self.journal.reader
        row = reader.release(release.id)
        after = options.get("after")
        await self._heed(
            objections(
                release,
                verdict=row.verdict if row else "untried",
                verdict_reason=row.verdict_reason if row else "",
                after=str(after) if after else None,
                soak=float(options.get("soak") or 0.0),
                before=seen_before(reader, str(after), release.artifact.sha256, wanted_by=release.target)
                if after
                else NOTHING_BEFORE,
                frozen=frozen_now(reader, self.target.environment, from_options(options.get("freezes") or ())),
            )
        )

    async def check_required(self, armed: Armed, *, looked: bool = True) -> None:
        """Raises ``CannotBegin`` where the environment requires a way back, a drill or a build that has passed, and there is none.
        ``looked``: at the hosts just now; else they are asked once more. What was found is in the body of ``armed``."""
        require = self.rollout.options.get("require") or {}
        found: list[Objection] = []
        if most := require.get("max_drill_age"):
            found += self._drill_required(armed, float(most))
        if require.get("build"):
            found += await self._build_required(armed)
        if require.get("rollback_ready"):
            found += await self._way_back_required(armed, looked=looked)
        await self._heed(found)

    async def _build_required(self, armed: Armed) -> list[Objection]:
        shown = armed.body.setdefault("require", {})
        if (shown.get("build") or {}).get("passed"):
            return []  # a moment ago: what has passed has passed
        build = await self.origin.build_of(armed.release)
        shown["build"] = build.value()
        return [] if build.passed else [build_not_passed(armed.release, build.words)]

    async def _way_back_required(self, armed: Armed, *, looked: bool) -> list[Objection]:
        release, hosts = armed.release, armed.hosts
        if not looked:
            hosts = await self.look(release, patient=True)
        back = await way_back(
            self.journal.reader,
            self.target.name,
            release.id,
            hosts,
            armed.plan.changed,
            base=self.base,
            logins=self.backend.logins,
        )
        armed.body.setdefault("require", {})["rollback_ready"] = back.value()
        if back.state == FIRST:
            armed.body["warnings"].append(
                f"there is no way back from {release.version}: nothing that worked was ever there"
            )
        return [way_closed(release, f"the way back is {back.words}")] if back.state == CLOSED else []

    def _drill_required(self, armed: Armed, most: float) -> list[Objection]:
        age = drill_age(self.journal.reader, self.target.name, datetime.now(UTC))
        armed.body.setdefault("require", {})["max_drill_age"] = age.value(most)
        return [drill_too_old(armed.release, age.words)] if age.too_old(most) else []

    async def _heed(self, found: list[Objection]) -> None:
        """Raises ``CannotBegin`` for the first objection that is not set aside; those that are set aside are journalled."""
        if not found:
            return
        options = self.rollout.options
        overridden = frozenset(options.get("override") or ())
        command = str(options.get("command") or "")
        why = refusal(found, force=bool(options.get("force")), overridden=overridden, command=command)
        if why is not None:
            raise CannotBegin("policy", why)
        await self._journal_set_aside(found)

    async def note_bad(self, release: Release) -> None:
        """Of a rollback that goes to a release in spite of its mark: it is never refused for that here, and journalled."""
        row = self.journal.reader.release(release.id)
        if row is not None and row.verdict == "bad" and self.rollout.options.get("force"):
            await self._journal_set_aside([marked_bad(release, row.verdict_reason)])

    async def _journal_set_aside(self, found: list[Objection]) -> None:
        """Each once, and not before somebody has let the rollout go."""
        if not self.let_go:
            return
        events = self.journal.reader.events(rollout=self.rollout.id, kind="override")
        told = {event.body.get("policy") for event in events}
        for one in found:
            if one.way.recorded in told:
                continue
            body = {"policy": one.way.recorded, "words": one.why, "reason": self.rollout.reason}
            body |= {"frozen": one.why} if one.way is WayRound.FREEZE else {}
            await self.journal.do(
                self.journal.journal.record, "override", target=self.target.name, rollout=self.rollout.id, body=body
            )

    async def arm_again(self, release: Release, before: Armed | None) -> Armed:
        """The plan anew, for a release that waited: hosts are asked once more, over new connections where the old ones are lost.

        ``before``: what was found when it was armed; None: another worker did that, and the release is as it was journalled. Raises
        ``CannotBegin``.
        """
        hosts = await self._look_after_waiting(release)
        self.refuse_unreachable(hosts)
        known = self.known_releases(release)
        leaving = self.rollout.from_release or most_common(hosts)
        if before is not None:
            secrets, masked, states = (
                before.secrets,
                before.masked,
                dict.fromkeys(before.body.get("secrets", ()), "same"),
            )
        else:
            old = await old_secrets(release, self.base)
            other = [name for name, state in old.states.items() if state != "same"]
            if other:
                raise CannotBegin(
                    "secrets",
                    f"secret {', '.join(other)} is not what it was when {release.version} was asked for, or can't be read: "
                    "deploy it anew; nothing was changed",
                )
            secrets, masked, states = {release.id: old.to_write}, [old.readable], old.states
        hosts, traffic = await self.traffic(hosts, release, leaving)
        armed = Armed(
            self.target,
            release,
            leaving,
            hosts,
            await self.plan_deploy(hosts, release, leaving, traffic),
            secrets,
            known,
            masked=masked,
            warnings=self.flags.warnings,
            traffic=traffic,
        )
        described(armed, self.rollout.kind, states)
        await self.check_required(armed)
        return armed

    def _refuse_what_everybody_would_get(
        self, hosts: list[HostNow], traffic: "Traffic | None", *, beside: bool
    ) -> None:
        """An A/B test of which nobody is left out; a deploy over one whose instances still run beside the stable ones."""
        if traffic is None or not traffic.stable:
            return
        if self.target.strategy.kind == "ab" and len(hosts) == 1 and not beside:
            why = "an A/B test needs a second host, or two instances on one (slots, or a range of ports)"
            raise CannotBegin("policy", f"{why}: here everybody would get the new release; nothing was changed")
        active = self.journal.reader.active(self.target.name)
        if active is None or active.id == self.rollout.id:
            return
        steps = self.journal.reader.steps(active.id)
        if any(step.outcome.get("beside") for step in steps) and not active.ended:
            raise CannotBegin(
                "busy",
                f"the instances of rollout {active.id} run beside the stable ones, and a third can't: first qd abort {active.id}; "
                "nothing was changed",
            )

    async def plan_deploy(
        self, hosts: list[HostNow], release: Release, leaving: str | None, traffic: "Traffic | None"
    ) -> Plan:
        beside = self.beside(release, leaving)
        self._refuse_what_everybody_would_get(hosts, traffic, beside=beside)
        return await self.flags.plan(self.target, hosts, release.id, traffic=traffic, beside=beside)

    async def _look_after_waiting(self, release: Release) -> list[HostNow]:
        self.crew.renew()
        hosts = await self.look(release, patient=True)
        lost = [host.host for host in hosts if host.error is not None]
        if lost:
            await asyncio.gather(*(self.crew.reconnect(name) for name in lost), return_exceptions=True)
            hosts = await self.look(release, patient=True)
        return hosts

    def refuse_unreachable(self, hosts: list[HostNow]) -> None:
        lost = [host for host in hosts if host.error is not None]
        if lost and (self.target.on_unreachable is OnUnreachable.STOP or len(lost) == len(hosts)):
            raise unreachable(lost, len(hosts))
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
        secrets_task = asyncio.create_task(old_secrets(release, self.base))
        try:
            hosts = await self.look(release, patient=self.drill)
            old = await secrets_task
        finally:
            if not secrets_task.done():
                secrets_task.cancel()
        if hosts and all(host.error is not None for host in hosts):
            raise unreachable(hosts, len(hosts))
        leaving = self.rollout.from_release if self.rollout.from_release != release.id else None
        active = self.journal.reader.active(self.target.name)
        others = active is not None and active.id != self.rollout.id and active.epoch > 0
        if active is not None and others and active.to_release and active.kind is not RolloutKind.DRILL:
            leaving = active.to_release
        last = self.journal.reader.last_begun(self.target.name, other_than=self.rollout.id)
        if leaving is None and self.rollout.from_release is None:  # the journal does not know
            leaving = most_common([h for h in hosts if h.current != release.id])
        leaving = leaving or left_half_way(last, release.id)
        if self.rollout.options.get("settle") or (last is not None and leaving == only_practised(last)):
            leaving = None  # hosts that are owed follow the others: nothing is left, no hook is reversed
        releases = self.known_releases(release)
        undo = self.to_undo(release.id, leaving, releases)
        if self.drill:
            await self.check_drill(hosts, leaving)
            if not self.rollout.options.get("skip_hooks") and (left := releases.get(leaving or "")) is not None:
                refuse_hooks(self.target.name, left.hooks)
        hosts, traffic = await self.traffic(hosts, release, leaving)
        armed = Armed(
            self.target,
            release,
            leaving,
            hosts,
            self.plan_back(hosts, release.id, leaving, undo, traffic),
            {release.id: old.to_write},
            releases,
            masked=[old.readable, *await self.secrets_to_mask([one.release for one in undo], releases)],
            traffic=traffic,
            router_fault=self._router_fault,
            fetch_fault=await why_not_fetchable(release, hosts, self.backend.logins),
        )
        armed.warnings = [*armed.warnings, *not_undone(undo, armed.plan)]
        described(armed, self.rollout.kind, old.states)
        if self.drill and armed.body["readiness"]["state"] == "closed":
            why = "; ".join(armed.body["readiness"]["reasons"])
            raise CannotBegin("policy", f"there is no way back to practise: {why}; nothing was changed")
        return armed

    @property
    def drill(self) -> bool:
        return self.rollout.kind is RolloutKind.DRILL

    async def check_drill(self, hosts: list[HostNow], leaving: str | None) -> None:
        """Raises ``CannotBegin`` where the target is not whole, or its environment is frozen by now: nothing is practised then."""
        refuse_unless_whole(self.target.name, hosts, leaving)
        self.refuse_unreachable(hosts)
        freezes = from_options(self.rollout.options.get("freezes") or ())
        frozen = frozen_now(self.journal.reader, self.target.environment, freezes)
        if frozen is not None:
            told = f"{self.target.environment} is frozen {frozen.words}"
            raise CannotBegin("policy", f"{told}: nothing is practised there; nothing was changed")

    def plan_back(
        self, hosts: list[HostNow], release: str, leaving: str | None, undo: Sequence[Left], traffic: "Traffic | None"
    ) -> Plan:
        """Flags first: whoever gets what is taken away is to get it no more."""
        plan = plan_rollback(hosts, release, self.target.rollback.max_unavailable, undo=undo, traffic=traffic)
        if self.drill:  # flags stay as they are: who gets what is no matter of the hosts
            return plan
        return flags_first(plan, to_put_back_with(self.journal.reader, self.rollout, leaving), and_last=True)

    def to_undo(self, to: str, leaving: str | None, known: Mapping[str, Release]) -> list[Left]:
        """What hooks have done and this rollback undoes. A drill undoes nothing."""
        return [] if self.drill else left_behind(self.journal.reader, self.rollout, to, leaving, known)

    async def secrets_to_mask(self, releases: Iterable[str], known: Mapping[str, Release]) -> list[SecretValues]:
        return await printable(releases, known, self.base, self._read)

    # both

    async def traffic(
        self, hosts: list[HostNow], release: Release, leaving: str | None
    ) -> "tuple[list[HostNow], Traffic | None]":
        """How the router in front of the target stands, and each host with the address by which that reaches it. A deploy needs it
        (``CannotBegin``); a rollback goes by what the journal says of it, or without it."""
        if self.director is None:
            return hosts, None
        from quarterdeck.rollouts.plans.traffic import as_state, journalled, traffic_of, twins

        going_back = self.rollout.kind is RolloutKind.ROLLBACK
        looking = asyncio.create_task(self.director.look(patience=1.0 if going_back else 5.0))
        self._router_fault = ""
        try:
            found = [await self._with_address(host, release, tolerant=going_back) for host in hosts]
            alike = twins(found)
            if alike and not going_back:
                raise CannotBegin("hosts", f"{alike}; nothing was changed")
            if alike:
                self._router_fault = alike
                return hosts, None
            hosts = found
            state = await looking
        except BackendError as error:
            if not going_back:
                raise CannotBegin("unreachable", f"{error}; nothing was changed") from error
            self._router_fault = str(error)
            known = self.journal.reader.events(target=self.target.name, kind="routed", newest_first=True, limit=1)
            if not known:
                return hosts, None
            state = as_state(journalled(known[0].body))
        finally:
            looking.cancel()
        found_there = traffic_of(self.director.name, state, release.id, leaving)
        mine = {host.address for host in hosts}
        others = len(self.target.hosts) - len(self.names) if self.rollout.partial else 0
        inside = min(len(found_there.inside - mine), others)
        certain = not self._router_fault
        return hosts, msgspec.structs.replace(found_there, others=others, others_inside=inside, certain=certain)

    def beside(self, release: Release, leaving: str | None) -> bool:
        """Whether the release can run beside what is left. Raises ``CannotBegin`` where the strategy is nothing without that."""
        old = self.known_releases().get(leaving or "")
        if old is None or old.id == release.id:
            return False
        why = why_not_beside(release, old)
        if why and self.target.strategy.kind == "blue_green" and self.rollout.kind is not RolloutKind.ROLLBACK:
            raise CannotBegin(
                "policy",
                f"blue/green needs {release.version} to run beside {old.version} on each host, and {why}: see docs/strategies.md; "
                "nothing was changed",
            )
        return not why

    async def _with_address(self, host: HostNow, release: Release, *, tolerant: bool) -> HostNow:
        if host.error is not None or self.director is None:
            return host
        connection = await self.crew.connection(host.host)
        try:
            address = await self.director.address(host.host, connection, release)
        except BackendError:
            if not tolerant:
                raise
            return host
        return msgspec.structs.replace(host, address=address)

    async def sftp(self, address: str) -> "asyncssh.SSHClientConnection":
        """A connection for fetching an artifact, under the same rules for host keys as every host's."""
        return await self.backend.sftp(address)

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
            going_back = self.rollout.kind is RolloutKind.ROLLBACK
            facts = await connection.facts(self.target.name, self.target.path, release, then_switch=going_back)
        except BackendError as error:
            return HostNow(name, error=str(error))
        self._remember(facts)
        now = host_now(name, facts)
        whose = self._other_fleet(facts)
        return now if not whose else msgspec.structs.replace(now, problems=(*now.problems, whose))

    def _other_fleet(self, facts: TargetFacts) -> str:
        """In words, where what runs there was put there for a target of the same name of another fleet. One that was adopted is ours."""
        own = str(self.rollout.options.get("fleet") or "")
        known = facts.current is not None and self.journal.reader.release(facts.current) is not None
        return of_another_fleet(facts, self.target.name, own, known=known)

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
