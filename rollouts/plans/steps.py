"""What plans are made of: actions, steps, waves. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.config.model import Hook, HookWhere
from quarterdeck.rollouts.plans.actions import Action

__all__ = ["BASTION", "Action", "Builder", "PlannedStep", "hook_hosts"]

BASTION = "(here)"  # stands where a host's name does in steps that run on this machine; no host can be called so


class PlannedStep(msgspec.Struct, frozen=True):
    """``body`` is JSON: the release's id, the hook, the seconds."""

    wave: int
    host: str
    action: Action
    body: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Builder:
    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.wave = 0

    def add(self, host: str, action: Action, **body: Any) -> None:
        self.steps.append(PlannedStep(self.wave, host, action, body))

    def next_wave(self) -> None:
        if self.steps and self.steps[-1].wave == self.wave:
            self.wave += 1

    def hooks(self, hooks: Iterable[Hook], phase: str, hosts: Sequence[str], release: str) -> None:
        for index, hook in enumerate(hooks):
            self.hook(hook, phase, index, hosts, release)
        self.next_wave()

    def hook(self, hook: Hook, phase: str, index: int, hosts: Sequence[str], release: str) -> None:
        """As a wave of its own; the next one is still to be begun."""
        self.next_wave()
        for host in hook_hosts(hook, hosts):
            self.add(host, Action.HOOK, phase=phase, index=index, run=hook.run, release=release)

    def then(self, steps: Sequence[PlannedStep]) -> None:
        """Further ones, whose waves count from 0."""
        self.next_wave()
        first = self.wave
        for step in steps:
            self.wave = first + step.wave
            self.add(step.host, step.action, **step.body)
        self.next_wave()


def hook_hosts(hook: Hook, hosts: Sequence[str]) -> Sequence[str]:
    """Those of ``hosts`` that a hook runs on."""
    return {HookWhere.ONE: hosts[:1], HookWhere.EACH: hosts, HookWhere.HERE: [BASTION]}[hook.where]
