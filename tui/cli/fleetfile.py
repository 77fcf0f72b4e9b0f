"""``qd check`` and ``qd schema``: the fleet file's faults, all at once, and the JSON Schema for editors."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session


def declare_check(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "check",
        run=run_check,
        description=(
            "Reads the fleet file and reports every fault at once: file:line:column, the line itself, what was\n"
            "expected, the nearest known key. It connects to nothing; qd doctor does. Exit status 2 when there are faults."
        ),
        example="qd check\nqd check fleet.yml --json",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="else the fleet file that every command would use")


def declare_schema(commands: "argparse._SubParsersAction[Parser]") -> None:
    add_command(
        commands,
        "schema",
        run=run_schema,
        description="Prints the JSON Schema of the fleet file, for editors that complete and check YAML.",
        example="qd schema > fleet.schema.json\n# first line of fleet.yml: # yaml-language-server: $schema=fleet.schema.json",
    )


def run_check(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.config.load import load_fleet
    from quarterdeck.config.problems import FleetFileErrors, to_values

    path = Path(arguments.file) if arguments.file else session.fleet_path
    try:
        fleet = load_fleet(path)
    except FleetFileErrors as error:
        session.printer.document({"file": str(path), "ok": False, "problems": to_values(error.problems)})
        raise
    session.printer.document(
        {
            "file": str(path),
            "ok": True,
            "problems": [],
            "fleet": fleet.name,
            "hosts": len(fleet.hosts),
            "environments": list(fleet.environments),
            "targets": list(fleet.targets),
            "previews": [
                {"environment": preview.name, "file": str(preview.file), "fault": preview.fault or None}
                for preview in fleet.previews.values()
            ],
        }
    )
    counts = (("host", fleet.hosts), ("environment", fleet.environments), ("target", fleet.targets))
    there = ", ".join(f"{len(named)} {what}{'s' if len(named) != 1 else ''}" for what, named in counts)
    session.printer.line(f"= {path}: fleet {fleet.name}, {there}", "ok")
    for preview in fleet.previews.values():
        if preview.fault:  # nobody's fault who edits this file, and no reason not to use it
            session.printer.line(f"! the preview {preview.name} is left out: {preview.fault}", "warn")
    return Exit.DONE


def run_schema(session: "Session", _arguments: argparse.Namespace) -> int:
    import json

    from quarterdeck.config.schema import json_schema

    schema = json_schema()
    session.printer.document(schema)
    session.printer.block(json.dumps(schema, indent=2))
    return Exit.DONE
