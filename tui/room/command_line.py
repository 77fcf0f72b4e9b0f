"""What may be typed behind ``:``, made from the registry: which words a command takes, what Tab offers, what is wrong. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from quarterdeck.config.problems import nearest
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.tui.room.actions import BY_COMMAND, Action
from quarterdeck.tui.room.looks import LOOKS
from quarterdeck.tui.room.views import VIEWS

NEVER_KEPT = frozenset({"text"})  # free words (notes, reasons) may hold what no file should


class Mistyped(Exception):
    """What was typed is no command; the sentence says what is meant or known."""


class Names(msgspec.Struct, frozen=True):
    """What can be named. ``versions``: by target."""

    targets: tuple[str, ...] = ()
    rollouts: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    panes: tuple[str, ...] = ()

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.partition("/")[0] for target in self.targets))

    @property
    def parts(self) -> tuple[str, ...]:
        """What figures can be of: environments, services, targets."""
        pairs = [target.partition("/") for target in self.targets]
        return tuple(dict.fromkeys([*(one[0] for one in pairs), *(one[2] for one in pairs), *self.targets]))


def names_of(picture: Picture, panes: Sequence[str]) -> Names:
    """From the picture alone: what runs, the way back, what rollouts moved."""
    versions: dict[str, tuple[str, ...]] = {}
    for name, seen in picture.targets.items():
        moved = [v for r in picture.rollouts if r.rollout.target == name for v in (r.to_version, r.from_version)]
        found = [seen.version, seen.back.version, *(kind.version for kind, _ in counted(seen.hosts)), *moved]
        versions[name] = tuple(dict.fromkeys(version for version in found if version))
    rollouts = tuple(str(seen.id) for seen in picture.rollouts)
    return Names(tuple(picture.targets), rollouts, versions, tuple(panes))


class Command(msgspec.Struct, frozen=True):
    """A line that can be carried out."""

    action: Action
    words: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether it may be written into the file of commands."""
        return not self.words or not NEVER_KEPT & set(self.action.takes)


def parse(line: str, names: Names) -> Command | None:
    """The command and its words, checked; None for an empty line. Raises ``Mistyped``."""
    words = line.split()
    if not words:
        return None
    action = _action(words[0])
    takes = action.takes
    given = words[1:]
    if takes and takes[-1] == "text" and len(given) > len(takes):
        given = line.split(maxsplit=len(takes))[1:]  # free words: to the end of the line, as they are
        given[-1] = given[-1].rstrip()
    if len(given) > len(takes):
        most = f"takes {_usage(action)}" if takes else "takes nothing"
        raise Mistyped(f":{action.command} {most}; {given[len(takes)]!r} is too much")
    for kind, word in zip(takes, given, strict=False):
        _check(kind, word, names)
    return Command(action, tuple(given))


def _action(word: str) -> Action:
    """Of the whole word, or of the only command that begins so and changes nothing."""
    if word in BY_COMMAND:
        return BY_COMMAND[word]
    begun = [action for command, action in BY_COMMAND.items() if command.startswith(word)]
    if len(begun) == 1 and not begun[0].changes:
        return begun[0]
    if begun:
        raise Mistyped(f"there is no command :{word}; did you mean {_listed([f':{a.command}' for a in begun])}?")
    near = nearest(word, BY_COMMAND)
    raise Mistyped(f"there is no command :{word}" + (f"; did you mean :{near}?" if near else "; Tab shows them"))


def _environments(names: Names) -> tuple[str, ...]:
    """And targets: one stands for the environment that it is in."""
    return (*dict.fromkeys(target.partition("/")[0] for target in names.targets), *names.targets)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _check(kind: str, word: str, names: Names) -> None:
    known: Sequence[str]
    match kind:
        case "target":
            known = names.targets
        case "environment":
            known = _environments(names)
        case "part":
            known = names.parts
        case "env":
            known = names.environments
        case "look":
            known = tuple(LOOKS)
        case "view":
            known = tuple(VIEWS)
        case "pane":
            known = names.panes
        case "rollout":
            if word.isascii() and word.isdigit():
                return
            known = names.targets
        case _:
            return  # a version may be one that was never released, a text anything
    if word not in known:
        near = nearest(word, known)
        raise Mistyped(f"there is no {kind} {word!r}" + (f"; did you mean {near}?" if near else "; Tab shows them"))


def completions(line: str, names: Names) -> list[str]:
    """The words that the last word of ``line`` may become."""
    words = line.split()
    last = "" if not words or line.endswith(" ") else words.pop()
    if not words:
        return sorted(command for command in BY_COMMAND if command.startswith(last))
    action = BY_COMMAND.get(words[0])
    if action is None or len(words) > len(action.takes):
        return []
    found: Sequence[str]
    match action.takes[len(words) - 1]:
        case "target":
            found = names.targets
        case "environment":
            found = _environments(names)
        case "part":
            found = names.parts
        case "env":
            found = names.environments
        case "rollout":
            found = names.rollouts
        case "version":
            found = names.versions.get(words[1], ()) if len(words) > 1 else ()
        case "look":
            found = tuple(LOOKS)
        case "view":
            found = tuple(VIEWS)
        case "pane":
            found = names.panes
        case _:
            found = ()
    fitting = [word for word in found if word.startswith(last)]
    # `api` is enough to find production/api
    return fitting or [word for word in found if last and last in word]


def hint(line: str) -> str:
    """What is said behind a command while it is typed: what it takes, what it does."""
    words = line.split()
    action = BY_COMMAND.get(words[0]) if words else None
    if action is None:
        return "" if words else "a command; Tab completes, up recalls, esc leaves"
    return f"{_usage(action)} - {action.help}" if action.takes else f"- {action.help}"


def _usage(action: Action) -> str:
    return " ".join(f"[{kind.upper()}]" for kind in action.takes)
