"""An update of a service, driven and observed task by task. Swarm replaces the tasks; when it goes on is decided here.

How a part is held: Swarm's updater replaces as many tasks as it may at once and waits for the update's delay before the next ones. The
delay is set so long that it never ends by itself, and any change of the service makes Swarm begin anew with what is left to be replaced.
So each part ends with our health gate, and a change of a label sets the next one going. A worker that dies leaves an update that stands
still. (moby/swarmkit, manager/orchestrator/update/updater.go: Supervisor.Update, Updater.Run, worker.) Where Swarm's leader changes in
between, the new one begins one part by itself: it is gated like the others."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, EngineRefused, Unhealthy
from quarterdeck.backends.hosts.docker.switching import IN_USE, WATCHED
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.failures import advice_where_lost, failure, what_runs, while_lost
from quarterdeck.backends.hosts.swarm.gate import ANSWER, Spec, SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, Task, is_of, list_tasks, service_in
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.patience import Patience
from quarterdeck.backends.hosts.swarm.placement import is_full
from quarterdeck.backends.hosts.swarm.spec import HOLD, deploy_of, order_back, order_of, pace, said_order
from quarterdeck.backends.hosts.swarm.templates import is_made_as, made_as, same_template
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.container import ContainerSpec, Pace
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.health import SwarmHealth

FIRST_PAUSE: Final = 0.03  # seconds between two looks, longer from one to the next
LONGEST_PAUSE: Final = 0.4
_LOOK_AT_SERVICE: Final = 1.0  # seconds between two looks whether Swarm itself has paused it
_PLACELESS: Final = 10.0  # seconds in which Swarm may still find a node for a task
_ANSWERS: Final = 2.0  # seconds in which managers tell tasks where nothing is wrong with them
STUCK: Final = 20.0  # seconds in which no task changes, though all are well: Swarm has begun none of the next part, or has forgotten one
_PASSING: Final = (*IN_USE, "assigned node no longer meets constraints")
"""What is said of a task that ended for its node's sake: Swarm starts another one."""
_MARGIN: Final = 30.0  # seconds beside those that a health gate may take


@dataclass(frozen=True, slots=True)
class Way:
    """How the tasks are replaced. ``gated``: each part must be well before the next one begins. ``said``: the order is the fleet file's."""

    pace: Pace
    order: str
    gated: bool
    hold: float  # seconds that a task must stay healthy
    said: bool = False

    @property
    def may_make_room(self) -> bool:
        """Whether an old task may end first where no node takes one more: what is good goes back whatever was said."""
        return self.order == "start-first" and not (self.gated and self.said)

    @property
    def parallelism(self) -> int:
        return self.pace.parallelism


def way_of(spec: ContainerSpec, release: Release, *, proved: bool) -> Way:
    """``proved``: the release was good there before, so it goes back at once, as ``rollback_config`` says."""
    deploy = deploy_of(spec)
    if proved:
        given = deploy.rollback or Pace(parallelism=0)
        return Way(given, order_back(spec), gated=False, hold=0.0)
    hold = release.health.min_healthy_time if release.health is not None else 0.0
    said = bool(said_order(spec, deploy.update))
    return Way(deploy.update or Pace(), order_of(spec, deploy.update), gated=True, hold=hold, said=said)


@dataclass(slots=True)
class _Progress:
    """What has come of an update so far."""

    before: frozenset[str]  # tasks that had failed before it
    healthy: dict[str, float] = field(default_factory=dict)  # since when, by task
    asked: dict[str, float] = field(default_factory=dict)  # when last, by task
    moved: int = 0  # tasks that may be new by now
    stopped: set[str] = field(
        default_factory=set
    )  # told to stop while they were well: their end says nothing of the release
    paused: bool = False  # by Swarm, for such a one


@dataclass(frozen=True, slots=True)
class _Stand:
    """What must not change for an update to stand still."""

    tasks: frozenset[tuple[str, str, str]] = frozenset()  # ids, states, and what Swarm wants of them
    new: int = 0
    well: int = 0

    @classmethod
    def of(cls, tasks: Sequence[Task], new: Sequence[Task], well: Sequence[Task]) -> "_Stand":
        return cls(frozenset((one.id, one.state, one.wanted) for one in tasks), len(new), len(well))


