"""``qd env diff``: what two environments declare differently, service by service, and what runs there. Asks no host."""

import argparse
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

STYLES = {"+": "ok", "-": "bad", "=": "bold", "~": "dim"}


def declare_diff(actions: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        actions,
        "diff",
        run=run_env_diff,
        within="env",
        description=(
            "Compares two environments as the fleet file declares them, and what runs there. First what must hold\n"
            "before a deploy; then of each service variables, files, container, health gate, strategy, hooks, router\n"
            "and the number of hosts. Secrets are compared by where they are found, never by value. Beside it: which\n"
            "release runs in each, its commit, since when and by whom, as the journal knows it. No host is asked.\n\n"
            "What is another only for the environment's name in it (/srv/staging/api, /srv/production/api) is named in\n"
            "one line. What differs between two releases: qd diff. In the control room: :env-diff, or c in view 6."
        ),
        example=(
            "qd env diff staging production\n"
            "qd env diff staging production api\n"
            "qd env diff staging production --json | jq '.services[].service'"
        ),
    )
    for name, metavar in (("before", "A"), ("after", "B")):
        completion.completes(parser.add_argument(name, metavar=metavar), completion.environments)
    parser.add_argument("service", metavar="SERVICE", nargs="?", help="else all of them")


def run_env_diff(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.history.errors import JournalMissing
    from quarterdeck.rollouts.differences.environments import compare_environments, lines, to_value

    if arguments.before == arguments.after:
        raise UsageError(f"{arguments.before} does not differ from itself; name two environments")
    try:
        journal = session.journal
    except JournalMissing:
        journal = None  # with --read-only, before the first rollout
    found = compare_environments(session.fleet, journal, arguments.before, arguments.after, arguments.service)
    session.printer.document({"fleet": session.fleet.name, **to_value(found)})
    for text, mark in lines(found):
        session.printer.line(text, STYLES.get(mark, ""))
    return Exit.DONE
