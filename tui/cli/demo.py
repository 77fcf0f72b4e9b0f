"""``qd demo``: the playground on this machine, its story, its traffic and its bad release. Every rollout in it is a real one."""

import argparse
import os
import shlex
from typing import TYPE_CHECKING

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.following import add_waiting_options, finish, positive_seconds
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.times import duration

if TYPE_CHECKING:
    from collections.abc import Collection

    from quarterdeck.backends.playground import Playground
    from quarterdeck.backends.playground.load import LoadReport
    from quarterdeck.history.records import Rollout
    from quarterdeck.tui.cli.session import Session


def declare_demo(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "demo",
        run=run_story,
        description=(
            "A fleet of six SSH hosts on this machine, with real processes, to try everything on: no root, no\n"
            "Docker needed. On a terminal it opens the control room on it, with a short guided incident: a release\n"
            "that turns out to be bad, and two keys that take it back. Without one, or with --story, it tells a\n"
            "story of real rollouts in plain lines. It leaves the playground running.\n"
            "\n"
            "Where a Docker engine answers on a socket of this machine, the environment dev has it as a host too,\n"
            "with a container to deploy, break and take back. QD_PLAYGROUND_ENGINE=no leaves the engine alone; with\n"
            "yes it has six times as long to answer, on a machine that is slow or busy."
        ),
        example="qd demo\nqd demo --story\nqd demo up && qd deploy staging/web v2 --wait\nqd demo down",
    )
    parser.add_argument(
        "--story", action="store_true", help="plain lines instead of the control room, about half a minute"
    )
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", prog="qd demo", parser_class=Parser)
    add_command(
        actions,
        "up",
        run=run_up,
        changes=True,
        description=(
            "Starts the playground, puts v1 on every target, leaves it running, and prints the fleet file's path.\n"
            "Commands that find no other fleet file use the running playground's, and say so. One that runs already is\n"
            "left as it is: a Docker engine that was started since, or QD_PLAYGROUND_ENGINE, counts after qd demo down."
        ),
        example="qd demo up && qd deploy staging/web v2 --wait",
    )
    add_command(
        actions,
        "down",
        run=run_down,
        changes=True,
        description=(
            "Ends every process of the playground and removes its files, and its container and images from the Docker\n"
            "engine. Nothing is left behind, and nothing else is touched."
        ),
        example="qd demo down",
    )
    load = add_command(
        actions,
        "load",
        run=run_load,
        description="Sends HTTP requests to a target of the playground and counts what fails, while you deploy or roll back.",
        example="qd demo load staging/web --seconds 30 --rate 50",
    )
    _target(load, "staging/web")
    load.add_argument("--seconds", type=positive_seconds, default=30.0, help="for how long (default 30)")
    load.add_argument("--rate", type=float, default=50.0, help="requests a second (default 50)")
    broken = add_command(
        actions,
        "break",
        run=run_break,
        changes=True,
        description=(
            "Ships the bad release: it fails its health check and comes back by itself (exit status 3).\n"
            "--traffic ships the one that is healthy and fails under traffic: that one is yours to roll back."
        ),
        example="qd demo break staging/web",
    )
    _target(broken, "staging/web")
    broken.add_argument("--traffic", action="store_true", help="the release that is bad only under traffic")
    add_waiting_options(broken)


def _target(parser: argparse.ArgumentParser, default: str) -> None:
    completion.completes(
        parser.add_argument("target", metavar="TARGET", nargs="?", default=default, help=f"default {default}"),
        completion.targets,
    )


def on_playground(session: "Session", playground: "Playground") -> "Session":
    """A session on the playground's fleet, whatever fleet file there is elsewhere."""
    from quarterdeck.tui.cli.session import Session

    return Session(
        session.printer, fleet_file=str(playground.fleet_file), read_only=session.read_only, debug=session.debug
    )


def run_up(session: "Session", _arguments: argparse.Namespace) -> int:
    playground, here = start(session)
    try:
        failed = ship(here, "v1", "demo up", only_missing=True, beside=beside(playground))
    finally:
        here.close()
    session.printer.document(
        {
            "directory": str(playground.directory),
            "fleet_file": str(playground.fleet_file),
            "hosts": [
                {"host": host.name, "environment": host.environment, "address": host.address, "port": host.port}
                for host in playground.hosts
            ],
            "services": dict(playground.services),
            "engine": None
            if (engine := playground.engine) is None
            else {
                "host": engine.name,
                "docker": f"unix://{engine.socket}",
                "target": engine.target,
                "address": engine.address,
                "port": engine.port,
            },
            "failed": [rollout.id for rollout in failed],
        }
    )
    line = session.printer.line
    line(str(playground.fleet_file), "bold")
    line(f"export QD_FLEET={shlex.quote(str(playground.fleet_file))}")
    if os.environ.get("QD_FLEET", str(playground.fleet_file)) != str(playground.fleet_file):
        session.printer.say(
            "QD_FLEET names another fleet file: commands use that one unless you set it as above", "warn"
        )
    return Exit.NOT_TAKEN_BACK if failed else Exit.DONE


