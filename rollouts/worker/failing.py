"""How a step fails."""

from collections.abc import Sequence

from quarterdeck.history.records import Step, StepState


class StepFailed(Exception):
    """A step that did not reach its result. ``why`` names host and check; ``release_at_fault``: the release itself
    was refuted; ``untouched``: the host refused it before anything was changed there."""

    def __init__(
        self, step: Step, why: str, *, release_at_fault: bool, unreachable: bool = False, untouched: bool = False
    ) -> None:
        super().__init__(why)
        router, flag = step.body.get("router"), step.body.get("flag")
        self.place = str(router or (f"flag {flag}" if flag else step.host))  # the host, the router or the flag
        self.step = step
        self.why = why
        self.release_at_fault = release_at_fault
        self.unreachable = unreachable
        self.untouched = untouched


def lasting(failures: Sequence[StepFailed], steps: Sequence[Step]) -> list[StepFailed]:
    """Without those of a router that did later what it had not done at first."""
    done = [step for step in steps if step.state is StepState.DONE and "router" in step.body]
    return [
        failure
        for failure in failures
        if not any(
            "router" in failure.step.body and later.action == failure.step.action and later.seq > failure.step.seq
            for later in done
        )
    ]
