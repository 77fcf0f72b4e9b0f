"""One operator's settings of the control room: how it looks, which keys it has, how often it draws. They change what is
seen, never what is done to a host. A file that is wrong is reported like a fleet file, and keeps nothing from opening."""

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.kinds import BOOLEAN, SOME_TIME
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, Source
from quarterdeck.config.problems import FleetFileErrors, Problem, Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Fields, Key, Keys, ListOf, MapOf, Scalar, Schema, Shape, wrong
from quarterdeck.config.source import read_bytes, read_node

LARGEST: Final = 1_000_000  # bytes: no settings file is larger
COLUMNS: Final = ("health", "age", "back", "hosts")
"""What a wide matrix can show of a service beside its versions."""


class Rates(msgspec.Struct, frozen=True):
    """``logs``: redraws a second. ``observe``: seconds between two looks at the hosts on the screen."""

    logs: int = 4
    observe: float = 10.0


class Settings(msgspec.Struct, frozen=True):
    """``look``: None is the default one. ``keymap``: by action, only those that are not the defaults."""

    look: str | None = None
    keymap: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    columns: tuple[str, ...] = COLUMNS
    rates: Rates = Rates()
    bell: bool = True
    title: bool = True
    mouse: bool = False
    timestamps: bool = True
    log_lines: int = 1_000_000
    confirm: str = "key"


DEFAULTS: Final = Settings()


class Bound(msgspec.Struct, frozen=True):
    """An action that can have keys. ``pane``: the pane in which alone it counts, empty for everywhere."""

    keys: tuple[str, ...]
    pane: str = ""


class Known(msgspec.Struct, frozen=True):
    """What settings may name: the looks and the actions of the control room, which this floor knows nothing of."""

    looks: tuple[str, ...]
    actions: Mapping[str, Bound]


def settings_path(environment: Mapping[str, str] | None = None) -> Path:
    """``$XDG_CONFIG_HOME/quarterdeck/settings.yml``, or the same below ``~/.config``."""
    variables = os.environ if environment is None else environment
    given = variables.get("XDG_CONFIG_HOME", "")
    home = variables.get("HOME") or os.path.expanduser("~")
    base = Path(given) if given.startswith("/") else Path(home) / ".config"
    return base / "quarterdeck" / "settings.yml"


def read_settings(path: Path, known: Known) -> tuple[Settings, tuple[Problem, ...]]:
    """What the file says, and everything that is wrong with it. A key that is wrong has its default; no file: all have."""
    if not path.exists() or _says_nothing(path):
        return DEFAULTS, ()
    problems = Problems()
    node = read_node(path, problems)
    if node is None:
        return DEFAULTS, _all(problems)
    read = settings_keys(known).read(node, problems)
    if not isinstance(read, Fields):
        return DEFAULTS, _all(problems)
    keymap = read.values.get("keymap")
    if keymap is not None:
        keymap = _without_conflicts(read.node, keymap, known, problems)
    rates = read.values.get("rates")
    found = Settings(**{name: value for name, value in read.values.items() if name not in ("keymap", "rates")})
    found = msgspec.structs.replace(found, rates=Rates(**rates.values) if isinstance(rates, Fields) else Rates())
    return msgspec.structs.replace(found, keymap=MappingProxyType(dict(keymap or {}))), _all(problems)


def _says_nothing(path: Path) -> bool:
    """Whether it is empty or holds only comments: then everything has its default, and that is no fault."""
    data = read_bytes(path, LARGEST)
    return isinstance(data, bytes) and all(
        not line.strip() or line.lstrip().startswith(b"#") for line in data.splitlines()
    )


def _all(problems: Problems) -> tuple[Problem, ...]:
    try:
        problems.raise_if_any()
    except FleetFileErrors as errors:
        return errors.problems
    return ()


# keys, as people write them

