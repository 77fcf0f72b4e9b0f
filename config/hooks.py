"""The keys of hooks: commands that are run around the switch, and between the steps of a canary."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config.kinds import BOOLEAN, COMMAND, SOME_TIME
from quarterdeck.config.model import Hook, Hooks, HookWhere
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Key, Keys, ListOf


def _can_go_back(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if values.get("reversible", True) or "on_rollback" not in node.entries:
        return True
    problems.add(node.key("on_rollback"), "`on_rollback` contradicts `reversible: false`: only one of them can be true")
    return False


HOOK = Keys(
    "a hook",
    (
        Key("run", COMMAND, "The command.", required=True),
        Key(
            "where",
            Choice(tuple(HookWhere), HookWhere),
            "On the first host of the rollout, on each host (for a container: within it), or here, where the worker runs.",
            default="one",
        ),
        Key("timeout", SOME_TIME, "How long it may take.", default="5m"),
        Key("reversible", BOOLEAN, "Whether a rollback is safe after it; false closes the way back.", default="true"),
        Key("on_rollback", COMMAND, "The command that undoes it, run when the release is rolled back."),
    ),
    make=Hook,
    check=_can_go_back,
)
_HOOK_LIST = ListOf(HOOK, "a list of hooks such as [{run: bin/migrate}]")
HOOKS = Keys(
    "the hooks",
    (
        Key("before", _HOOK_LIST, "Once the release is on the hosts, before the first switch."),
        Key("after", _HOOK_LIST, "After the last host is healthy."),
    ),
    make=Hooks,
)
