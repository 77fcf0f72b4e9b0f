"""Moves hosts to a release, group after group, and behind a router their share of the requests with them. Pure."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from quarterdeck.rollouts.plans.steps import BASTION, Action

if TYPE_CHECKING:
    from quarterdeck.rollouts.plans.steps import Builder
    from quarterdeck.rollouts.plans.traffic import Traffic


class Mover:
    """``total`` hosts in all, of which ``there`` have the release already. Without ``traffic`` hosts are all that is moved."""

    def __init__(
        self,
        build: "Builder",
        release: str,
        traffic: "Traffic | None",
        *,
        there: int,
        total: int,
        hold: bool = False,
    ) -> None:
        """``hold``: what ran on a host goes on running beside the release until ``retire``."""
        self.hold = hold and traffic is not None and traffic.stable
        self._held: list[str] = []
        self._build = build
        self._release = release
        self._traffic = traffic
        self._there = there + (traffic.others_inside if traffic is not None else 0)
        self._total = total + (traffic.others if traffic is not None else 0)
        self.share = traffic.share if traffic is not None and self._there else 0.0
        self._rules = traffic.rules if traffic is not None else False
        # Of a slot that had servers before: what it gets when the rollout is taken back.
        self._was: dict[str, Any] = {"was": round(self.share, 2)} if self.share else {}

    def begin(self) -> None:
        """What a rollout before has left of a share, or of rules, must not be the release's when its first server enters."""
        if self._traffic is None or not self._traffic.stable or self._there:
            return
        if self._traffic.share:
            self._build.next_wave()
            self._router(Action.SHARE, percent=0.0)
        self.route(())
        self._build.next_wave()

    def group(self, hosts: Sequence[str], up_to: float = 100.0, *, stopped: Collection[str] = (), **body: Any) -> None:
        """At the same time, in a wave of their own; then their share, in proportion, up to ``up_to`` percent of the requests. Whoever is
        the last to leave the other slot leaves it when it gets nothing any more."""
        every = self._there + len(hosts) >= self._total and not self.hold
        if every and self._there:
            self.give(100.0)
        self._build.next_wave()
        alone = every and not self._there
        held: dict[str, Any] = {"hold": True} if self.hold else {}
        self._held += hosts if self.hold else ()
        for host in hosts:
            again: dict[str, Any] = {"how": "start"} if host in stopped else {}
            self.switch(host, last=alone, **body, **held, **again)
        self._there += len(hosts)
        if self._traffic is not None:
            self.give(100.0 if every or not self._traffic.stable else min(up_to, self._proportion()))

    def switch(self, host: str, release: str = "", *, last: bool = False, **body: Any) -> None:
        """``last``: although nobody may be left in service meanwhile."""
        routed: dict[str, Any] = {"slot": self._traffic.slot} if self._traffic is not None else {}
        if last and routed:
            routed["last"] = True
        routed |= self._was if routed else {}
        self._build.add(host, Action.SWITCH, release=release or self._release, **body, **routed)

    def give(self, percent: float) -> None:
        """More of the requests than before; less is a rollback's."""
        percent = round(percent, 2)
        if self._traffic is None or percent <= self.share:
            return
        self.share = percent
        self._build.next_wave()
        self._router(Action.SHARE, percent=percent, **self._carried_by(percent))
        self._build.next_wave()

    def route(self, rules: Sequence[tuple[str, str]]) -> None:
        """Requests with such a header or cookie (``("header", "beta")``), and no others, go to the release whatever the share is."""
        if self._traffic is None or not (rules or self._rules):
            return
        self._rules = bool(rules)
        self._build.next_wave()
        self._router(Action.ROUTE, rules=[list(rule) for rule in rules])
        self._build.next_wave()

    def retire(self) -> None:
        """Ends what was held, everywhere at once: nothing comes to it any more."""
        self._build.next_wave()
        for host in self._held:
            assert self._traffic is not None
            self._build.add(host, Action.RETIRE, release=self._release, slot=self._traffic.slot)
        self._build.next_wave()

    def _carried_by(self, percent: float) -> dict[str, Any]:
        """By how many hosts: where some of them are lost, the others are to carry no more than is planned for them."""
        return {"servers": self._there} if percent < 100 and self._there else {}

    def _proportion(self) -> float:
        """Percent of the target's hosts that have the release."""
        return min(100.0, self._there * 100 / self._total)

    def end(self, *, there: int | None = None) -> None:
        """What holds from here on: every request, and no rule. Read back in any case. Where other hosts go on with another release, they
        keep their share, and rules stay. ``there``: how many of the rollout's hosts have the release then, where no groups were moved."""
        if self._traffic is None:
            return
        self._build.next_wave()
        if there is not None:
            self._there = there + self._traffic.others_inside
        some = self._traffic.others > self._traffic.others_inside
        back_to = self._traffic.back_to
        percent = back_to if back_to is not None else round(self._proportion(), 2) if some else 100.0
        self._router(Action.SHARE, percent=percent, **(self._carried_by(percent) if back_to is None else {}))
        self._build.next_wave()
        if self._rules and not some:
            self._router(Action.ROUTE, rules=[])
            self._build.next_wave()

    def take_over(self, *, if_served: bool = False) -> None:
        """All requests, now, unless other hosts keep theirs. ``if_served``: as far as somebody is in service there."""
        if self._traffic is None or self._traffic.others or self._traffic.back_to is not None:
            return
        self._router(Action.SHARE, percent=100.0, **({"if_served": True} if if_served else {}))
        self._build.next_wave()
        if if_served and self._rules:  # in a wave of its own: one of the two that fails keeps the other from nothing
            self._router(Action.ROUTE, rules=[])
            self._build.next_wave()

    def _router(self, action: Action, **body: Any) -> None:
        assert self._traffic is not None
        self._build.add(
            BASTION,
            action,
            router=self._traffic.router,
            slot=self._traffic.slot,
            release=self._release,
            **body,
            **self._was,
        )
