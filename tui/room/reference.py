"""The tables of docs/control-room.md, made from the registry, the settings and the looks: ``python -m quarterdeck.tui.room.reference``.

``make docs`` writes them; a test fails when they are not what the program does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from quarterdeck.config.settings import describe
from quarterdeck.tui.room.actions import ACTIONS
from quarterdeck.tui.room.keymap import DEFAULT, key_text, known
from quarterdeck.tui.room.looks import LOOKS
from quarterdeck.tui.room.manual import GROUPS, MARKS, command_text, in_groups

DOCUMENT = Path("docs") / "control-room.md"


def tables() -> dict[str, str]:
    """By the name between ``<!-- name -->`` and ``<!-- /name -->``."""
    return {"keys": _keys(), "marks": _marks(), "settings": _settings(), "looks": _looks()}


def _keys() -> str:
    parts = []
    for group, actions in in_groups(ACTIONS).items():
        rows = [
            (
                " ".join(f"`{key_text(key)}`" for key in DEFAULT.keys(action)),
                f"`{command_text(action)}`" if action.command else "",
                f"`{action.id}`",
                action.help + (f" (in {action.pane})" if action.pane else ""),
            )
            for action in actions
        ]
        parts.append(f"**{GROUPS[group]}**\n\n" + _table(("key", "command", "id", "does"), rows))
    return "\n\n".join(parts)


def _marks() -> str:
    return _table(("mark", "word", "means"), [(f"`{mark}`", word, meaning) for mark, word, meaning in MARKS])


def _settings() -> str:
    rows = [(f"`{name}`", f"`{default}`" if default else "", sentence) for name, sentence, default in describe(known())]
    return _table(("key", "default", "meaning"), rows)


def _looks() -> str:
    return _table(("look", "is"), [(f"`{look.name}`", look.summary) for look in LOOKS.values()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def renewed(text: str) -> str:
    """``text`` with every table as it is now. Raises ValueError when the place of one is missing."""
    for name, table in tables().items():
        first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, begun, rest = text.partition(first)
        _, ended, after = rest.partition(last)
        if not begun or not ended:
            raise ValueError(f"{DOCUMENT} has no place for the table {name}: {first.strip()} … {last}")
        text = f"{before}{first}{table}\n{last}{after}"
    return text


def main() -> int:
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(renewed(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
