"""The one registry of what can be done in the control room. Keys, `:` commands, palette, footer, help and documentation are
made from it; nothing can be done that is not in it."""

from enum import StrEnum
from typing import Final

import msgspec


class Subject(StrEnum):
    """What an action acts on."""

    NOTHING = "nothing"
    TARGET = "target"
    ROLLOUT = "rollout"  # the one under way on the chosen target, or the chosen one
    PANE = "pane"  # what has the keys


class Group(StrEnum):
    CHANGE = "change"  # capitals, and the cards they open
    LOOK = "look"
    MOVE = "move"
    LOGS = "logs"
    ROOM = "room"


class Action(msgspec.Struct, frozen=True):
    """``keys``: Textual's names, the first one is shown. ``command``: the word after ``:``; ``takes``: its arguments, for help
    and completion (target, part of the fleet, version, rollout, text, pane, view, look). ``changes``: refused to readers. ``footer``: the
    smaller, the earlier; 0: not there. ``pane``: only where the pane of that name has the keys."""

    id: str
    title: str  # in the footer: one or two words
    help: str  # one sentence
    group: Group
    subject: Subject = Subject.NOTHING
    keys: tuple[str, ...] = ()
    command: str = ""
    takes: tuple[str, ...] = ()
    changes: bool = False
    footer: int = 0
    pane: str = ""


_T, _R, _P = Subject.TARGET, Subject.ROLLOUT, Subject.PANE
_CHANGE, _LOOK, _MOVE, _LOGS, _ROOM = Group.CHANGE, Group.LOOK, Group.MOVE, Group.LOGS, Group.ROOM

