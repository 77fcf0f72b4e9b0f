"""docs/control-room.md says what the program does: its tables are made from it, its settings load."""

import re
from pathlib import Path

import quarterdeck
from quarterdeck.config.settings import read_settings
from quarterdeck.tui.room.actions import ACTIONS
from quarterdeck.tui.room.keymap import known
from quarterdeck.tui.room.reference import DOCUMENT, renewed, tables

TEXT = (Path(quarterdeck.__file__).resolve().parent.parent / DOCUMENT).read_text()


def test_the_tables_are_those_of_the_program() -> None:
    assert renewed(TEXT) == TEXT, "run `make docs`"


def test_every_action_is_in_them() -> None:
    keys = tables()["keys"]
    for action in ACTIONS:
        assert f"| `{action.id}` | {action.help}" in keys


def test_its_settings_are_right(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "settings.yml"
        path.write_text(block)
        assert [str(problem) for problem in read_settings(path, known())[1]] == []
