"""What a rollout carries with it from the fleet file: one that changes meanwhile changes nothing for a rollout that was asked for."""

from typing import Any

import msgspec

from quarterdeck.config.model import Analyse, Bake, Environment, Fleet, Target
from quarterdeck.config.release import to_json
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.approvals import with_approvers
from quarterdeck.rollouts.plans.flags import flags_option


def carried(fleet: Fleet, target: Target, operator: Operator) -> dict[str, Any]:
    """By the names under which a rollout's options hold it: the target, ways to hosts and registries, and the policy that it meets."""
    environment = fleet.environments[target.environment]
    return {
        "target": to_json(with_approvers(target, fleet.operators.approve)),
        "ssh_config": [str(path) for path in fleet.ssh_config],
        "known_hosts": [str(path) for path in fleet.known_hosts],
        "base": str(fleet.file.parent),
        "registries": msgspec.to_builtins(fleet.registries),
        "fleet": fleet.name,
        "after": f"{environment.after}/{target.service}" if environment.after else None,
        "soak": environment.soak,
        "freezes": msgspec.to_builtins(environment.freezes),
        "approvals": approvals_carried(fleet, environment),
        "max_parallel": environment.max_parallel,
        "require": msgspec.to_builtins(environment.require),
        "person": operator.person,
        **_analyses(fleet, target),
        **flags_option(fleet),
        **_notify(fleet, target),
    }


def approvals_carried(fleet: Fleet, environment: Environment) -> dict[str, Any] | None:
    """Who must agree before a deploy begins there; None: nobody."""
    wanted = environment.approvals
    if wanted is None:
        return None
    who = wanted.who if wanted.who is not None else fleet.operators.approve
    return dict(msgspec.to_builtins(msgspec.structs.replace(wanted, who=who)))


def _analyses(fleet: Fleet, target: Target) -> dict[str, Any]:
    """Those that the strategy's steps name."""
    strategy = target.strategy
    steps = [step for step in (*strategy.steps, strategy.bake) if isinstance(step, Analyse | Bake)]
    names = sorted({*strategy.safeguards, *(name for step in steps for name in step.analyses)})
    return {"analyses": {name: to_json(fleet.analyses[name]) for name in names}} if names else {}


def _notify(fleet: Fleet, target: Target) -> dict[str, Any]:
    """Who is told of it."""
    found = [one for one in fleet.notify if one.is_about(target.environment, target.service)]
    return {"notify": msgspec.to_builtins(found)} if found else {}


def origin_carried(fleet: Fleet, service: str) -> dict[str, Any]:
    """Of its service's source and builds; nothing of what the fleet file does not say."""
    found = {"source": fleet.sources.get(service), "builds": fleet.builds.get(service)}
    return {name: msgspec.to_builtins(value) for name, value in found.items() if value is not None}