class _ChangedMeanwhile(Exception):
    """The service is not as this update has made it."""


class Roll:
    """One update of ``service`` to ``release``. ``release.health`` gates each part where the way says so."""

    def __init__(
        self, gate: SwarmGate, nodes: Nodes, health: "SwarmHealth", release: Release, way: Way, seconds: float
    ) -> None:
        self._gate = gate
        self._nodes = nodes
        self._health = health
        self._release = release
        self._way = way
        self._seconds = seconds  # for each step forward
        self._now = asyncio.get_running_loop().time
        self._detail = ""  # of the last check that failed
        self._failed: Task | None = None  # the last one that did
        self._placeless: float | None = None  # since when a task has found no node
        self._room_made = False  # old tasks end first, though the way was another: new ones find a place as they do

    async def update(self, seen: Seen, service: Service, build: Callable[[Service], Spec]) -> Service:
        """The service at the end of its update: every task is of the release, runs, and where the way is gated is well. Raises
        ``CommandFailed`` (``Unhealthy``), ``Fenced``: the update stands still then."""
        way = self._way = await self._with_room(self._way)
        template = build(service)["TaskTemplate"]
        force = int(template.get("ForceUpdate") or 0)
        due = [
            one
            for one in seen.of(service)
            if not same_template(one.spec, template) or int(one.spec.get("ForceUpdate") or 0) != force
        ]
        await self._refuse_paused_nodes(service, due, fresh=True)
        before = frozenset(one.id for one in seen.of(service) if one.has_failed)
        parts = way.gated and 0 < way.parallelism < max(
            2, service.replicas, len([t for t in seen.of(service) if t.is_wanted])
        )
        config = pace(way.pace, way.order, delay=HOLD if parts else None)
        progress = _Progress(before)
        already = 0
        if way.gated and _is_under_way(service, build(service)):
            # Left by a dead worker: any change would set the next part going, and end the old tasks of new ones that don't run yet. So
            # what is there of it is judged before.
            already = sum(is_of(one, service) for one in seen.of(service) if one.is_wanted)
            await self._judged(service, progress)
        if parts:
            progress.moved = already + way.parallelism
        service = await self._gate.change_service(
            service, lambda now: {**build(now), "UpdateConfig": config}, self._release
        )
        service = await self._follow(service, progress, parts=parts)
        if not parts:
            return service
        own = {**service.spec, "UpdateConfig": pace(way.pace, self._way.order)}
        return await self._gate.change_service(service, lambda _: own, self._release)

    async def _judged(self, service: Service, progress: _Progress) -> None:
        """What is of ``service`` already runs, and is well. Raises ``Unhealthy``, ``CommandTimedOut``: nothing was changed."""
        pause, patience = FIRST_PAUSE, Patience(self._patience)
        self._gate.touched = True  # what is not well there is of this release, whoever began it
        self._come_forward()
        while True:
            await self._managers_answer()
            tasks = await self._tasks(service)
            patience.look(self._now())
            await self._refuse_failed(service, tasks, progress)
            new = [one for one in tasks if one.is_wanted and is_of(one, service)]
            well = await self._well(new, progress)
            if len(well) == len(new):
                return
            patience.saw([one.id for one in new if one.runs], {one.id for one in well}, self._now())
            if all(one.runs for one in new) and patience.is_over(self._now()):
                raise await self._not_well(new, well)
            if self._gate.is_over:
                raise await self._too_long(service, tasks, new, len(new))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _managers_answer(self) -> None:
        """Before tasks are asked for their health, which needs the nodes: what is silent is met here, and not taken for an ill task."""
        if self._way.gated and self._release.health is not None:
            await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left))

    async def _tasks(self, service: Service) -> list[Task]:
        """All that Swarm remembers of it. Raises ``ServiceGone``."""
        deadline = max(ANSWER, self._gate.left)
        try:
            return await list_tasks(self._gate.managers, self._gate.words, [service.id], deadline=deadline)
        except EngineRefused as error:
            if error.status == 404:
                raise self._gate.gone(service) from None
            raise

    async def _set_going(self, service: Service, anew: Spec | None = None) -> Service:
        """The next part, as it was begun, or as ``anew`` says. Raises ``CommandFailed`` where somebody else has put something there in
        between: it does not go along, and which tasks Swarm has replaced by it nobody knows."""

        def own(now: Service) -> Spec:
            if made_as(now.spec) != made_as(service.spec):
                raise _ChangedMeanwhile
            return dict(service.spec if anew is None else anew)

        try:
            return await self._gate.change_service(service, own, self._release)
        except _ChangedMeanwhile:
            raise await self._changed(service) from None

    async def created(self, seen: Seen, service: Service) -> Service:
        """One that was created, or whose tasks were none, comes up; or is found to be up. ``seen``: what was there before."""
        before = frozenset(one.id for one in seen.of(service) if one.has_failed)
        return await self._follow(service, _Progress(before), parts=False)

    async def _follow(self, service: Service, progress: _Progress, *, parts: bool) -> Service:
        pause, looked, patience = FIRST_PAUSE, self._now(), Patience(self._patience)
        forward, done = -1, 0.0
        stand, stands, stuck = _Stand(), self._now(), False
        while True:
            asked = self._now()
            await self._managers_answer()
            tasks = await self._tasks(service)
            if self._now() - asked > _ANSWERS:
                stands = self._now()  # nobody has looked meanwhile: a leader was chosen, for instance
            patience.look(self._now())
            new = [one for one in tasks if one.is_wanted and is_of(one, service)]
            await self._refuse_failed(service, tasks, progress)
            well = await self._well(new, progress)
            running = sum(one.runs for one in new)
            patience.saw([one.id for one in new if one.runs], {one.id for one in well}, self._now())
            if len(well) + running > forward:
                forward, pause = len(well) + running, FIRST_PAUSE
                patience.begin_anew(self._now())
                self._come_forward()
            wanted = await self._wanted(service, tasks)
            if not self._room_made and await self._has_no_place(service, tasks, new, wanted):
                if self._way.gated or self._way.order != "start-first":
                    raise await self._no_place(service, new)
                service = await self._with_room_made(service)
                continue
            old = [one for one in tasks if one.is_wanted and not is_of(one, service)]
            if (now := _Stand.of(tasks, new, well)) != stand:
                stand, stands = now, self._now()
            elif parts and len(well) == len(new) and old and self._now() - stands > STUCK:
                # Swarm has used up a part for a slot whose new task was there already, after a node was lost for instance: it would wait
                # for the next one for ever.
                progress.moved, stuck = min(progress.moved, len(well)), True
            crowded = _is_crowded(service, new)
            if (
                not parts
                and 0 < len(well) == len(new)
                and (old or crowded)
                and (progress.paused or self._now() - stands > STUCK + self._way.pace.delay)
            ):
                # Swarm waits for ever for a task that it has replaced meanwhile, as on a node that was lost before it ran there, and leaves
                # the old one; or its updater has ended too soon. Each new one runs, so that the old ones are all that it ends now.
                service = await self._set_going(service)
                stand, stands, progress.paused = _Stand(), self._now(), False
                continue
            if len(well) >= wanted and len(new) == len(well) and not old and (parts or not crowded):
                if not await self._still_there(tasks) and await self._are_well_yet(new, progress):
                    return service
            elif (
                parts
                and len(new) == len(well) >= min(progress.moved, wanted)
                and (stuck or not _share_a_slot(old, new))
            ):
                done = done or self._now()
                # Looked at until the pause between two parts is over: a task that fails in it ends the update.
                if self._now() - done >= self._way.pace.delay and await self._are_well_yet(new, progress):
                    service = await self._set_going(service)
                    progress.moved = len(well) + self._way.parallelism
                    forward, done, pause = -1, 0.0, FIRST_PAUSE
                    stand, stands, stuck = _Stand(), self._now(), False
                    continue
                self._come_forward()
            else:
                done = 0.0
            if running == len(new) and patience.is_over(self._now()):
                raise await self._not_well(new, well)
            if self._now() - looked > _LOOK_AT_SERVICE:
                looked = self._now()
                service = await self._refuse_paused(service, old, new, progress)
                await self._refuse_paused_nodes(service, old)
            if self._gate.is_over:
                raise await self._too_long(service, tasks, new, wanted)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _wanted(self, service: Service, tasks: Sequence[Task]) -> int:
        if service.is_stopped:
            return 0
        if not service.is_global:
            return service.replicas
        nodes = await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left))
        ready = {one.id for one in nodes if one.is_ready and one.availability == "active"}
        return max(1, len({one.node for one in tasks if one.is_wanted and one.node in ready}))

    async def _well(self, new: Sequence[Task], progress: _Progress) -> list[Task]:
        """Of ``new`` those that run and, where that is asked for, are healthy and have been for long enough."""
        running = [one for one in new if one.runs]
        if not self._way.gated:
            return running
        if self._release.health is None:  # one that ends as soon as it begins is told as running in between
            for one in running:
                progress.healthy.setdefault(one.id, self._now())
            return [one for one in running if self._now() - progress.healthy[one.id] >= WATCHED]
        unknown = [one for one in running if one.id not in progress.healthy or self._way.hold > 0.0]
        outcomes = await self._health.of_tasks(self._release.health, self._release, unknown)
        for one, outcome in zip(unknown, outcomes, strict=True):
            progress.asked[one.id] = self._now()
            if outcome.healthy:
                progress.healthy.setdefault(one.id, self._now())
            else:
                progress.healthy.pop(one.id, None)
                self._detail = outcome.detail
        return [
            one for one in running if self._now() - progress.healthy.get(one.id, self._now() + 1.0) >= self._way.hold
        ]

    async def _are_well_yet(self, new: Sequence[Task], progress: _Progress) -> bool:
        """Asked once more, all of them, before anything is built upon it: one may have been well at its start only."""
        if not self._way.gated or self._release.health is None:
            return True
        health = self._release.health
        late = [one for one in new if one.runs and self._now() - progress.asked.get(one.id, 0.0) > health.interval]
        outcomes = await self._health.of_tasks(health, self._release, late)
        for one, outcome in zip(late, outcomes, strict=True):
            progress.asked[one.id] = self._now()
            if not outcome.healthy:
                progress.healthy.pop(one.id, None)
                self._detail = outcome.detail
        return all(one.id in progress.healthy for one in new if one.runs)

    def _come_forward(self) -> None:
        """As much time again for what comes next: for a task to begin, and to become and stay healthy."""
        self._gate.allow(max(self._seconds, self._patience + _MARGIN))
        self._gate.managers.came_forward = time.monotonic()

    async def _refuse_paused_nodes(self, service: Service, old: Sequence[Task], *, fresh: bool = False) -> None:
        """Of a global service Swarm replaces no task on a node that is paused: it would be waited for in vain. ``old``: those that are to
        be replaced."""
        if not service.is_global or not old:
            return
        nodes = await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left), fresh=fresh)
        paused = {one.id: one.hostname for one in nodes if one.availability == "pause"}
        held = next((paused[one.node] for one in old if one.is_wanted and one.node in paused), "")
        if held:
            raise CommandFailed(
                self._gate.host,
                self._gate.words,
                f"its node {held} is paused: Swarm replaces no task of a global service there",
                exit_status=None,
                left=await what_runs(self._gate),
                advice=f"docker node update --availability active {held}, or drain",
            )

    async def _refuse_failed(self, service: Service, tasks: Sequence[Task], progress: _Progress) -> None:
        """What has proved itself is not given up for one task, and nothing is for a port that its node has not given up yet: Swarm starts
        another one. One that was told to stop before it ended did not fail, whatever its node says of it once it is back: Swarm tells none
        to stop for a failure before it has written that down."""
        passing = {one.id for one in tasks if one.has_failed and any(words in one.said for words in _PASSING)}
        progress.stopped |= passing | {one.id for one in tasks if not one.is_wanted and not one.has_failed}
        failed = [one for one in tasks if is_of(one, service) and one.has_failed and one.id not in progress.before]
        self._failed = failed[-1] if failed else None
        own = [one for one in failed if one.id not in progress.stopped]
        if own and self._way.gated:
            raise await failure(self._gate, self._nodes, service, self._release, own[-1])

    async def _with_room(self, way: Way) -> Way:
        """As it was to be; where each node has as many tasks as it may have, an old one ends before a new one begins."""
        spec = self._release.container
        if spec is None or not way.may_make_room or not deploy_of(spec).max_replicas_per_node:
            return way
        nodes = await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left))
        return replace(way, order="stop-first") if is_full(spec, nodes) else way

    async def _has_no_place(self, service: Service, tasks: Sequence[Task], new: Sequence[Task], wanted: int) -> bool:
        """While each node that takes tasks is there, and nothing that is on its way out makes room, one that Swarm has found no node for
        waits in vain."""
        waiting = _without_a_node(new)
        missing = service.is_global and wanted and not any(one.is_wanted for one in tasks)
        makes_room = any(one.may_run and not one.is_wanted for one in tasks)
        comes_up = any(one.node and one.is_coming for one in new)  # an old one goes when it runs
        if not (waiting or missing) or makes_room or comes_up:
            self._placeless = None
            return False
        self._placeless = self._now() if self._placeless is None else self._placeless
        if self._now() - self._placeless < _PLACELESS:
            return False
        nodes = await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left))
        return not any(one.availability == "active" and not one.is_ready for one in nodes)

    async def _with_room_made(self, service: Service) -> Service:
        """What is good goes back where a node has no room for two, whatever was said: old tasks end first from now on. Those that wait are
        begun anew, as by a restart: Swarm has no node for tasks of an older revision of their service (see ``is_still``). Raises as
        ``_set_going``."""
        self._way, self._room_made = replace(self._way, order="stop-first"), True
        force = int(service.template.get("ForceUpdate") or 0) + 1
        anew = {
            **service.spec,
            "TaskTemplate": {**service.template, "ForceUpdate": force},
            "UpdateConfig": pace(self._way.pace, self._way.order),
        }
        return await self._set_going(service, anew)

    async def _no_place(self, service: Service, new: Sequence[Task]) -> CommandFailed:
        waiting = _without_a_node(new)
        room = ", or give its update_config order: stop-first, so that an old task makes room"
        return CommandFailed(
            self._gate.host,
            self._gate.words,
            f"no node takes a task of {self._release.id}: {clean(waiting.said) if waiting else 'none fits, or is active'}",
            exit_status=None,
            left=await what_runs(self._gate),
            advice="see what the service asks of its nodes (deploy.placement, resources, ports), and docker node ls"
            f"{room if self._way.order == 'start-first' else ''}; docker service ps --no-trunc {service.name}",
        )

    async def _refuse_paused(
        self, service: Service, old: Sequence[Task], new: Sequence[Task], progress: _Progress
    ) -> Service:
        """Raises ``CommandFailed`` where Swarm has ended the update, or somebody has changed the service. The proved go on, but for an old
        task whose place is not taken yet; a gated one that Swarm paused for a task that was moved stands still until all are well."""
        now = service_in(await self._gate.ask(lambda client: calls.get(client, f"/services/{service.id}")))
        if made_as(now.spec) != made_as(service.spec):
            raise await self._changed(service)
        await self._gate.check()
        if now.update == "paused" and not self._way.gated:
            waits = _share_a_slot(old, [one for one in new if not one.runs])
            return service if waits else await self._set_going(service)
        if now.update == "paused" and await self._was_moved(now.update_said, service, progress):
            progress.paused = True
            return service
        if now.update in ("paused", "rollback_started", "rollback_paused", "rollback_completed"):
            raise CommandFailed(
                self._gate.host,
                self._gate.words,
                f"Swarm has {now.update.replace('_', ' ')} the update of {service.name}: {clean(now.update_said)}",
                exit_status=1,
            )
        return service

    async def _was_moved(self, said: str, service: Service, progress: _Progress) -> bool:
        """Whether the task that Swarm names has not failed of itself: it was told to stop, or its node had no place for it, and runs
        elsewhere now. Raises ``CommandFailed`` in the words of one that failed."""
        tasks = await self._tasks(service)  # none of before that question: what it names may have ended since
        await self._refuse_failed(service, tasks, progress)
        return any(id in said for id in progress.stopped)

    async def _changed(self, service: Service) -> CommandFailed:
        return CommandFailed(
            self._gate.host,
            self._gate.words,
            f"somebody else has changed the service {service.name} meanwhile",
            exit_status=None,
            left=await what_runs(self._gate),
            advice="see who: an autoscaler, or a docker service update by hand",
        )

    async def _still_there(self, tasks: Sequence[Task]) -> bool:
        """Whether a task of before still runs, or may. One on a node that is lost can't be waited for: the facts tell of it."""
        leaving = [one for one in tasks if not one.is_wanted and one.may_run and one.node]
        if not leaving:
            return False
        nodes = {one.id: one for one in await self._nodes.all(self._gate.words, deadline=max(ANSWER, self._gate.left))}
        return any(one.node in nodes and nodes[one.node].is_ready for one in leaving)

    @property
    def _patience(self) -> float:
        """Seconds in which one that runs has to become healthy, and stay so."""
        health = self._release.health
        return (health.healthy_deadline if health is not None else 2 * WATCHED) + self._way.hold

    async def _not_well(self, new: Sequence[Task], well: Sequence[Task]) -> Unhealthy:
        return Unhealthy(
            self._gate.host,
            self._gate.words,
            f"{len(well)} of {len(new)} tasks of {self._release.version} are well after {self._patience:g} s: "
            f"{self._detail or 'they are still watched'}",
            exit_status=None,
            left=await what_runs(self._gate),
        )

    async def _too_long(
        self, service: Service, tasks: Sequence[Task], new: Sequence[Task], wanted: int
    ) -> CommandFailed:
        running = [one for one in new if one.runs]
        left = await what_runs(self._gate)
        waiting = next((one for one in new if not one.runs), None)
        leaving = [one for one in tasks if not one.is_wanted and one.may_run]
        why = ""
        if waiting is not None:
            said = clean(waiting.said)
            why = f": a task is {waiting.state}{', ' if said else ''}{said}"
        elif leaving:
            why = f": {len(leaving)} of before have not ended"
        if self._failed is not None:
            why = f": one was {self._failed.state}, {clean(self._failed.said)}"
        lost = await self._nodes.lost_managers(self._gate.words, deadline=ANSWER)
        return CommandTimedOut(
            self._gate.host,
            self._gate.words,
            f"{len(running)} of {wanted} tasks of {self._release.version} run, and nothing came forward for {self._seconds:g} s{why}"
            f"{while_lost(lost)}",
            exit_status=None,
            left=left,
            advice=advice_where_lost(lost) or f"see why: docker service ps --no-trunc {service.name}",
        )


def _without_a_node(new: Sequence[Task]) -> Task | None:
    return next((one for one in new if not one.node and one.said), None)


def _share_a_slot(old: Sequence[Task], new: Sequence[Task]) -> bool:
    """Whether an old task still is to run where a new one is: Swarm is not done with that slot, and would use up the next part for it."""
    places = {one.slot or one.node for one in new}
    return any((one.slot or one.node) in places for one in old)


def _is_crowded(service: Service, new: Sequence[Task]) -> bool:
    """Whether two are to run in one slot: an old and a new task of it were on a node that was lost, and Swarm has made one for each."""
    return not service.is_global and len({one.slot for one in new}) < len(new)


def _is_under_way(service: Service, wanted: Spec) -> bool:
    """Whether ``service`` was given ``wanted`` before, every restart that is asked for included."""
    force = [int(one.get("ForceUpdate") or 0) for one in (service.template, wanted["TaskTemplate"])]
    return is_made_as(service.spec, wanted) and force[0] == force[1]
