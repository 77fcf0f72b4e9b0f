"""``qd builds``: what CI systems built, what became of it, and where that runs."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.reading import add_limit
from quarterdeck.tui.cli.times import age, duration

if TYPE_CHECKING:
    from quarterdeck.backends.errors import BackendError
    from quarterdeck.config.model import Target
    from quarterdeck.history.records import ReleaseRow
    from quarterdeck.rollouts.built import Placed
    from quarterdeck.tui.cli.session import Session

MARKS = {"passed": "=", "failed": "x", "running": ">", "queued": ".", "cancelled": "-", "unknown": "?"}
STYLES = {"passed": "ok", "failed": "bad", "running": "bold"}
_BRANCH = 18  # columns of a branch's name, at most


def declare_builds(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "builds",
        run=run_builds,
        description=(
            "The last builds of a service, newest first, as its CI system tells them (GitHub Actions,\n"
            "GitLab CI, CircleCI, Jenkins: `builds` in the fleet file), with the version that each makes and\n"
            "the environments in which that runs now. Deploy one: qd deploy TARGET --build NUMBER."
        ),
        example="qd builds api\nqd builds production/api --limit 30\nqd builds --json",
    )
    completion.completes(
        parser.add_argument(
            "service", metavar="SERVICE or TARGET", nargs="?", help="else all services with builds in the fleet file"
        ),
        completion.built,
    )
    add_limit(parser, 15)


def run_builds(session: "Session", arguments: argparse.Namespace) -> int:
    """One system that can't be asked does not hide the others; the exit status tells of it."""
    services = _services(session, arguments.service)
    known = {service: _known(session, service) for service in services}  # first: it refuses who may not look
    found = asyncio.run(_ask(session, services, arguments.limit))
    from quarterdeck.rollouts.built import place

    values: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    styles: list[str] = []
    several = len(services) > 1
    for service, answer in found.items():
        if not isinstance(answer, tuple):
            values.append({"service": service, "builds": [], "error": str(answer)})
            continue
        placed = place(answer, known[service])
        values.append({"service": service, "builds": [build_value(one) for one in placed], "error": None})
        for one in placed:
            rows.append(([service] if several else []) + _row(one))
            styles.append(STYLES.get(one.build.status, ""))
    session.printer.document({"fleet": session.fleet.name, "services": values})
    if rows:
        head = ["BUILD", "STATUS", "VERSION", "COMMIT", "BRANCH", "AGE", "TOOK", "BY", "RUNS IN"]
        session.printer.table((["SERVICE"] if several else []) + head, rows, styles)
    faults = [answer for answer in found.values() if not isinstance(answer, tuple)]
    if not rows and not faults:
        session.printer.line("nothing was built yet, as far as the CI system tells")
    if len(services) == 1 and faults:
        raise faults[0]
    for fault in faults:
        session.printer.say(f"qd: {fault}", "bad")
    return Exit.FAULT if faults else Exit.DONE


def _services(session: "Session", word: str | None) -> list[str]:
    fleet = session.fleet
    if word is None:
        if not fleet.builds:
            raise UsageError("no service of the fleet file has `builds`; docs/builds.md says how to add them")
        return list(fleet.builds)
    service = session.target(word).service if "/" in word else word
    if service not in fleet.services:
        import difflib

        nearest = difflib.get_close_matches(service, fleet.services, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there is {', '.join(fleet.services)}"
        raise UsageError(f"there is no service {service!r} in the fleet file; {hint}")
    if service not in fleet.builds:
        known = f"; those with builds: {', '.join(fleet.builds)}" if fleet.builds else ""
        raise UsageError(f"nothing says where {service} is built: add `builds` to it in the fleet file{known}")
    return [service]


def _known(session: "Session", service: str) -> "list[tuple[ReleaseRow, bool]]":
    """Nothing, where nothing was ever released."""
    from quarterdeck.history.errors import JournalMissing
    from quarterdeck.rollouts.built import known_of

    try:
        return known_of(session.fleet, session.journal, service)
    except JournalMissing:
        return []


async def _ask(session: "Session", services: list[str], limit: int) -> "dict[str, tuple[Any, ...] | BackendError]":
    from quarterdeck.backends.errors import BackendError
    from quarterdeck.rollouts.built import recent_builds

    found = await asyncio.gather(
        *(recent_builds(session.fleet, service, limit=limit) for service in services), return_exceptions=True
    )
    answers: dict[str, tuple[Any, ...] | BackendError] = {}
    for service, answer in zip(services, found, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, BackendError):
            raise answer
        answers[service] = answer
    return answers


def built(session: "Session", target: "Target", word: str) -> tuple[str, dict[str, Any]]:
    """The version of the build that ``word`` names, and the build as a rollout carries it. Raises UsageError, Refused, BackendError."""
    from quarterdeck.rollouts.built import NotToDeploy, as_option, choose, is_words
    from quarterdeck.rollouts.refusals import Refused

    session.control.permitted(target.name)
    try:
        chosen = asyncio.run(choose(session.fleet, target.service, word))
    except NotToDeploy as error:
        if error.mistaken:
            raise UsageError(str(error)) from None
        raise Refused(str(error)) from None
    build, newer = chosen.build, chosen.newer
    if newer is not None:
        session.printer.progress(
            f"build {newer.number} is newer, and {is_words(newer)}: {build.number} is taken", "warn"
        )
    about = ", ".join(
        filter(None, (build.commit[:8], build.branch or build.tag, build.author and f"by {build.author}"))
    )
    session.printer.progress(f"build {build.number} has passed ({about}): it makes {build.version}")
    return build.version, as_option(build)


def build_value(placed: "Placed") -> dict[str, Any]:
    """As JSON."""
    build = placed.build
    return {
        "number": build.number,
        "id": build.id,
        "status": str(build.status),
        "version": build.version or None,
        "commit": build.commit or None,
        "branch": build.branch or None,
        "tag": build.tag or None,
        "workflow": build.workflow or None,
        "started": build.started,
        "seconds": build.seconds,
        "author": build.author or None,
        "link": build.link or None,
        "releases": [
            {"release": one.release, "target": one.target, "verdict": one.verdict, "runs": one.runs}
            for one in placed.made
        ],
    }


def _row(placed: "Placed") -> list[str]:
    build = placed.build
    where = build.tag or build.branch
    return [
        build.number,
        f"{MARKS[build.status]} {build.status}",
        build.version or "-",
        build.commit[:8] or "-",
        (where if len(where) <= _BRANCH else where[: _BRANCH - 1] + "…") or "-",
        age(build.started),
        duration(build.seconds) if build.seconds is not None else "-",
        build.author or "-",
        runs_words(placed),
    ]


def runs_words(placed: "Placed") -> str:
    """Where it runs; else what became of it."""
    if placed.runs_in:
        return " ".join(placed.runs_in)
    if not placed.made:
        return "not released yet" if placed.build.status == "passed" else "-"
    return f"was in {' '.join(dict.fromkeys(one.target.partition('/')[0] for one in placed.made))}"
