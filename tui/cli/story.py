"""The story that ``qd demo`` tells: real rollouts on the playground, each checked; a story that does not come true fails."""

from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import demo
from quarterdeck.tui.cli.exits import Exit
from quarterdeck.tui.cli.following import finish

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

BAD_TARGET = "staging/web"
BACK_TARGET = "production/web"


def tell(session: "Session") -> int:
    """Runs the story on a fresh or a running playground, and gives the exit status: 0 when everything went as told."""
    playground, here = demo.start(session)
    told: list[dict[str, Any]] = []
    try:
        status = _chapters(here, told, demo.beside(playground))
    finally:
        here.close()
    session.printer.document({"fleet_file": str(playground.fleet_file), "ok": status == Exit.DONE, "chapters": told})
    return status


def _chapters(here: "Session", told: list[dict[str, Any]], beside: tuple[str, ...]) -> int:
    from quarterdeck.rollouts.playground import bad_versions

    say = here.printer.progress
    bad = bad_versions().at_once
    for version in ("v1", "v2"):
        say("")
        failed = demo.ship(here, version, "qd demo", beside=beside)
        told.append({"chapter": f"deploy {version} everywhere", "ok": not failed})
        if failed:
            return _untrue(here, f"{version} did not reach every target")

    say("")
    say(f"$ qd deploy {BAD_TARGET} {bad}          # a release that fails its health check", "bold")
    rollout = here.control.arm_deploy(BAD_TARGET, bad, reason="qd demo", force=True, detached_go=True)
    status = _followed(here, rollout.id)
    runs = demo.runs(here, BAD_TARGET)
    told.append(
        {
            "chapter": "a bad release comes back by itself",
            "rollout": rollout.id,
            "exit_status": status,
            "version": runs,
            "ok": status == Exit.TAKEN_BACK and runs == "v2",
        }
    )
    if not told[-1]["ok"]:
        return _untrue(
            here, f"{bad} should have come back to v2 with exit status 3; it is {runs}, exit status {status}"
        )
    say(f"It came back by itself (exit status 3): {BAD_TARGET} runs {runs}, and {bad} is marked bad.")

    say("")
    say(f"$ qd rollback {BACK_TARGET} --yes      # two keystrokes in an incident", "bold")
    rollout = here.control.arm_rollback(BACK_TARGET, reason="qd demo", detached_go=True)
    status = _followed(here, rollout.id)
    runs = demo.runs(here, BACK_TARGET)
    told.append(
        {
            "chapter": "roll production back",
            "rollout": rollout.id,
            "exit_status": status,
            "version": runs,
            "ok": status == Exit.DONE and runs == "v1",
        }
    )
    if not told[-1]["ok"]:
        return _untrue(here, f"{BACK_TARGET} should be back on v1; it is {runs}, exit status {status}")

    say("")
    say("$ qd status --cached", "bold")
    _status(here)
    say("")
    say("Try next (the running playground is found by itself when there is no other fleet file):", "bold")
    for command in (
        "qd status",
        "qd rollback production/api       # shows the card and asks",
        "qd deploy production/web v2 --plan --force --reason 'try again'",
        f"qd history {BAD_TARGET}",
        f"qd logs {BAD_TARGET} --follow",
        "qd demo load staging/web         # traffic, in a second terminal",
        "qd demo break --traffic          # a release that is bad only under traffic",
        *(f"qd demo break {target}    # the same in a container" for target in beside),
        "qd audit verify",
        "qd demo down                     # removes all of it",
    ):
        say(f"  {command}")
    return Exit.DONE


def _followed(here: "Session", rollout: int) -> int:
    """Follows it with lines; the one JSON document of the story is its own."""
    if not here.printer.json:
        return finish(here, rollout, detach=False, timeout=120.0)
    from quarterdeck.rollouts.outcome import result
    from quarterdeck.tui.cli.following import follow

    follow(here, rollout, timeout=120.0)
    return int(result(here.journal, rollout)["exit_status"])


def _status(here: "Session") -> None:
    from quarterdeck.rollouts.status import status
    from quarterdeck.tui.cli.status import show

    show(here.printer, status(here.fleet, here.journal))


def _untrue(here: "Session", why: str) -> int:
    here.printer.say(
        f"qd: the demo did not go as it should: {why}; look at it with qd history, remove it with qd demo down", "bad"
    )
    return Exit.FAULT