_NAMED: Final = (
    "escape", "enter", "tab", "shift+tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown",
    "up", "down", "left", "right", *(f"f{number}" for number in range(1, 13)),
)  # fmt: skip
_SHORT: Final = {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown"}
_SIGNS: Final = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_TAKEN: Final = {
    "ctrl+c": "it never does anything, so that a habit can't end the room",
    "ctrl+q": "it always leaves",
    "ctrl+z": "it always suspends",
    "ctrl+h": "terminals send the same for backspace",
    "ctrl+i": "terminals send the same for tab",
    "ctrl+j": "terminals send the same for enter",
    "ctrl+m": "terminals send the same for enter",
}


def key_name(text: str) -> str:
    """The one name of a key: ``/`` and ``slash`` are ``slash``, ``ctrl-p`` is ``ctrl+p``. Raises ``Unfit``."""
    if len(text) == 1:
        if text.isalnum():
            return text
        if not text.isprintable() or text == " ":
            raise Unfit("write space" if text == " " else "")
        name = unicodedata.name(text, "").lower().replace("-", "_").replace(" ", "_")
        return _SIGNS.get(name, name)
    folded = text.casefold()
    if folded.startswith("ctrl-"):
        folded = "ctrl+" + folded.removeprefix("ctrl-")
    folded = _SHORT.get(folded, folded)
    if folded in _TAKEN:
        raise Unfit(_TAKEN[folded])
    if folded in _NAMED or re.fullmatch(r"ctrl\+[a-z]", folded) or (_sign(folded)):
        return folded
    if folded.startswith(("alt+", "meta+")) or folded == "ctrl+enter":
        raise Unfit("too many terminals don't send it")
    raise Unfit()


def _sign(name: str) -> bool:
    """Whether it is the long name of a sign on the keyboard, such as ``question_mark``."""
    signs = (chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum())
    return any(key_name(sign) == name for sign in signs)


KEY = Scalar("a key such as x, X, /, f5, ctrl+x or enter", key_name, {"type": "string"})


class _KeyList(Shape, frozen=True):
    """A list of keys; ``[]`` takes all keys away."""

    expected: str = "a list of keys such as [x, ctrl+x]"

    def read(self, node: Node, problems: Problems) -> tuple[str, ...] | None:
        if not isinstance(node, SequenceNode):
            hint = Unfit(f"write [{node.text}]") if isinstance(node, ScalarNode) and not node.is_null else None
            wrong(node, self.expected, problems, hint)
            return None
        keys = [KEY.read(item, problems) for item in node.items]
        return None if None in keys else tuple(dict.fromkeys(keys))

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        return {"type": "array", "items": KEY.schema(definitions)}


def settings_keys(known: Known) -> Keys:
    """The description of the file: every key, what may stand there, one sentence about it."""
    action = Scalar("the id of an action (`:help` and docs/control-room.md list them)", _one_of(tuple(known.actions)))
    return Keys(
        "the settings",
        (
            Key("look", Choice(known.looks), f"How it looks: {', '.join(known.looks)}.", default="dark"),
            Key(
                "keymap",
                MapOf(_KeyList(), "a mapping of actions to lists of keys", action),
                "Other keys for actions, by the action's id; [] takes the keys away.",
            ),
            Key(
                "columns",
                ListOf(Choice(COLUMNS), "a list of columns such as [health, back]", distinct=True),
                "What a wide matrix shows of each service beside its versions, in this order.",
                default="[" + ", ".join(COLUMNS) + "]",
            ),
            Key(
                "rates",
                Keys(
                    "the rates",
                    (
                        Key(
                            "logs",
                            Scalar("redraws a second, from 1 to 20", scalars.whole_number(1, 20), {"type": "integer"}),
                            "How often a second new log lines are drawn; fewer are fewer bytes, keys stay as quick.",
                            default="4",
                        ),
                        Key("observe", SOME_TIME, "How often hosts on the screen are looked at.", default="10s"),
                    ),
                ),
                "How often things are drawn and looked at.",
            ),
            Key("bell", BOOLEAN, "Whether the terminal's bell rings when a rollout ends.", default="true"),
            Key("title", BOOLEAN, "Whether the terminal's title says what goes on.", default="true"),
            Key(
                "mouse",
                BOOLEAN,
                "Whether the mouse is taken; false leaves it to the terminal, for selecting text.",
                default="false",
            ),
            Key("timestamps", BOOLEAN, "Whether each log line shows its time at first (key t).", default="true"),
            Key(
                "log_lines",
                Scalar(
                    "a number of lines from 1000 to 10000000",
                    scalars.whole_number(1000, 10_000_000),
                    {"type": "integer", "minimum": 1000, "maximum": 10_000_000},
                ),
                "How many log lines are kept to scroll through and filter.",
                default="1000000",
            ),
            Key(
                "confirm",
                Choice(("key", "name")),
                "How a card is confirmed when nothing in it is red: by the key y, or always by typing the service's name.",
                default="key",
            ),
        ),
    )


def _one_of(words: tuple[str, ...]) -> Any:
    def read(text: str) -> str:
        if text in words:
            return text
        from quarterdeck.config.problems import nearest

        raise Unfit(nearest=nearest(text, words))

    return read


def _without_conflicts(
    node: MappingNode, keymap: Mapping[str, tuple[str, ...]], known: Known, problems: Problems
) -> dict[str, tuple[str, ...]]:
    """``keymap`` without the actions whose new keys another action has where both count; each is a problem."""
    kept = dict(keymap)
    for name, keys in keymap.items():
        for key in keys:
            other = _holder(key, name, kept, known)
            if other is None:
                continue
            at = node.value("keymap", name)
            again = " (give it another one as well)" if other not in keymap else ""
            problems.add(at, f"the key `{key}` of `{name}` is that of `{other}` already{again}")
            kept.pop(name, None)
    return kept


def _holder(key: str, name: str, keymap: Mapping[str, tuple[str, ...]], known: Known) -> str | None:
    """Another action that has ``key`` in a place where ``name`` counts too."""
    here = known.actions[name].pane
    for other, bound in known.actions.items():
        shared = not here or not bound.pane or here == bound.pane
        if other != name and shared and key in keymap.get(other, bound.keys):
            return other
    return None


def describe(known: Known) -> list[tuple[str, str, str]]:
    """Every key with its sentence and its default, for the reference: ``rates.logs``, sentence, ``4``."""
    found: list[tuple[str, str, str]] = []

    def walk(keys: Keys, before: str) -> None:
        for key in keys.keys:
            if isinstance(key.shape, Keys):
                walk(key.shape, f"{before}{key.name}.")
            else:
                found.append((before + key.name, key.description, key.default or ""))

    walk(settings_keys(known), "")
    return found


def default_of(name: str, known: Known) -> Any:
    """What the described default of a key means; for the test that it is the model's."""
    keys = settings_keys(known)
    *above, last = name.split(".")
    for part in above:
        shape = keys.by_name[part].shape
        assert isinstance(shape, Keys)
        keys = shape
    key = keys.by_name[last]
    text = key.default or ""
    place = (Source(Path("default"), Path("/")), 1, 1)
    node: Node = ScalarNode(*place, text, True)
    if text.startswith("["):
        items = tuple(ScalarNode(*place, word.strip(), True) for word in text.strip("[]").split(","))
        node = SequenceNode(*place, items)
    return key.shape.read(node, Problems())
