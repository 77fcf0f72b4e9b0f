"""A drill: the way back is gone as a rollback goes it, and then forward again by the way that takes every rollout back.

Whatever goes wrong on the way, it ends with the release that ran before: a drill that is aborted, that fails, or whose worker dies is taken
back. What was measured is journalled with its end.
"""

import time
from typing import Any

from quarterdeck.backends.errors import Fenced
from quarterdeck.config.model import OnUnreachable
from quarterdeck.history.errors import JournalBusy, JournalFull
from quarterdeck.history.records import RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.worker.armed import Armed
from quarterdeck.rollouts.worker.asking_meanwhile import Counted, asked
from quarterdeck.rollouts.worker.standing import version_of
from quarterdeck.rollouts.worker.standing_still import Aborted
from quarterdeck.rollouts.worker.steps import StepFailed, Work
from quarterdeck.rollouts.worker.taking_back import TakingBack
from quarterdeck.rollouts.worker.waves import Waves

RESTORED = "drill.restored"
"""The event of its middle: the release before serves everywhere, and was read back."""
DRILLED = "drilled"
"""The event of a drill that went well, with all that was measured."""


class Drilling(TakingBack):
    _counted: Counted | None = None

    async def _practise(self, steps: list[Step], armed: Armed, work: Work, epoch: int) -> None:
        """Both ways, from the first change to the end."""
        began = time.monotonic()
        main = [step for step in steps if step.action != Action.FINISH]
        both = [armed.release, *([armed.releases[armed.leaving]] if armed.leaving in armed.releases else [])]
        self._counted = Counted()
        hosts = list(self.crew.hosts)
        probe = self.rollout.options.get("probe")
        routed = self.target.routed is not None
        async with asked(self._counted, self.crew, hosts, both, probe=probe, routed=routed):
            waves = Waves(self.id, epoch, work, self.journal, self.wishes)
            try:
                await waves.carry_out(
                    self._fresh(main),
                    stop_at_failure=True,
                    on_unreachable=OnUnreachable.STOP,
                    heed_wishes=True,
                    progress_deadline=self.target.progress_deadline,
                )
                if self.wishes.heard_abort():
                    raise Aborted
                why = await self._restored(armed, time.monotonic() - began)
            except Fenced as error:
                told = f"{error}: somebody drives this target from another journal"
                await self._end(epoch, RolloutState.FAILED, told, cause="fenced")
                return
            except Aborted as error:
                request = self.wishes.abort_request
                why = error.why or f"aborted by {request.by if request else 'an operator'}"
            except StepFailed as failure:
                why = f"the drill failed: {failure.why}"
            except (JournalFull, JournalBusy) as error:
                why = f"the drill failed: {error}"
            await self._take_back(armed, work, epoch, why, at_fault=False)

    async def _restored(self, armed: Armed, seconds: float) -> str:
        """Journals that the way back was gone to its end; in words."""
        await self._observe_steps(armed)
        body = {"seconds": round(seconds, 3), "release": armed.release.id, "hosts": self._seconds_of_hosts()}
        await self.journal.do(
            self.journal.journal.record, RESTORED, target=self.target.name, rollout=self.id, body=body
        )
        total = len(self.crew.hosts)
        hosts = f"{total} host{'s' if total != 1 else ''}"
        return f"{armed.release.version} was back on {hosts} after {seconds:.1f} s, read back and healthy"

    def _seconds_of_hosts(self) -> dict[str, float]:
        """How long each was changed for, from the step's beginning until it was healthy."""
        from datetime import datetime

        found = {}
        for step in self.journal.reader.steps(self.id):
            if step.action == Action.SWITCH and step.state is StepState.DONE and step.started and step.ended:
                took = datetime.fromisoformat(step.ended) - datetime.fromisoformat(step.started)
                found[step.host] = round(took.total_seconds(), 3)
        return found

    def _turned_back(self) -> RolloutState:
        """Nothing is aborted where the way back was gone to its end."""
        return RolloutState.ROLLING_BACK if self._gone_back() is not None else super()._turned_back()

    async def _end_back(self, armed: Armed, epoch: int, why: str, where: str) -> None:
        restored = self._gone_back()
        if restored is None:
            await super()._end_back(armed, epoch, why, where)
            return
        counted = self._counted or Counted()
        body: dict[str, Any] = {**restored, "checked": counted.checked, "failed": counted.failed, "how": counted.how}
        words = counted.words if self._counted is not None else "its worker died meanwhile, so nothing was counted"
        stays = version_of(armed, armed.leaving)

        def drilled() -> None:
            self.journal.journal.record(DRILLED, target=self.target.name, rollout=self.id, body=body)

        await self._end(epoch, RolloutState.SUCCEEDED, f"{why}; {words}; {stays} runs again: {where}", with_it=drilled)

    def _gone_back(self) -> dict[str, Any] | None:
        """What was measured of a drill's first half; None: it did not come to its end, or this is none."""
        if self.rollout.kind is not RolloutKind.DRILL:
            return None
        found = self.journal.reader.events(rollout=self.id, kind=RESTORED, newest_first=True, limit=1)
        return dict(found[0].body) if found else None