ACTIONS: Final[tuple[Action, ...]] = (
    # what changes something: capitals open a card, or ask the rollout under way
    Action(
        "rollback",
        "rollback",
        "Open the rollback card: y takes the target back to the last good release.",
        _CHANGE,
        _T,
        ("R",),
        "rollback",
        ("target", "version"),
        changes=True,
        footer=1,
    ),
    Action(
        "deploy",
        "deploy",
        "Choose a version and open the deploy card.",
        _CHANGE,
        _T,
        ("D",),
        "deploy",
        ("target", "version"),
        changes=True,
        footer=2,
    ),
    Action(
        "drill",
        "drill",
        "Open the card of a drill: y practises the target's rollback for real, and comes back.",
        _CHANGE,
        _T,
        command="drill",
        takes=("target",),
        changes=True,
    ),
    Action(
        "pause",
        "pause",
        "Hold the rollout after the steps that are under way.",
        _CHANGE,
        _R,
        ("P",),
        "pause",
        ("rollout",),
        changes=True,
        footer=4,
    ),
    Action(
        "abort",
        "abort",
        "Stop the rollout and take it back. Never blocked by a pause or a gate.",
        _CHANGE,
        _R,
        ("A",),
        "abort",
        ("rollout",),
        changes=True,
        footer=5,
    ),
    Action(
        "promote",
        "promote",
        "Open the card to let a rollout that stands still go on: promote, resume, retry or skip.",
        _CHANGE,
        _R,
        ("p",),
        "promote",
        ("rollout",),
        changes=True,
        footer=3,
    ),
    Action(
        "resume",
        "resume",
        "Let a paused rollout, or one whose worker died, go on.",
        _CHANGE,
        _R,
        command="resume",
        takes=("rollout",),
        changes=True,
    ),
    Action(
        "retry",
        "retry",
        "Try again what a rollout could not do.",
        _CHANGE,
        _R,
        command="retry",
        takes=("rollout",),
        changes=True,
    ),
    Action(
        "skip",
        "skip",
        "Go on without the step that a rollout stands at.",
        _CHANGE,
        _R,
        command="skip",
        takes=("rollout",),
        changes=True,
    ),
    Action(
        "approve",
        "approve",
        "Open the approval card of a rollout that waits for somebody's word.",
        _CHANGE,
        _R,
        ("a",),
        "approve",
        ("rollout",),
        changes=True,
        footer=6,
    ),
    Action(
        "freeze",
        "freeze",
        "Show the freezes of an environment, else of the target's, or freeze it.",
        _CHANGE,
        _T,
        ("F",),
        "freeze",
        ("environment",),
        changes=True,
    ),
    Action(
        "note",
        "note",
        "Write a note into the timeline, about the target or the rollout.",
        _CHANGE,
        _T,
        ("n",),
        "note",
        ("text",),
        changes=True,
        footer=12,
    ),
    Action(
        "flag-off",
        "flag off",
        "Switch a feature flag off, now, for a reason that the history tells: nobody gets it any more.",
        _CHANGE,
        command="flag-off",
        takes=("flag", "text"),
        changes=True,
    ),
    Action(
        "exec",
        "exec",
        "Run a command on a host of the target, in its directory or container, and show what it prints.",
        _CHANGE,
        _T,
        ("x",),
        "exec",
        ("target", "text"),
        changes=True,
        footer=11,
    ),
    # what only looks
    Action(
        "diff",
        "diff",
        "What differs between what runs and the way back, or between two releases.",
        _LOOK,
        _T,
        ("d",),
        "diff",
        ("target", "version", "version"),
        footer=7,
    ),
    Action(
        "env-diff",
        "compare",
        "What two environments declare differently, and what runs there.",
        _LOOK,
        command="env-diff",
        takes=("env", "env"),
    ),
    Action(
        "env-diff-here",
        "compare",
        "What the chosen target's environment declares of its service that the one before it does not.",
        _LOOK,
        keys=("c",),
        pane="drift",
    ),
    Action(
        "logs", "logs", "The target's logs, merged over its hosts.", _LOOK, _T, ("l",), "logs", ("target",), footer=8
    ),
    Action(
        "health",
        "health",
        "Health of the target, new release beside old.",
        _LOOK,
        _T,
        ("h",),
        "health",
        ("target",),
        footer=9,
    ),
    Action(
        "events",
        "events",
        "History of the target: what was done, when and by whom.",
        _LOOK,
        _T,
        ("e",),
        "events",
        ("target",),
        footer=10,
    ),
    Action(
        "report",
        "report",
        "Write the post-mortem of the rollout into a file: what happened, when, and who did what.",
        _LOOK,
        _R,
        command="report",
        takes=("rollout", "text"),
    ),
    Action(
        "stats",
        "stats",
        "How often is deployed, how often it goes wrong, how long until it is well again.",
        _LOOK,
        command="stats",
        takes=("part",),
    ),
    Action("runbook", "runbook", "The service's runbook.", _LOOK, _T, command="runbook", takes=("target",)),
    Action("view-1", "overview", "The overview.", _LOOK, keys=("1",), command="overview"),
    Action("view-2", "rollouts", "Rollouts, and one of them whole.", _LOOK, keys=("2",), command="rollouts"),
    Action("view-3", "logs", "Logs over the whole screen.", _LOOK, keys=("3",), command="view-logs"),
    Action("view-4", "health", "Health of all targets.", _LOOK, keys=("4",), command="view-health"),
    Action("view-5", "history", "History and audit.", _LOOK, keys=("5",), command="history"),
    Action("view-6", "drift", "Hosts that run something else than was released.", _LOOK, keys=("6",), command="drift"),
    Action("view-7", "drills", "Readiness to roll back, and drills.", _LOOK, keys=("7",), command="readiness"),
    Action("view-8", "builds", "Builds and artifacts.", _LOOK, keys=("8",), command="builds"),
    # moving
    Action("down", "down", "One row down.", _MOVE, _P, ("j", "down")),
    Action("up", "up", "One row up.", _MOVE, _P, ("k", "up")),
    Action("right", "right", "One environment to the right.", _MOVE, _P, ("right",)),
    Action("left", "left", "One environment to the left.", _MOVE, _P, ("left",)),
    Action("first", "first", "The first row.", _MOVE, _P, ("g", "home")),
    Action("last", "last", "The last row.", _MOVE, _P, ("G", "end")),
    Action("page-down", "page down", "Half a page down.", _MOVE, _P, ("ctrl+d", "pagedown")),
    Action("page-up", "page up", "Half a page up.", _MOVE, _P, ("ctrl+u", "pageup")),
    Action("next-pane", "pane", "The next pane.", _MOVE, keys=("tab",), footer=14),
    Action("previous-pane", "pane back", "The pane before.", _MOVE, keys=("shift+tab",)),
    Action(
        "open",
        "open",
        "Open what is chosen: the target's rollout, a rollout, an entry of the history.",
        _MOVE,
        _P,
        ("enter",),
    ),
    Action("back", "back", "Back to where you came from; closes a zoomed pane first.", _MOVE, keys=("escape", "q")),
    Action(
        "worst",
        "worst",
        "Choose the target that the alert band is about: keys act on it from then on.",
        _MOVE,
        keys=("exclamation_mark",),
        command="worst",
    ),
    Action("older", "older", "Back to the place before.", _MOVE, keys=("left_square_bracket",), command="older"),
    Action("newer", "newer", "Forward again.", _MOVE, keys=("right_square_bracket",), command="newer"),
    Action(
        "details",
        "details",
        "Show every step and what only a debugger wants to know, or leave it out.",
        _MOVE,
        keys=("v",),
        command="details",
        pane="history",
    ),
    # logs
    Action(
        "follow",
        "follow",
        "Follow the end of the logs, or stand still.",
        _LOGS,
        keys=("f",),
        command="follow",
        pane="logs",
    ),
    Action("wrap", "wrap", "Break long lines, or cut them.", _LOGS, keys=("w",), command="wrap", pane="logs"),
    Action(
        "timestamps",
        "times",
        "Show the time of each line, or not.",
        _LOGS,
        keys=("t",),
        command="timestamps",
        pane="logs",
    ),
    Action(
        "since",
        "since",
        "Only lines of the last so many minutes.",
        _LOGS,
        keys=("s",),
        command="since",
        takes=("text",),
        pane="logs",
    ),
    Action("mark", "mark", "Set a mark into the logs at this moment.", _LOGS, keys=("m",), command="mark", pane="logs"),
    Action(
        "level",
        "level",
        "Only lines of this level and worse: all, info, warn, error.",
        _LOGS,
        keys=("v",),
        command="level",
        takes=("text",),
        pane="logs",
    ),
    Action(
        "fold",
        "fold",
        "Show what repeats once, with how often it came: across hosts, on one host, or not.",
        _LOGS,
        keys=("x",),
        command="fold",
        pane="logs",
    ),
    Action(
        "log-hosts",
        "hosts",
        "Follow these hosts of the target only; all: every one again.",
        _LOGS,
        command="log-hosts",
        takes=("text",),
        pane="logs",
    ),
    Action("copy-logs", "copy", "Copy the lines that are shown.", _LOGS, keys=("c",), command="copy-logs", pane="logs"),
    Action(
        "save-logs",
        "save",
        "Save the lines that pass the filter to a file.",
        _LOGS,
        keys=("ctrl+s",),
        command="save-logs",
        takes=("text",),
        pane="logs",
    ),
    # the room itself
    Action(
        "filter",
        "find",
        "Filter what is in focus: text or regex, ! inverse, -f fuzzy.",
        _ROOM,
        _P,
        ("slash",),
        "filter",
        ("text",),
        footer=17,
    ),
    Action("command", "cmd", "Type a command; Tab completes, arrows recall.", _ROOM, keys=("colon",), footer=16),
    Action("palette", "palette", "Find an action by its name.", _ROOM, keys=("ctrl+p",), command="palette"),
    Action(
        "help",
        "help",
        "What can be done here, and the keys for it.",
        _ROOM,
        keys=("question_mark",),
        command="help",
        footer=18,
    ),
    Action(
        "zoom",
        "zoom",
        "The pane in focus over the whole screen, and back.",
        _ROOM,
        keys=("z",),
        command="zoom",
        footer=15,
    ),
    Action(
        "copy", "copy", "Copy what is chosen: target, release, digest or line.", _ROOM, _P, ("y",), "copy", footer=13
    ),
    Action("sort", "sort", "Sort by risk, by name, or by what changed last.", _ROOM, _P, ("o",), "sort", ("text",)),
    Action(
        "look",
        "look",
        "Change the look: dark, light, ansi-dark, ansi-light, colour-blind, no-colour.",
        _ROOM,
        command="look",
        takes=("look",),
    ),
    Action("refresh", "refresh", "Ask the hosts on the screen now.", _ROOM, keys=("r",), command="refresh"),
    Action("redraw", "redraw", "Draw the whole screen anew.", _ROOM, keys=("ctrl+l",), command="redraw"),
    Action("guide", "guide", "Play the guided first incident of the playground again.", _ROOM, command="guide"),
    Action("suspend", "suspend", "Go back to the shell for a while; fg comes back.", _ROOM, keys=("ctrl+z",)),
    Action("interrupt", "nothing", "Does nothing but say how to leave.", _ROOM, keys=("ctrl+c",)),
    Action("quit", "quit", "Leave the control room. Rollouts go on.", _ROOM, keys=("Q", "ctrl+q"), command="quit"),
)
BY_ID: Final = {action.id: action for action in ACTIONS}
BY_COMMAND: Final = {action.command: action for action in ACTIONS if action.command}
