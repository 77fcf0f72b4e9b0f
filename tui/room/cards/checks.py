"""What stands in the way of a rollback or a deploy, as lines of a card: ok, worth knowing, or red. Pure.

A red line does not forbid anything: it turns the key that confirms into typing the service's name.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.config.drills import PRODUCTION_NAMES
from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.differences.releases import Difference
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.rollouts.way_back.facts import WayFacts
from quarterdeck.tui.cli.routing_words import plan_words
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis
from quarterdeck.tui.room.wrapping import wrapped

if TYPE_CHECKING:
    from quarterdeck.rollouts.commits import Between

PREEMPTED = (RolloutKind.DEPLOY, RolloutKind.DRILL)  # whose place a rollback takes, whenever they began


class Level(StrEnum):
    """In the order of importance; the value is the word that the line begins with."""

    RED = "NO"
    WARN = "note"
    UNKNOWN = "?"
    OK = "ok"


_ROLES = {Level.RED: Role.BAD, Level.WARN: Role.WARN, Level.UNKNOWN: Role.STALE, Level.OK: Role.OK}
_ORDER = list(Level)
MOST = 3  # rows of one line of a card


class Check(msgspec.Struct, frozen=True):
    level: Level
    text: str


def check_rows(checks: Sequence[Check], width: int) -> list[Row]:
    """The worst first, so that it is seen where a small terminal cuts the end off. What is well takes one row, what is not its own."""
    ordered = sorted(checks, key=lambda check: _ORDER.index(check.level))
    rows: list[Row] = []
    for check in ordered:
        role = _ROLES[check.level]
        head = (Span(f"{check.level:<5}", role),)
        if check.level is Level.OK:
            rows.append((*head, Span(ellipsis(check.text, max(width - 5, 0)))))
        else:
            rows += wrapped(check.text, width, role, head=head, most=MOST)
    return rows


def reds(checks: Collection[Check]) -> list[Check]:
    return [check for check in checks if check.level is Level.RED]


def is_production(environment: str, environments: Sequence[str]) -> bool:
    """By its name, or else the last one of the fleet file: releases end there."""
    named = [name for name in environments if name.lower().startswith(PRODUCTION_NAMES)]
    return environment in named if named else bool(environments) and environment == environments[-1]


def place_words(target: str, environments: Sequence[str]) -> str:
    """``api @ PRODUCTION``; the word stands there whatever the environment is called."""
    environment, _, service = target.partition("/")
    loud = environment.upper()
    if is_production(environment, environments) and "PRODUCTION" not in loud:
        loud += " (PRODUCTION)"
    return f"{service} @ {loud}"


def rollback_checks(
    plan: Mapping[str, Any], facts: WayFacts | None, me: str, *, looked: str | None = None, frozen: str = ""
) -> list[Check]:
    """``plan`` is the worker's; empty while it still looks. ``me``: who sits there, as the journal names people.
    ``looked``: when the hosts were asked (ISO 8601); ``frozen``: what freezes the environment, in words."""
    if not plan or facts is None:
        return [
            Check(Level.UNKNOWN, text)
            for text in (
                "copies on the hosts",
                "config and secrets",
                "hooks that can't be undone",
                "other rollouts on it",
                "hosts that can be reached",
            )
        ]
    version = str(plan.get("version") or "")
    moves = [step for step in plan.get("steps") or () if step.get("action") == Action.SWITCH]
    return [
        *([] if moves else [Check(Level.WARN, f"{version} runs there already: {_without_moves(plan)}")]),
        *_since(facts, RolloutKind.ROLLBACK),
        *_way_checks(plan, facts),
        *_router(plan, version),
        _copies(plan, version),
        *_warm(plan),
        _config(facts.difference),
        *_secrets(plan),
        *_undone(plan),
        _hooks(facts),
        *_other(
            facts,
            RolloutKind.ROLLBACK,
            me,
            "is stopped first",
            f"{frozen}: no matter to a rollback" if frozen else "freezes: none",
        ),
        *_hosts(plan, looked),
    ]


def drill_checks(plan: Mapping[str, Any], facts: WayFacts | None, me: str, *, looked: str | None = None) -> list[Check]:
    """Those of the rollback that is practised; what is no matter to that one would have refused the drill."""
    if not plan or facts is None:
        return rollback_checks(plan, facts, me, looked=looked)
    version = str(plan.get("version") or "")
    return [
        *_since(facts, RolloutKind.DRILL),
        *_way_checks(plan, facts),
        *_router(plan, version),
        _copies(plan, version),
        *_warm(plan),
        _config(facts.difference),
        *_secrets(plan),
        *_other(facts, RolloutKind.DRILL, me, "is in the way: a drill waits for nobody", "freezes: none"),
        *_hosts(plan, looked),
    ]


def deploy_checks(
    plan: Mapping[str, Any],
    facts: WayFacts | None,
    me: str,
    overridden: Sequence[str],
    *,
    looked: str | None = None,
    frozen: str = "",
    approvals: str = "",
) -> list[Check]:
    if not plan or facts is None:
        return [Check(Level.UNKNOWN, text) for text in ("artifact", "policy", "config and secrets", "hosts")]
    checks = _since(facts, RolloutKind.DEPLOY)
    checks.append(Check(Level.OK, f"artifact found, sha256 {str(plan.get('digest') or '')[:12]}"))
    if overridden:
        checks.append(Check(Level.RED, f"set aside for this rollout, with your reason: {', '.join(overridden)}"))
    else:
        checks.append(Check(Level.OK, "policy allows it"))
    if approvals:
        checks.append(Check(Level.WARN, approvals))
    if facts.queue is not None:
        room = facts.queue.has_room
        checks.append(
            Check(Level.OK if room else Level.WARN, facts.queue.ahead if room else f"waits: {facts.queue.ahead}")
        )
    checks += _required(plan)
    if facts.to is not None and facts.to.row.verdict == "bad":
        checks.append(
            Check(Level.RED, f"{facts.to.version} was bad: {facts.to.row.verdict_reason or 'no reason recorded'}")
        )
    hooks = [hook for hook in _planned_hooks(plan) if hook]
    if facts.to is not None and (
        lost := [
            h.run for h in (*facts.to.row.release.hooks.before, *facts.to.row.release.hooks.after) if not h.reversible
        ]
    ):
        checks.append(Check(Level.WARN, f"no way back without loss after: {', '.join(lost)}"))
    elif hooks:
        checks.append(Check(Level.OK, f"hooks: {', '.join(dict.fromkeys(hooks))}"))
    return [
        *checks,
        *_router(plan, str(plan.get("version") or "")),
        _config(facts.difference),
        *_secrets(plan),
        *_other(facts, RolloutKind.DEPLOY, me, "is taken the place of", frozen or "freezes: none"),
        *_hosts(plan, looked),
    ]


def _router(plan: Mapping[str, Any], version: str) -> list[Check]:
    router = plan.get("router")
    if not router:
        return []
    level = Level.WARN if router.get("error") or router.get("slot") is None else Level.OK
    return [Check(level, " ".join(plan_words(router, version).split()))]


def _required(plan: Mapping[str, Any]) -> list[Check]:
    """What the environment requires, and whether it holds. What does not and is not set aside was refused before there was a plan."""
    require = plan.get("require") or {}
    checks = []
    if build := require.get("build"):
        checks.append(Check(Level.OK if build.get("passed") else Level.RED, f"build (required): {build.get('words')}"))
    if back := require.get("rollback_ready"):
        level = {"open": Level.OK, "closed": Level.RED}.get(str(back.get("state")), Level.WARN)
        checks.append(Check(level, f"way back (required): {back.get('words')}"))
    if drill := require.get("max_drill_age"):
        checks.append(Check(Level.RED if drill.get("too_old") else Level.OK, f"drill (required): {drill.get('words')}"))
    return checks


def commits_words(found: "Between") -> str:
    """``commits: 2 come: 3f2a91c8 Say why (omar), and 1 more``; or why nothing is known of them."""
    commits = found.commits
    if commits is None:
        return found.fault
    from quarterdeck.rollouts.commits import counted

    first = next(iter((*commits.came, *commits.went)), None)
    total = commits.came_in_all + commits.went_in_all
    newest = f": {first.sha[:8]} {first.subject} ({first.author})" if first is not None else ""
    return f"commits: {counted(commits)}{newest}{' .. (d lists them)' if total > 1 else ''}"


def _planned_hooks(plan: Mapping[str, Any]) -> list[str]:
    return [str(step.get("run") or "") for step in plan.get("steps") or () if step.get("action") == Action.HOOK]


def _way_checks(plan: Mapping[str, Any], facts: WayFacts) -> list[Check]:
    to = facts.to
    if to is None:
        return [Check(Level.RED, f"the journal does not know {plan.get('to')}")]
    if to.row.verdict == "bad":
        return [Check(Level.RED, f"{to.version} was bad: {to.row.verdict_reason or 'no reason recorded'}")]
    if to.row.last_good is None:
        return [Check(Level.RED, f"{to.version} has never been good here")]
    if facts.last_good is not None and to.row.id != facts.last_good:
        return [Check(Level.RED, f"{to.version} is not the last good one: that is {version_of(facts.last_good)}")]
    return []


def _copies(plan: Mapping[str, Any], version: str) -> Check:
    asked = [host for host in plan.get("hosts") or () if not host.get("error")]
    without = [str(host["host"]) for host in asked if not host.get("has_release")]
    total = len(plan.get("hosts") or ())
    if asked and all(host.get("swarm") for host in asked):
        return _images(plan, version, without, [str(host["host"]) for host in asked])
    text = f"copy of {version} on {len(asked) - len(without)}/{total} hosts"
    if without:
        fault = plan.get("fetch_fault")
        how = f", and it can't be fetched now: {fault}" if fault else ": it is fetched first"
        return Check(Level.RED, f"{text}; not on {' '.join(without)}{how}")
    return Check(Level.OK, text)


def _images(plan: Mapping[str, Any], version: str, without: Sequence[str], swarms: Sequence[str]) -> Check:
    """Of Swarms, whose nodes have no copies of their own."""
    if not without:
        return Check(Level.OK, f"the image of {version} can be fetched by {' '.join(swarms)}")
    fault = plan.get("fetch_fault")
    how = f"can't be fetched now: {fault}" if fault else "is asked for first"
    return Check(Level.RED, f"{version} is not ready on {' '.join(without)}: its image {how}")


def _warm(plan: Mapping[str, Any]) -> list[Check]:
    """Of containers: whether the one of that release was kept, to be started as it is; else it is made anew from the image there."""
    hosts = [host for host in plan.get("hosts") or () if host.get("warm") is not None and host.get("has_release")]
    cold = [str(host["host"]) for host in hosts if not host["warm"]]
    if not hosts:
        return []
    if all(host.get("swarm") for host in hosts):
        kept = [str(host["host"]) for host in hosts if host["warm"]]
        return [Check(Level.OK, f"its service is kept on {' '.join(kept)}")] if kept else []
    text = f"warm on {len(hosts) - len(cold)}/{len(hosts)}"
    if len(cold) < len(hosts) and "changed" in (plan.get("secrets") or {}).values():
        return [Check(Level.WARN, f"{text}, no pull; made anew, as secrets have changed")]
    if cold:
        return [Check(Level.WARN, f"{text}, no pull; made anew from the image on {' '.join(cold)}")]
    return [Check(Level.OK, f"{text}: the kept containers are started again, no pull")]


def _config(difference: Difference | None) -> Check:
    if difference is None:
        return Check(Level.WARN, "config: nothing to compare with")
    parts = [f"{count} {name}" for name, count in difference.counts.items()]
    if not parts:
        return Check(Level.OK, "config same")
    return Check(Level.WARN, f"config changes with it: {', '.join(parts)} (d shows them)")


def _secrets(plan: Mapping[str, Any]) -> list[Check]:
    states: Mapping[str, str] = plan.get("secrets") or {}
    found = []
    for state, words in (
        ("changed", "have other values now: the new ones are used"),
        ("unavailable", "can't be read now: what lies on the hosts is kept"),
    ):
        names = [name for name, is_ in states.items() if is_ == state]
        if names:
            found.append(Check(Level.WARN, f"secrets {' '.join(names)} {words}"))
    if not found:
        found.append(Check(Level.OK, f"secrets same ({len(states)})" if states else "no secrets"))
    return found


def _without_moves(plan: Mapping[str, Any]) -> str:
    return "only hooks are undone" if _planned_hooks(plan) else "nothing would change"


def _undone(plan: Mapping[str, Any]) -> list[Check]:
    """The commands that undo what hooks have done, in the order in which they run."""
    hooks = [hook for hook in _planned_hooks(plan) if hook]
    return [Check(Level.OK, f"undone by: {', '.join(dict.fromkeys(hooks))}")] if hooks else []


def _hooks(facts: WayFacts) -> Check:
    if facts.irreversible:
        return Check(Level.RED, f"ran since, and can't be undone: {'; '.join(facts.irreversible)}")
    return Check(Level.OK, "no hook in between that can't be undone")


def outdated(facts: WayFacts | None, kind: RolloutKind) -> Rollout | None:
    """The rollout that came in between, where it makes what is armed a plan about something that is no more: the worker would
    refuse to begin it. A rollback takes the place of a deploy and of a drill, whenever that began."""
    since = facts.since if facts is not None else None
    preempted = kind is RolloutKind.ROLLBACK and since is not None and since.kind in PREEMPTED
    return None if preempted else since


def _since(facts: WayFacts, kind: RolloutKind) -> list[Check]:
    since = facts.since
    if since is None:
        return []
    if outdated(facts, kind) is not None:
        return [Check(Level.RED, f"this is old, look again: {_who_did(since)}")]
    return (
        []
        if since.id == (facts.other.id if facts.other is not None else None)
        else [Check(Level.WARN, _who_did(since))]
    )


def _who_did(since: Rollout) -> str:
    """``rollout 22 (rollback v2) by maya came in between: succeeded``."""
    return f"{_named(since)} came in between: {_state(since)}"


def _named(rollout: Rollout) -> str:
    return f"rollout {rollout.id} ({rollout.kind} {version_of(rollout.to_release) or ''}) by {rollout.requested_by}"


def _state(rollout: Rollout) -> str:
    return "its worker died" if rollout.state is RolloutState.ORPHANED else str(rollout.state).replace("_", " ")


def _other(facts: WayFacts, kind: RolloutKind, me: str, becomes: str, freezes: str) -> list[Check]:
    other = facts.other
    if other is None:
        return [Check(Level.OK, f"nobody else is at work on it; {freezes}")]
    if outdated(facts, kind) == other:
        return []  # it is said already, and nothing takes its place
    level = Level.WARN if other.requested_by == me else Level.RED
    return [Check(level, f"{_named(other)} is under way ({_state(other)}): it {becomes}")]


def _hosts(plan: Mapping[str, Any], looked: str | None) -> list[Check]:
    hosts = plan.get("hosts") or ()
    lost = [f"{host['host']}: {host['error']}" for host in hosts if host.get("error") and not host.get("late")]
    late = [str(host["host"]) for host in hosts if host.get("late")]
    ill = [
        f"{host['host']}: {', '.join(host['problems'])}"
        for host in hosts
        if host.get("problems") and not host.get("error")
    ]
    found = [Check(Level.RED, f"not reached, and owed until it is back: {text}") for text in lost]
    found += [Check(Level.RED, text) for text in ill]
    if late:
        found.append(Check(Level.WARN, f"no answer yet, moved if one comes in time, else owed: {' '.join(late)}"))
    if not lost and not late:
        count = len(hosts)
        ago = f", {age(looked)} ago" if looked else ""
        found.append(Check(Level.OK, f"{count} of {count} hosts answered{ago}"))
    return found
