"""A host that is only a value in memory: what lies and runs there of each target, under the gate of the real ones (the fence, and each
operation's outcome under its id). No command is run and nothing is stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from quarterdeck.backends.errors import BackendError, CommandFailed, Fenced
from quarterdeck.backends.hosts.contract import Fence, KeptRelease, SwitchOutcome, TargetFacts
from quarterdeck.backends.hosts.manifest import check_release_id, manifest
from quarterdeck.config.release import Release

OUTCOMES: Final = 200  # operations whose outcome a host remembers
FREE_BYTES: Final = 50_000_000_000


@dataclass(slots=True)
class Answered:
    """What a hook said."""

    status: int
    output: str


Outcome = SwitchOutcome | Answered | tuple[str, ...] | None
Broken = Mapping[str, tuple[int, str]]
"""By release, with what status its start ends, and what it says."""


@dataclass(slots=True)
class Failed:
    """How an operation ended that did not go well."""

    words: str
    status: int
    output: str


@dataclass(slots=True)
class TargetState:
    """What one target is on a host. ``kept``: complete releases, the one that was staged last behind the others."""

    kept: dict[str, KeptRelease] = field(default_factory=dict)
    current: str | None = None
    running: str | None = None
    epoch: int = 0
    holder: str = ""
    anchor: str = ""
    good: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome | Failed] = field(default_factory=dict)


class SyntheticHost:
    """``broken``, ``ill`` (releases whose health check fails) are shared by all hosts of a world."""

    def __init__(self, name: str, broken: Broken, manifests: dict[str, KeptRelease]) -> None:
        self.name = name
        self.targets: dict[str, TargetState] = {}
        self._broken = broken
        self._manifests = manifests  # by release: hosts that have the same one share what it says

    def of(self, target: str) -> TargetState:
        return self.targets.setdefault(target, TargetState())

    def facts(self, target: str) -> TargetFacts:
        state = self.targets.get(target) or TargetState()
        return TargetFacts(
            current=state.current,
            running=state.current is not None and state.running == state.current,
            kept=tuple(state.kept.values()),
            epoch=state.epoch,
            holder=state.holder,
            anchor=state.anchor,
            good=tuple(state.good),
            free_bytes=FREE_BYTES,
            bad=tuple(state.bad),
        )

    def gate(self, fence: Fence, action: str) -> TargetState:
        """Raises ``Fenced`` for an older epoch; else the host remembers this one."""
        state = self.of(fence.target)
        if fence.epoch < state.epoch:
            raise Fenced(self.name, action, epoch=fence.epoch, seen=state.epoch, holder=state.holder)
        state.epoch, state.holder, state.anchor = fence.epoch, fence.holder, fence.anchor
        return state

    def stage(self, release: Release, fence: Fence) -> bool:
        """Whether it was there already."""
        action = f"stage {release.id}"
        check_release_id(self.name, action, release.id)
        state = self.gate(fence, action)
        if release.id in state.kept:
            return True
        kept = self._manifests.get(release.id)
        if kept is None:
            kept = self._manifests[release.id] = KeptRelease(release.id, True, manifest(release))
        state.kept[release.id] = kept
        return False

    def switch(self, release: Release, fence: Fence, op_id: str, action: str) -> SwitchOutcome:
        words = f"{'stop the service of' if action == 'stop' else 'switch to'} {release.id}"
        check_release_id(self.name, words, release.id)

        def change(state: TargetState) -> SwitchOutcome:
            before = state.current
            if action == "stop":
                state.running = None
                return SwitchOutcome(state.current, before, False, 0.0)
            state.current, state.running = release.id, None
            if action in ("restart", "start"):
                self._started(state, release.id, words)
            return SwitchOutcome(state.current, before, False, 0.0)

        return self._once(fence, op_id, words, change, needs=None if action == "stop" else release.id)

    def withdraw(self, release: Release, fence: Fence, op_id: str) -> SwitchOutcome:
        def change(state: TargetState) -> SwitchOutcome:
            before, state.current, state.running = state.current, None, None
            return SwitchOutcome(None, before, False, 0.0)

        return self._once(fence, op_id, f"withdraw {release.id}", change)

    def clear(self, fence: Fence, op_id: str) -> None:
        action = "remove what is there"
        state = self.gate(fence, action)
        if op_id in state.outcomes:
            return
        if state.current is not None or state.running is not None:
            raise self._untouched(action, f"{state.current or state.running} still is there")
        state.kept.clear()
        state.good.clear()
        state.bad.clear()
        self._remember(state, op_id, None)

    def finish(
        self,
        release: Release,
        keep: Sequence[str],
        fence: Fence,
        op_id: str,
        *,
        good: bool,
        bad: Sequence[str],
        prune_to: int,
    ) -> tuple[str, ...]:
        action = f"finish {release.id}"
        for name in (release.id, *keep, *bad):
            check_release_id(self.name, action, name)
        state = self.gate(fence, action)
        done = state.outcomes.get(op_id)
        if isinstance(done, tuple):
            return done
        left = {*bad, release.id} if good else {*bad}
        state.good = [one for one in state.good if one not in left]
        state.bad = [one for one in state.bad if one not in left] + list(bad)
        before = [one for one in state.good if one != state.current]
        if good:
            state.good.append(release.id)
        held = {state.current, release.id, *keep, *before[-1:]}
        others = [one for one in reversed(state.kept) if one not in held]
        removed = tuple(others[max(0, prune_to) :])
        for one in removed:
            del state.kept[one]
        self._remember(state, op_id, removed)
        return removed

    def hook(
        self, release: Release, fence: Fence, op_id: str, words: str, answer: Callable[[], tuple[int, str]]
    ) -> tuple[int, str, bool]:
        """Status, output, and whether that is what was answered before."""
        state = self.gate(fence, words)
        match state.outcomes.get(op_id):
            case Answered(status, output):
                return status, output, True
        if release.id not in state.kept:
            raise self._untouched(words, f"{release.id} is not on the host")
        status, output = answer()
        self._remember(state, op_id, Answered(status, output))
        return status, output, False

    def _once(
        self,
        fence: Fence,
        op_id: str,
        words: str,
        change: Callable[[TargetState], SwitchOutcome],
        *,
        needs: str | None = None,
    ) -> SwitchOutcome:
        """``change``, or what it answered when it was made under the same id. ``needs``: a release that must lie there."""
        state = self.gate(fence, words)
        match state.outcomes.get(op_id):
            case SwitchOutcome() as done:
                return SwitchOutcome(done.current, done.previous, True, 0.0)
            case Failed() as failed:
                problem = (
                    f"the recorded outcome of this operation: it ended with status {failed.status}: {failed.output}"
                )
                raise CommandFailed(self.name, words, problem, exit_status=failed.status, output=failed.output)
        if needs is not None and needs not in state.kept:
            raise self._untouched(words, f"{needs} is not on the host")
        try:
            outcome = change(state)
        except CommandFailed as error:
            self._remember(state, op_id, Failed(words, error.exit_status or 0, error.output))
            raise
        self._remember(state, op_id, outcome)
        return outcome

    def _started(self, state: TargetState, release: str, words: str) -> None:
        if (broken := self._broken.get(release)) is not None:
            status, output = broken
            problem = f"the service's start ended with status {status}: {output}"
            raise CommandFailed(self.name, words, problem, exit_status=status, output=output)
        state.running = release

    def _untouched(self, action: str, problem: str) -> BackendError:
        error = CommandFailed(self.name, action, problem, exit_status=None, left="Nothing was changed there")
        error.untouched = True
        return error

    def _remember(self, state: TargetState, op_id: str, outcome: Outcome | Failed) -> None:
        state.outcomes[op_id] = outcome
        while len(state.outcomes) > OUTCOMES:
            del state.outcomes[next(iter(state.outcomes))]
