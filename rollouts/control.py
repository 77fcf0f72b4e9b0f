"""What operators can ask for: arm, go, pause, abort, resume. Used by the command line and the screen alike.

Roles and policy are enforced here, below both. Nothing here connects to a host: that is the worker's.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from quarterdeck.config.model import Fleet, Target
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held, mark_orphaned, orphans
from quarterdeck.history.records import (
    ACTIVE,
    ENDED,
    Event,
    Operator,
    Request,
    Rollout,
    RolloutKind,
    RolloutState,
    StepState,
)
from quarterdeck.rollouts import spawn
from quarterdeck.rollouts.awaiting import await_state
from quarterdeck.rollouts.carried import carried, origin_carried
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.policy import with_command
from quarterdeck.rollouts.previews.lifetimes import refuse_if_over
from quarterdeck.rollouts.promoting import asks_people, pauses_left, waits_in
from quarterdeck.rollouts.refusals import Refused, UnknownPart, UnknownTarget, busy
from quarterdeck.rollouts.roles import may_change
from quarterdeck.rollouts.way_back.leading import begun, leads_back_to, other_good_ones

TAKEOVER = 15.0  # seconds within which a new worker has taken an orphaned rollout over
ARMED_FOR = 600.0  # seconds that an armed rollout waits for its ``go``


_SENSIBLE: Mapping[str, frozenset[RolloutState]] = {
    "go": frozenset({RolloutState.ARMED}),
    "cancel": frozenset({RolloutState.ARMED, RolloutState.QUEUED}),
    "pause": frozenset({RolloutState.RUNNING, RolloutState.BAKING}),
    "resume": frozenset({RolloutState.PAUSED}),
    "promote": frozenset({RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.BAKING}),
    "skip": frozenset({RolloutState.PAUSED}),
    "retry": frozenset({RolloutState.PAUSED}),
    "abort": frozenset(ACTIVE | {RolloutState.ARMED}),
}


class Control:
    """``worker``: one that was started ahead (``spawn.start_worker``) to save time; it takes the first rollout that
    is armed. ``read_only``: every wish is refused, whoever asks."""

    def __init__(
        self,
        fleet: Fleet,
        journal: Journal,
        operator: Operator,
        *,
        worker: spawn.WaitingWorker | None = None,
        read_only: bool = False,
    ) -> None:
        self.read_only = read_only
        self.fleet = fleet
        self.journal = journal
        self.operator = operator
        self._worker = worker

    # asking for a rollout

    def arm_deploy(
        self,
        target: str,
        version: str,
        *,
        reason: str = "",
        supersede: bool = False,
        force: bool = False,
        override: Collection[str] = (),
        only: Collection[str] = (),
        detached_go: bool = False,
        digest: str | None = None,
        build: Mapping[str, Any] | None = None,
        command: str = "",
    ) -> Rollout:
        """A deploy, journalled as armed, with its worker started. ``detached_go``: it goes as soon as it is ready.
        ``digest``: the SHA-256 that the version must stand for; another one is not deployed. ``build``: that it was made by.
        ``command``: the one that has the options which a refusal names, where it was asked for by another one.

        Raises UnknownTarget, Refused (role, an active rollout without ``supersede``, an override or ``force`` without
        a reason).
        """
        declared = self._allowed(target)
        refuse_if_over(self.fleet, declared.environment)
        if (force or override) and not reason:
            raise Refused("--force and --override need a reason", "give it with --reason")
        active = self.under_way(target)
        if active is not None and not supersede and active.state is not RolloutState.ORPHANED:
            raise Refused(busy(active), "wait for it, abort it, or use --supersede")
        return self._arm(
            declared,
            RolloutKind.DEPLOY,
            reason,
            only,
            {
                "version": version,
                "supersede": supersede,
                "force": force,
                "override": sorted(override),
                "go": detached_go,
                **({"digest": digest} if digest is not None else {}),
                **({"build": dict(build)} if build is not None else {}),
                **({"command": command} if command else {}),
                **origin_carried(self.fleet, declared.service),
            },
        )

    def arm_promotion(self, source: str, environment: str, **options: Any) -> Rollout:
        """A deploy of what runs on the target ``source`` to its service in ``environment``: the same version by the same digest, with
        that environment's configuration. ``options``: of ``arm_deploy``, whose errors it raises; Refused where nothing runs."""
        declared = self.fleet.targets.get(source)
        if declared is None:
            raise UnknownTarget(source, difflib.get_close_matches(source, list(self.fleet.targets), n=3, cutoff=0.5))
        current = self.journal.current_release(source)
        row = self.journal.release(current) if current is not None else None
        if row is None:
            raise Refused(f"nothing runs on {source} that could be promoted", f"see: qd releases {source}")
        if environment == declared.environment:
            raise Refused(f"{row.release.version} runs in {environment} already", "name another environment with --to")
        target = f"{environment}/{declared.service}"
        return self.arm_deploy(target, row.release.version, digest=row.release.artifact.sha256, **options)

    def arm_rollback(
        self,
        target: str,
        *,
        to: str | None = None,
        reason: str = "",
        only: Collection[str] = (),
        force: bool = False,
        detached_go: bool = False,
        settle: bool = False,
    ) -> Rollout:
        """A rollback, journalled as armed, with its worker started. ``to``: a release's id or a version; None: the
        last good one.

        Raises UnknownTarget, Refused (role, no release to go back to, a bad one without ``force`` and a reason, somebody
        else's rollback under way, or a deploy that would be left half-way on the hosts that ``only`` does not name).
        """
        declared = self._allowed(target)
        if force and not reason:
            raise Refused("--force needs a reason", "give it with --reason")
        active = begun(self.under_way(target))
        if active is not None and active.kind is RolloutKind.ROLLBACK and active.state is not RolloutState.ORPHANED:
            raise Refused(busy(active), f"follow it with: qd watch {active.id}")
        if active is not None and len(set(only)) not in (0, len(declared.hosts)):
            raise Refused(
                busy(active),
                f"its other hosts would be left half-way: roll all of {target} back, or first: qd abort {active.id}",
            )
        release = leads_back_to(self.journal, declared.name, to)
        row = self.journal.release(release)
        if to is not None and row is not None and row.verdict == "bad" and not force:
            raise Refused(
                f"release {row.id} was marked bad ({row.verdict_reason or 'no reason recorded'})",
                other_good_ones(self.journal, target, row) + "to go there all the same: --force --reason …",
            )
        return self._arm(
            declared,
            RolloutKind.ROLLBACK,
            reason,
            only,
            {"force": force, "go": detached_go, "settle": settle},
            to_release=release,
        )

    def under_way(self, target: str) -> Rollout | None:
        """The target's active rollout. One whose worker died is first made what policy says: nobody is to wait for it."""
        active = self.journal.active(target)
        if active is None or active.state is RolloutState.ORPHANED or lock_is_held(self.journal.path.parent, active.id):
            return active
        self.tend()
        return self.journal.active(target)

    def arm_kind(
        self, target: Target, kind: RolloutKind, reason: str, options: dict[str, Any], *, to_release: str | None
    ) -> Rollout:
        """One of a kind that has its own module, which has looked whether it may be."""
        return self._arm(target, kind, reason, (), options, to_release=to_release)

    def _arm(
        self,
        target: Target,
        kind: RolloutKind,
        reason: str,
        only: Collection[str],
        options: dict[str, Any],
        *,
        to_release: str | None = None,
    ) -> Rollout:
        unknown = sorted(set(only) - {host.name for host in target.hosts})
        if unknown:
            raise UnknownPart(
                f"{target.name} has no host {unknown[0]}", f"its hosts: {', '.join(h.name for h in target.hosts)}"
            )
        options |= carried(self.fleet, target, self.operator)
        options["only"] = sorted(only)
        if only and not options.get("settle") and len(set(only)) < len(target.hosts):
            options["partial"] = True  # not so for hosts that are owed what the others run already
        rollout = self.journal.arm(
            target.name,
            kind,
            from_release=self.journal.current_release(target.name),
            to_release=to_release,
            options=options,
            reason=reason,
        )
        self._start(rollout)
        return rollout

    def wake(self, rollout: int) -> bool:
        """Has a rollout a worker, which reads what was asked of it? One whose worker died gets a new one, from who may deploy."""
        if lock_is_held(self.journal.path.parent, rollout):
            return True
        if not self._may_deploy():
            return False
        self._start(self.journal.rollout(rollout))
        return True

    def _start(self, rollout: Rollout) -> None:
        if rollout.removes:  # no worker's: the command itself does it
            environment = rollout.target.partition("/")[0]
            raise Refused(f"rollout {rollout.id} removes a preview, and was cut short", f"qd env remove {environment}")
        options = rollout.options
        only = set(options.get("only") or ())
        declared = options["target"]["hosts"]
        hosts = [
            [
                *(str(host.get(key, "")) for key in ("name", "ssh", "docker", "tls")),
                list(host.get("swarm") or ()),
                str(host.get("nodes", "")),
            ]
            for host in declared
            if not only or host["name"] in only
        ]
        waiting, self._worker = self._worker, None
        if waiting is not None:
            try:
                waiting.assign(self.journal.path.parent, rollout.id, hosts, options)
                return
            except OSError:
                pass  # it died while it waited: a fresh one takes the rollout
        for_engines = all(not one["ssh"] and not _over_ssh(one) for one in declared)
        spawn.start_worker(for_engines=for_engines).assign(self.journal.path.parent, rollout.id, hosts, options)

    # acting on a rollout

    def go(self, rollout: int, plan_hash: str | None = None) -> Request:
        """Lets an armed rollout begin. ``plan_hash``: of the plan that was shown; a plan that changed since is
        refused."""
        now = self.journal.rollout(rollout)
        if plan_hash is not None and now.plan_hash != plan_hash:
            raise Refused(f"the plan of rollout {rollout} has changed since it was shown", "look at it again")
        return self.ask(rollout, "go", arguments={"plan_hash": now.plan_hash})

    def cancel(self, rollout: int) -> Request:
        return self.ask(rollout, "cancel")

    def ask(
        self, rollout: int, kind: str, step: int | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Request:
        """Journals an operator's wish for the worker. Raises Refused (role, or it makes no sense in the rollout's
        state)."""
        now = self.journal.rollout(rollout)
        self._allowed(now.target)
        sensible = _SENSIBLE.get(kind)
        if sensible is None:
            raise Refused(f"there is nothing called {kind!r} to ask of a rollout")
        if now.state not in sensible:
            why = f"rollout {rollout} ({now.kind} of {now.target}) is {now.state.words}: there is nothing to {kind}"
            died = now.state is RolloutState.ORPHANED
            raise Refused(why, f"its worker died: first qd resume {rollout}" if died else "")
        request = self.journal.ask(rollout, kind, step=step, arguments=dict(arguments or {}), states=sensible)
        if not lock_is_held(self.journal.path.parent, rollout) and now.state is not RolloutState.ARMED:
            self._start(now)  # nobody would read it: the worker is dead
        return request

    def promote(self, rollout: int, *, full: bool = False, reason: str = "") -> Request:
        """Ends the pause or the bake that a rollout waits in; ``full``: no later pause stops it either. Raises Refused when it does
        not wait, or no pause is left."""
        now = self.journal.rollout(rollout)
        self._allowed(now.target)
        if now.state in ENDED:
            raise Refused(f"rollout {rollout} has ended ({now.state.words})")
        steps = self.journal.steps(rollout)
        waits = waits_in(steps)
        named = f"rollout {rollout} ({now.kind} of {now.target})"
        if asks_people(steps):
            raise Refused(f"{named} waits for people to agree: nobody promotes it past that", f"qd approve {rollout}")
        if waits is not None and now.state is RolloutState.PAUSED and "promote" not in self._ways_on(rollout):
            raise Refused(f"{named} is held ({now.outcome})", f"let it go on first: qd resume {rollout}")
        if full and not pauses_left(steps):
            raise Refused(f"{named} has no pause left", f"to end its bake: qd promote {rollout}" if waits else "")
        if not full and waits is None:
            held = now.state is RolloutState.PAUSED
            raise Refused(
                f"{named} is {now.state.words}: it does not wait to be promoted",
                f"it was stopped, let it go on with: qd resume {rollout}"
                if held
                else "--full leaves out the pauses to come",
            )
        arguments: dict[str, Any] = {"full": True} if full else {}
        arguments |= {"reason": reason} if reason else {}
        return self.ask(rollout, "promote", step=waits.seq if waits is not None else None, arguments=arguments)

    def skip(self, rollout: int, reason: str = "") -> Request:
        """Lets a rollout that stands at a failed step go on without it. Raises Refused where it stands at none."""
        now = self.journal.rollout(rollout)
        self._allowed(now.target)
        failed = next(
            (s for s in self.journal.steps(rollout) if s.state is StepState.FAILED and s.action != "finish"), None
        )
        if now.state is RolloutState.PAUSED and failed is None:
            raise Refused(f"rollout {rollout} stands at no step that failed", f"see: qd show {rollout}")
        if failed is not None and failed.action == Action.APPROVAL:
            raise Refused(
                f"step {failed.seq} is an approval: nobody skips it", f"to ask for it again: qd retry {rollout}"
            )
        step = failed.seq if failed is not None else None
        return self.ask(rollout, "skip", step=step, arguments={"reason": reason} if reason else None)

    def resume(self, rollout: int, reason: str = "", *, wait: bool = True) -> Rollout:
        """Takes up a rollout that stands still: asks a paused one to go on, gives one whose worker died a new
        worker (``wait``: until that has taken it)."""
        now = self.journal.rollout(rollout)
        self._allowed(now.target)
        if now.state in ENDED:
            raise Refused(f"rollout {rollout} has ended ({now.state.words})")
        arguments = {"reason": reason} if reason else None
        if now.state is RolloutState.PAUSED and "resume" not in (ways := self._ways_on(rollout)):
            meant = " or ".join(f"qd {way} {rollout}" for way in ways)
            raise Refused(f"rollout {rollout} {now.outcome.partition(';')[0]}", f"let it go on with: {meant}")
        if now.state is RolloutState.PAUSED:
            self.ask(rollout, "resume", arguments=arguments)
        elif not lock_is_held(self.journal.path.parent, rollout):
            if reason:  # no request is made: the operator's word is a note
                self.journal.note(f"resumed: {reason}", target=now.target, rollout=rollout)
            self._start(now)
            if wait:
                await_state(self.journal, rollout, frozenset(RolloutState) - {RolloutState.ORPHANED}, TAKEOVER)
        elif now.state is not RolloutState.ARMED:
            self.ask(rollout, "resume", arguments=arguments)
        return self.journal.rollout(rollout)

    def _ways_on(self, rollout: int) -> Sequence[str]:
        """What can be asked of a rollout that stands still, by the event that told it."""
        told = self.journal.events(rollout=rollout, kind="state", newest_first=True, limit=1)
        return tuple(told[0].body.get("ways") or ("resume",)) if told else ("resume",)

    def retry(self, rollout: int, reason: str = "") -> Rollout:
        """A paused rollout tries its failed step again; an ended one is armed anew for the hosts it still owes (all that
        it was about, when none)."""
        now = self.journal.rollout(rollout)
        self._allowed(now.target)
        if now.state not in ENDED:
            self.ask(rollout, "retry", arguments={"reason": reason} if reason else None)
            return now
        if now.kind is RolloutKind.DRILL:
            raise Refused(f"rollout {rollout} was a drill", f"to practise it once more: qd drill {now.target}")
        debts = [debt for debt in self.journal.debts(now.target) if debt.rollout == rollout and debt.release]
        owed = [debt.host for debt in debts]
        if now.kind is RolloutKind.ROLLBACK and self._left_a_hook(rollout):
            owed = []  # hosts that are owed nothing may have a hook to undo: it is about all that it was about
        if now.state is RolloutState.SUCCEEDED and not owed:
            raise Refused(f"rollout {rollout} has succeeded: there is nothing to retry")
        release = debts[0].release if debts else now.to_release
        command = _command_of(now, owed, release)
        try:
            return self._armed_again(now, owed, release, reason, command)
        except Refused as refused:  # it names options that only the command has which this is in short
            raise type(refused)(refused.why, with_command(refused.advice, command)) from None

    def _left_a_hook(self, rollout: int) -> bool:
        """Whether a hook was to be undone by it, and was not."""
        steps = self.journal.steps(rollout)
        return any(step.body.get("reverse") and step.state is StepState.FAILED for step in steps)

    def _armed_again(
        self, now: Rollout, owed: Sequence[str], release: str | None, reason: str, command: str
    ) -> Rollout:
        """``release``: what the hosts in ``owed`` are owed, or what a rollback was about."""
        told = f"retry of {now.id}" + (f": {reason}" if reason else "")
        force = bool(now.options.get("force"))
        if now.kind is RolloutKind.ROLLBACK or owed:
            return self.arm_rollback(
                now.target,
                to=release,
                only=owed or now.options.get("only", ()),
                reason=told,
                force=force and now.kind is RolloutKind.ROLLBACK,
                detached_go=True,
                settle=not now.partial,
            )
        return self.arm_deploy(
            now.target,
            str(now.options["version"]),
            reason=told,
            force=force,
            override=now.options.get("override", ()),
            only=now.options.get("only", ()),
            detached_go=True,
            digest=now.options.get("digest"),
            build=now.options.get("build"),
            command=command,
        )

    def tend(self) -> list[Rollout]:
        """Gives rollouts whose worker died what policy says: rollbacks and «resume» a new worker, others are marked
        as orphaned.

        Safe to call by any number of processes at once: a worker that finds the rollout's lock taken leaves.
        """
        found = []
        for rollout in orphans(self.journal):
            if rollout.state is RolloutState.ARMED:
                mark_orphaned(self.journal, rollout)  # nothing was changed: it is cancelled
                continue
            found.append(rollout)
            if rollout.state is RolloutState.QUEUED:  # it has changed nothing, and goes on waiting
                self.wake(rollout.id)
                continue
            policy = str(rollout.options.get("target", {}).get("on_orphan", "hold"))
            never_left = (RolloutKind.ROLLBACK, RolloutKind.DRILL)
            if rollout.kind in never_left or policy != "hold" or rollout.state in _TAKING_BACK:
                if self._may_deploy():
                    self._start(rollout)
            else:
                mark_orphaned(self.journal, rollout)
        return found

    # words

    def note(self, text: str, *, target: str | None = None, rollout: int | None = None) -> Event:
        """Writes a note into the timeline. Raises Refused (role)."""
        self.allow_change()
        return self.journal.note(text, target, rollout)

    def give_reason(self, rollout: int, reason: str) -> None:
        """Writes down why a rollout was asked for, also after it has ended. Raises Refused (role)."""
        self.allow_change()
        self.journal.set_reason(rollout, reason)

    # waiting

    # roles

    def permitted(self, target: str) -> Target:
        """The declared target. Raises UnknownTarget, Refused for who may not change it."""
        return self._allowed(target)

    def allow_change(self) -> None:
        """Raises Refused for who may not change anything, and in a read-only session."""
        if self.read_only:
            raise Refused("this is a read-only session, nothing was changed", "start it again without --read-only")
        if not self._may_deploy():
            raise Refused(
                f"{self.operator.name} may not change anything in fleet {self.fleet.name}",
                "the fleet file's operators.deploy says who may",
            )

    def _allowed(self, target: str) -> Target:
        self.allow_change()
        declared = self.fleet.targets.get(target)
        if declared is None:
            raise UnknownTarget(target, difflib.get_close_matches(target, list(self.fleet.targets), n=3, cutoff=0.5))
        return declared

    def _may_deploy(self) -> bool:
        return not self.read_only and may_change(self.fleet.operators, self.operator)


def _command_of(ended: Rollout, owed: Sequence[str], release: str | None) -> str:
    """By which an operator asks for the same once more, without its reason."""
    force = ["--force"] if ended.options.get("force") else []
    if ended.kind is RolloutKind.ROLLBACK or owed:
        only = sorted(owed or ended.options.get("only", ()))
        words = ["qd rollback", ended.target, *(["--to", release] if release else [])]
        words += ["--only", *only] if only else []
        return " ".join([*words, *(force if ended.kind is RolloutKind.ROLLBACK else [])])
    overrides = [f"--override {policy}" for policy in ended.options.get("override", ())]
    return " ".join(["qd deploy", ended.target, str(ended.options["version"]), *force, *overrides])


_TAKING_BACK = frozenset({RolloutState.ABORTING, RolloutState.ROLLING_BACK})


def _over_ssh(host: Mapping[str, Any]) -> bool:
    """Whether an engine of it is reached by way of SSH."""
    addresses = [str(host.get("docker", "")), str(host.get("nodes", "")), *(host.get("swarm") or ())]
    return any(one.startswith("ssh://") for one in addresses)