def start(session: "Session") -> "tuple[Playground, Session]":
    from quarterdeck.rollouts.playground import up

    session.printer.progress("starting the playground: six SSH hosts on this machine …", "dim")
    playground = up()
    if playground.engine is not None:
        session.printer.progress(f"and {playground.engine.target}, a container on its Docker engine", "dim")
    else:
        session.printer.progress(f"no container in it: {playground.without_engine}", "dim")
    return playground, on_playground(session, playground)


def beside(playground: "Playground") -> tuple[str, ...]:
    """Targets that may fail without the playground being any the worse: those of this machine's own engine, if it has one."""
    return (playground.engine.target,) if playground.engine is not None else ()


def ship(
    here: "Session",
    version: str,
    reason: str,
    *,
    only_missing: bool = False,
    only_on: str | None = None,
    beside: "Collection[str]" = (),
) -> "list[Rollout]":
    """A version to every target, each said on a line. ``only_missing``: to targets on which nothing runs yet; ``only_on``: to
    those that run that version; ``beside``: those whose failure is said and no more. Gives the failed ones."""
    from quarterdeck.history.records import RolloutState
    from quarterdeck.rollouts.playground import ship_everywhere

    wanted = [name for name in here.fleet.targets if not only_missing or here.journal.current_release(name) is None]
    if only_on is not None:
        wanted = [name for name in wanted if runs(here, name) == only_on]
    done: list[str] = []

    def said(rollout: "Rollout") -> None:
        if rollout.state is RolloutState.SUCCEEDED:
            done.append(rollout.target)
            here.printer.progress(f"  = {rollout.target:<18} {version}", "ok")
        else:
            here.printer.say(f"  x {rollout.target}: rollout {rollout.id} {rollout.state}: {rollout.outcome}", "bad")

    if wanted:
        here.printer.progress(f"deploying {version} to {len(wanted)} target{'s' if len(wanted) != 1 else ''}", "bold")
    return ship_everywhere(here.control, version, reason, said, targets=wanted, beside=beside)


def runs(here: "Session", target: str) -> str | None:
    """What the journal says that runs there, which is only ever what was read back from its hosts."""
    release = here.journal.current_release(target)
    row = here.journal.release(release) if release else None
    return row.release.version if row else None


def run_down(session: "Session", _arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.playground import down

    removed = down()
    session.printer.document({"removed": removed})
    session.printer.line("the playground is gone" if removed else "there was no playground")
    return Exit.DONE


def run_load(session: "Session", arguments: argparse.Namespace) -> int:
    import asyncio

    from quarterdeck.rollouts.playground import running, send_traffic

    on_playground(session, running()).target(arguments.target)  # an unknown one is named with the nearest

    def tell(report: "LoadReport") -> None:
        versions = ", ".join(f"{version} {count}" for version, count in sorted(report.versions.items()))
        session.printer.progress(
            f"{report.seconds:5.0f}s  {report.requests} requests, {report.failed} failed  ({versions})"
        )

    try:
        report = asyncio.run(
            send_traffic(arguments.target, seconds=arguments.seconds, rate=arguments.rate, progress=tell)
        )
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    session.printer.document(
        {
            "target": report.target,
            "seconds": round(report.seconds, 3),
            "requests": report.requests,
            "failed": report.failed,
            "failures": dict(report.failures),
            "versions": dict(report.versions),
            "failed_hosts": dict(report.failed_hosts),
            "p50": report.p50,
            "p95": report.p95,
            "p99": report.p99,
        }
    )
    p95 = f", p95 {report.p95 * 1000:.0f} ms" if report.p95 is not None else ""
    session.printer.line(
        f"{report.requests} requests in {duration(report.seconds)}, {report.failed} failed{p95}",
        "bad" if report.failed else "ok",
    )
    for what, count in report.failures.items():
        session.printer.line(f"  {count} x {what}")
    return Exit.FAULT if report.failed else Exit.DONE


def run_break(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.playground import bad_versions, running

    bad = bad_versions()
    here = on_playground(session, running())
    try:
        rollout = here.control.arm_deploy(
            here.target(arguments.target).name,
            bad.under_traffic if arguments.traffic else bad.at_once,
            reason="qd demo break",
            force=True,
            detached_go=True,
        )
        return finish(here, rollout.id, detach=arguments.detach, timeout=arguments.timeout)
    finally:
        here.close()


def run_story(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.refusals import Refused
    from quarterdeck.tui.cli import guided, story

    if session.read_only:
        raise Refused("qd demo starts things, and --read-only was given")
    return story.tell(session) if arguments.story or not guided.can_be_shown(session) else guided.play(session)
