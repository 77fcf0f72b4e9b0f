"""``qd settings``: the control room's settings file, checked, with every key and what it is now; or an example to begin with."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.config.settings import Settings
    from quarterdeck.tui.cli.session import Session


def declare_settings(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "settings",
        run=run_settings,
        description=(
            "Reads the settings of the control room ($XDG_CONFIG_HOME/quarterdeck/settings.yml, else\n"
            "~/.config/quarterdeck/settings.yml): prints what holds, and every fault at once with its line and\n"
            "column. The control room opens with the defaults of keys that are wrong. Exit status 2 when there are faults."
        ),
        example="qd settings\nqd settings --example > ~/.config/quarterdeck/settings.yml",
    )
    parser.add_argument("--example", action="store_true", help="print a settings file with every key and its default")


def run_settings(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.config.problems import SettingsFaults, to_values
    from quarterdeck.config.settings import read_settings, settings_path
    from quarterdeck.tui.room.keymap import known

    path = settings_path()
    if arguments.example:
        text = _example()
        session.printer.document({"example": text})
        session.printer.block(text)
        return Exit.DONE
    settings, problems = read_settings(path, known())
    session.printer.document(
        {"file": str(path), "ok": not problems, "problems": to_values(problems), "settings": _values(settings)}
    )
    if problems:
        raise SettingsFaults(problems)
    session.printer.line(f"= {path}" if path.exists() else f". {path} does not exist: everything has its default", "ok")
    for name, value in _lines(_values(settings)):
        session.printer.line(f"  {name}: {value}")
    return Exit.DONE


def _example() -> str:
    from importlib.resources import files

    return (files("quarterdeck.config") / "examples" / "settings.yml").read_text(encoding="utf-8").rstrip("\n")


def _values(settings: "Settings") -> dict[str, Any]:
    return {
        "look": settings.look or "dark",
        "keymap": {action: list(keys) for action, keys in settings.keymap.items()},
        "columns": list(settings.columns),
        "rates": {"logs": settings.rates.logs, "observe": settings.rates.observe},
        "bell": settings.bell,
        "title": settings.title,
        "mouse": settings.mouse,
        "timestamps": settings.timestamps,
        "log_lines": settings.log_lines,
        "confirm": settings.confirm,
    }


def _lines(values: dict[str, Any]) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []
    for name, value in values.items():
        match value:
            case dict() if value:
                shown += [(f"{name}.{key}", text) for key, text in _lines(value)]
            case dict():
                pass
            case bool():
                shown.append((name, str(value).lower()))
            case list():
                shown.append((name, f"[{', '.join(value)}]"))
            case _:
                shown.append((name, f"{value:g}" if isinstance(value, float) else str(value)))
    return shown
