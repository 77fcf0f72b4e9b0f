"""What plans are made of: actions, steps, waves. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from quarterdeck.config.model import Hook, HookWhere

BASTION = "(here)"  # stands where a host's name does in steps that run on this machine; no host can be called so


class Action(StrEnum):
    STAGE = "stage"  # upload, unpack, verify: the running release is not touched
    STOP = "stop"
    SWITCH = "switch"  # rename the link, restart, read back, wait for health
    RETIRE = "retire"  # what has run beside the release until here is stopped, and the release is what is current
    WITHDRAW = "withdraw"  # stop and remove the link: nothing ran here before
    HOOK = "hook"
    PAUSE = "pause"  # for a time, or until somebody promotes
    ANALYSIS = "analysis"  # the new release is measured where it runs
    FLAG = "flag"  # a feature flag is set, put back, or read back
    APPROVAL = "approval"  # until enough people have agreed to going on
    NOTIFY = "notify"  # people are told that it has come here; nothing waits for them
    BAKE = "bake"  # every host is watched for a time, before it counts as success
    SHARE = "share"  # what a slot of the router gets of all requests
    ROUTE = "route"  # which requests go to a slot of the router whatever its share is
    VERIFY = "verify"  # read back and check health once more, when all hosts are done
    FINISH = "finish"  # mark the release good, remove old ones; never fails a rollout


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
