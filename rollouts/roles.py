"""What an operator may do, by unix user and group. Identity on a shared bastion is the kernel's word: the uid, never a name that
somebody typed."""

import grp
import os
import pwd
from collections.abc import Collection

from quarterdeck.config.model import Approve, Fleet, Operators
from quarterdeck.history.records import Operator


def may_change(operators: Operators, operator: Operator) -> bool:
    """Whether ``operator`` may change things: named by ``operators.deploy``, by user or @group; None: everybody."""
    return operators.deploy is None or is_named(operator, operators.deploy)


def may_look(operators: Operators, operator: Operator) -> bool:
    """Whether ``operator`` may see what runs and what happened: named by ``operators.view``, or may change it; None: everybody."""
    if operators.view is None:
        return True
    return is_named(operator, (*operators.view, *(operators.deploy or ())))


def may_approve(fleet: Fleet, operator: Operator) -> bool:
    """Whether ``operator`` is named as one who agrees to deploys, of some environment or at a step of some strategy."""
    wanted = [environment.approvals for environment in fleet.environments.values()]
    steps = (step for target in fleet.targets.values() for step in target.strategy.steps)
    wanted += [step.policy for step in steps if isinstance(step, Approve)]
    named = {name for each in wanted if each is not None for name in each.who or fleet.operators.approve or ()}
    return is_named(operator, named)


def is_named(operator: Operator, names: Collection[str]) -> bool:
    """Whether ``operator`` is one of these users, or in one of these @groups."""
    return not ({operator.name} | {f"@{group}" for group in groups_of(operator.uid)}).isdisjoint(names)


def groups_of(uid: int) -> frozenset[str]:
    """Names of the groups that ``uid`` is a member of, by its account and the group database; empty for an unknown
    uid."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    names = set()
    for gid in os.getgrouplist(account.pw_name, account.pw_gid):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(names)
