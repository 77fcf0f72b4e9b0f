"""What can be done, in words, made from the registry, the keymap and what has the keys: the help page. Pure."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from quarterdeck.rollouts.picture.target import Mark
from quarterdeck.tui.room.actions import ACTIONS, Action, Group
from quarterdeck.tui.room.keymap import Keymap, key_text
from quarterdeck.tui.room.permission import Standing, refusal
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, pad, row

GROUPS: Final[Mapping[Group, str]] = {
    Group.CHANGE: "What changes something (capitals, and the cards they open)",
    Group.LOOK: "Looking",
    Group.MOVE: "Moving",
    Group.LOGS: "Logs",
    Group.ROOM: "The room",
}
MARKS: Final[Sequence[tuple[Mark, str, str]]] = (
    (Mark.OK, "ok", "runs what was released last, healthy on every host"),
    (Mark.ROLLING, "rolling", "a rollout is under way, or stands still"),
    (Mark.FAILED, "failed", "unhealthy, or a rollout could not be taken back wholly"),
    (Mark.DRIFT, "drift", "a host runs something else than was released"),
    (Mark.STALE, "stale", "a host can't be reached, or its health is not known"),
    (Mark.FROZEN, "frozen", "nothing may be released there now"),
    (Mark.NOTHING, "nothing", "nothing was ever released there"),
)


ON_A_SWARM: Final[Sequence[tuple[str, str]]] = (
    (
        "task",
        "Its mark, slot, node, version and state, and why it waits or is odd. 5/6 run: of those that should, of what was released.",
    ),
    (
        "node",
        "Its mark, state, availability, role, how many tasks of the fleet's targets run there, and how many of this one.",
    ),
    (
        "~ x ?",
        "A task that waits, is of another release or on a drained node; one that has failed; one whose node is not ready.",
    ),
)
"""What the health view has of a target on a Swarm; its rows scroll where they have the keys (Tab)."""


def in_groups(actions: Iterable[Action]) -> dict[Group, list[Action]]:
    """In the order of the groups, those without a single action left out."""
    found: dict[Group, list[Action]] = {group: [] for group in GROUPS}
    for action in actions:
        found[action.group].append(action)
    return {group: members for group, members in found.items() if members}


def keys_text(action: Action, keymap: Keymap) -> str:
    """``j down``: all keys of an action as people write them."""
    return " ".join(key_text(key) for key in keymap.keys(action))


def command_text(action: Action) -> str:
    """``:deploy [TARGET] [VERSION]``; empty where there is none."""
    return " ".join((f":{action.command}", *(f"[{kind.upper()}]" for kind in action.takes))) if action.command else ""


def help_rows(pane: str, keymap: Keymap, standing: Standing, size: tuple[int, int], width: int) -> list[Row]:
    """The whole page for the pane that has the keys; what belongs to another pane alone is left out."""
    here = [action for action in ACTIONS if action.pane in ("", pane)]
    why = next((text for action in here if (text := refusal(action, standing, size))), "")
    rows: list[Row] = []
    for group, actions in in_groups(here).items():
        with_keys = [action for action in actions if keymap.keys(action)]
        rows += _heading(GROUPS[group])
        if group is Group.CHANGE and why:
            rows.append(row(" ", Span(why.partition(": ")[2] + " Refused here:", Role.WARN)))
        for action in with_keys:
            rows += _entry(keys_text(action, keymap), action.help, width)
    rows += _heading("Commands (type : first; Tab completes)")
    for action in here:
        if action.command:
            rows += _entry(command_text(action), action.help, width, column=36 if width >= 100 else 26)
    rows += _heading("Marks")
    for mark, word, meaning in MARKS:
        rows += _entry(f"{mark} {word}", meaning, width)
    if pane in ("health", "vitals"):
        rows += _heading("On a Swarm, below the hosts (Tab goes there, j and k scroll)")
        for word, meaning in ON_A_SWARM:
            rows += _entry(word, meaning, width)
    rows += _heading("Leaving")
    rows += _entry(keymap.key_of("back"), "Goes back: closes what is open, then the place before.", width)
    rows += _entry(keymap.key_of("quit"), "Leaves the control room. Rollouts go on without it.", width)
    return rows[1:]


def _heading(text: str) -> list[Row]:
    return [EMPTY, row(Span(f" {text}", Role.STRONG))]


def _entry(left: str, text: str, width: int, *, column: int = 14) -> list[Row]:
    """Left what is pressed or typed, right the sentence, broken below itself; a long left part has a line of its own."""
    lines = textwrap.wrap(text, max(width - column - 4, 20), break_on_hyphens=False) or [""]
    if len(left) > column:
        return [row("  ", Span(left, Role.KEY)), *(row(" " * (column + 3), line) for line in lines)]
    first = row("  ", Span(pad(left, column), Role.KEY), " ", lines[0])
    return [first, *(row(" " * (column + 3), line) for line in lines[1:])]
