"""``qd env clone``, ``list``, ``extend`` and ``remove``: previews, which are environments with a lifetime."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, MissingConfirmation, UsageError
from quarterdeck.tui.cli.parser import Parser, add_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quarterdeck.config.model import Fleet, Preview, Target
    from quarterdeck.rollouts.previews.removing import OnHost
    from quarterdeck.tui.cli.session import Session


def declare_previews(actions: "argparse._SubParsersAction[Parser]") -> None:
    _declare_clone(actions)
    add_command(
        actions,
        "list",
        run=run_list,
        within="env",
        description=(
            "Lists the environments, and of previews where they are from, how old they are, until when they last and\n"
            "whose they are. One that can't be used says why. Asks no host."
        ),
        example="qd env list\nqd env list --json | jq '.environments[] | select(.expired)'",
    )
    extend = add_command(
        actions,
        "extend",
        run=run_extend,
        within="env",
        changes=True,
        description="Gives a preview more time. It is counted from its end on, or from now where it is over.",
        example="qd env extend pr-7 --for 2d",
    )
    completion.completes(extend.add_argument("preview", metavar="PREVIEW"), completion.previews)
    extend.add_argument("--for", dest="lasts", metavar="DURATION", required=True, help="so much more, as in 12h, 2d")
    remove = add_command(
        actions,
        "remove",
        run=run_remove,
        within="env",
        changes=True,
        description=(
            "Removes a preview. Its services are stopped on its hosts, their releases or containers are removed, and\n"
            "then the declaration. Of an environment that the fleet file declares nothing is ever removed. A host that\n"
            "does not answer, a service that did not stop, and what the fleet file does not lead to any more keep the\n"
            "declaration; --forget removes it all the same and says what may be left where.\n\n"
            "--expired removes all previews whose lifetime is over, for a timer: qd env remove --expired --yes. One that\n"
            "can't be removed does not keep the others.\n\n"
            "Exit status: 0 all is removed; 4 something is left somewhere; 6 no host answered, nothing was changed; 5 a\n"
            "preview is busy, or was extended or made anew meanwhile; 1 a preview whose file can't be used was left out."
        ),
        example="qd env remove pr-7\nqd env remove --expired --yes",
    )
    completion.completes(remove.add_argument("preview", metavar="PREVIEW", nargs="?"), completion.previews)
    remove.add_argument("--expired", action="store_true", help="all whose lifetime is over")
    remove.add_argument("--yes", action="store_true", help="do it without asking")
    remove.add_argument("--forget", action="store_true", help="remove the declaration even where a host did not answer")


def _declare_clone(actions: "argparse._SubParsersAction[Parser]") -> None:
    clone = add_command(
        actions,
        "clone",
        run=run_clone,
        within="env",
        changes=True,
        description=(
            "Makes a preview of an environment: its services with its variables, files and references of secrets, on\n"
            "hosts of your choice, for some days. It has no approvals, freezes, soak or order of environments, goes\n"
            "out host by host, and is never behind a router. It is declared in a file of its own (`previews` in the\n"
            "fleet file says where): every qd of this fleet knows it at once, and the reviewed file stays as it is.\n\n"
            "Paths, ports, units and container names must not be those of another environment on the same host: write\n"
            "{environment} into `path`, or give the preview hosts of its own. Secrets are those of ENV: a preview of\n"
            "production reads production's database, unless --env says otherwise.\n\n"
            "--deploy ships what runs in ENV now, by the same digest. Without it: qd deploy NEW/SERVICE VERSION."
        ),
        example=(
            "qd env clone staging pr-7 --hosts stg-2 --for 3d --deploy\n"
            "qd env clone staging pr-7 --hosts stg-2 --services api --env LOG=debug"
        ),
    )
    completion.completes(clone.add_argument("origin", metavar="ENV"), completion.environments)
    clone.add_argument("preview", metavar="NEW", help="its name, as pr-7")
    clone.add_argument("--hosts", metavar="H1,H2", required=True, help="hosts of the fleet file")
    clone.add_argument("--for", dest="lasts", metavar="DURATION", default="3d", help="how long it lasts (default 3d)")
    clone.add_argument("--services", metavar="S1,S2", default="", help="else all that are in ENV")
    clone.add_argument(
        "--env", metavar="KEY=VALUE", action="append", default=[], help="a variable that is another there"
    )
    clone.add_argument("--deploy", action="store_true", help="ship what runs in ENV, by the same digest")
    clone.add_argument("--detach", action="store_true", help="with --deploy: don't wait for its end")


def _seconds(text: str) -> float:
    from quarterdeck.config import scalars

    try:
        return scalars.positive_duration(text)
    except scalars.Unfit:
        raise UsageError(f"{text!r} can't be read; --for takes 12h, 2d, 30d") from None


def run_clone(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.config import scalars
    from quarterdeck.config.kinds import NAME
    from quarterdeck.rollouts.previews.declaring import clone

    try:
        NAME.make(arguments.preview)
    except scalars.Unfit:
        raise UsageError(f"{arguments.preview!r} is no name for an environment: {NAME.expected}") from None
    env = dict(_pair(text) for text in arguments.env)
    before = session.fleet
    fleet = clone(
        session.control,
        arguments.origin,
        arguments.preview,
        _names(arguments.hosts),
        services=_names(arguments.services),
        env=env,
        seconds=_seconds(arguments.lasts),
    )
    preview = fleet.previews[arguments.preview]
    targets = [target for target in fleet.targets.values() if target.environment == preview.name]
    printer = session.printer
    printer.progress(
        f"= {preview.name}: of {preview.origin}, until {_until(preview)}, declared in {preview.file}", "ok"
    )
    for target in targets:
        printer.progress(f"  {target.name} on {', '.join(host.name for host in target.hosts)}")
    for words in _left_out(before, preview):
        printer.progress(f"  {words}", "dim")
    if not arguments.deploy:
        first = targets[0]
        way = f"qd deploy {first.name} VERSION, or qd promote {preview.origin}/{first.service} --to {preview.name}"
        printer.progress(f"  nothing runs there yet: {way}")
        printer.document({"fleet": fleet.name, **_value(preview), "rollouts": []})
        return Exit.DONE
    return _deploy(session, fleet, preview, targets, detach=arguments.detach)


def _left_out(fleet: "Fleet", preview: "Preview") -> list[str]:
    """What of the environment it does not have, in words."""
    origin = [target for target in fleet.targets.values() if target.environment == preview.origin]
    mine = [target for target in origin if target.service in preview.services]
    found = []
    if any(target.routed is not None for target in mine):
        found.append("no router leads requests there: reach it by its hosts' addresses")
    if any(target.secrets for target in mine):
        found.append(f"its secrets are those of {preview.origin}")
    if hooks := sum(len(target.hooks.before) + len(target.hooks.after) for target in mine):
        found.append(f"{hooks} hook{'s' if hooks > 1 else ''} of {preview.origin} run there, too")
    return found


def _deploy(
    session: "Session", fleet: "Fleet", preview: "Preview", targets: "Sequence[Target]", *, detach: bool
) -> int:
    """What runs in the origin, service after service; one that can't be shipped does not keep the others from it."""
    from quarterdeck.rollouts.control import Control
    from quarterdeck.rollouts.outcome import result
    from quarterdeck.rollouts.refusals import Refused
    from quarterdeck.tui.cli.following import ended_sentence, follow

    printer = session.printer
    control = Control(fleet, session.journal, session.operator)
    armed: list[int] = []
    worst = Exit.DONE
    for target in targets:
        source = f"{preview.origin}/{target.service}"
        try:
            rollout = control.arm_promotion(
                source, preview.name, reason=f"preview of {preview.origin}", detached_go=True
            )
        except Refused as refused:
            printer.say(f"{target.name}: {refused}", "warn")
            worst = Exit.REFUSED
            continue
        armed.append(rollout.id)
    results: list[dict[str, Any]] = []
    for id in armed:
        if not detach:
            follow(session, id)
            told = result(session.journal, id)
            worst = max(worst, Exit(told["exit_status"]))
            sentence = ended_sentence(session.journal.rollout(id), told)
            printer.progress(sentence, "ok" if told["exit_status"] == Exit.DONE else "bad")
        results.append(result(session.journal, id))
    printer.document({"fleet": fleet.name, **_value(preview), "rollouts": results})
    return worst


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pair(text: str) -> tuple[str, str]:
    from quarterdeck.config import scalars

    name, equals, value = text.partition("=")
    try:
        if not equals:
            raise scalars.Unfit
        return scalars.variable(name), value
    except scalars.Unfit:
        raise UsageError(f"{text!r} is no variable; --env takes KEY=VALUE") from None


def run_list(session: "Session", _arguments: argparse.Namespace) -> int:
    fleet = session.fleet
    now = datetime.now(UTC).isoformat()
    values = [{**_value(preview), "expired": preview.is_over(now)} for preview in fleet.previews.values()]
    declared = [
        {"environment": name, "from": None, "hosts": list(environment.hosts)}
        for name, environment in fleet.environments.items()
        if environment.preview is None
    ]
    session.printer.document({"fleet": fleet.name, "environments": [*declared, *values]})
    rows: list[tuple[str, ...]] = [(str(one["environment"]), "-", "-", "-", "-", _hosts(one)) for one in declared]
    styles = [""] * len(rows)
    for preview in fleet.previews.values():
        over = preview.is_over(now)
        until = preview.fault or (f"OVER since {_until(preview)}" if over else _until(preview))
        rows.append(
            (
                preview.name,
                preview.origin or "?",
                _age(preview.made),
                until,
                preview.by or "?",
                ", ".join(preview.hosts),
            )
        )
        styles.append("bad" if over or preview.fault else "")
    session.printer.table(("ENVIRONMENT", "FROM", "AGE", "UNTIL", "BY", "HOSTS"), rows, styles)
    return Exit.DONE


def _hosts(one: "dict[str, Any]") -> str:
    return ", ".join(one["hosts"])


def _age(made: str) -> str:
    from quarterdeck.tui.cli.times import age

    return age(made) if made else "?"


def _until(preview: "Preview") -> str:
    return f"{preview.until[:16].replace('T', ' ')}Z"


def _value(preview: "Preview") -> dict[str, Any]:
    return {
        "environment": preview.name,
        "from": preview.origin or None,
        "hosts": list(preview.hosts),
        "services": list(preview.services),
        "env": dict(preview.env),
        "made": preview.made or None,
        "by": preview.by or None,
        "until": preview.until or None,
        "file": str(preview.file),
        "fault": preview.fault or None,
    }


def run_extend(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.previews.declaring import extend

    preview = extend(session.control, arguments.preview, _seconds(arguments.lasts))
    session.printer.document({"fleet": session.fleet.name, **_value(preview)})
    session.printer.line(f"= {preview.name} lasts until {_until(preview)}", "ok")
    return Exit.DONE


def run_remove(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts.previews.declaring import known
    from quarterdeck.rollouts.previews.lifetimes import expired

    if bool(arguments.preview) == arguments.expired:
        raise UsageError("say which preview: qd env remove PREVIEW, or --expired")
    session.control.allow_change()
    fleet, printer = session.fleet, session.printer
    wanted = expired(fleet) if arguments.expired else [known(fleet, arguments.preview)]
    if not wanted:
        printer.line("= no preview is over: nothing to do", "ok")
        printer.document({"fleet": fleet.name, "removed": [], "left": [], "refused": []})
        return Exit.DONE
    wanted, unreachable = _that_can_be_removed(session, wanted, forget=arguments.forget)
    for preview in wanted:
        targets = [target for target in fleet.targets.values() if target.environment == preview.name]
        of = ", ".join(f"{target.name} on {', '.join(host.name for host in target.hosts)}" for target in targets)
        told = of or f"only its declaration, which can't be used: {preview.fault}"
        printer.progress(f"{preview.name}: of {preview.origin or '?'}, by {preview.by or '?'}; removes {told}")
    if wanted and not arguments.yes:
        if not session.interactive:
            raise MissingConfirmation(
                f"{', '.join(preview.name for preview in wanted)}: nobody can be asked whether to stop and remove it; nothing was "
                "changed; give --yes"
            )
        if not session.ask("stop and remove that?"):
            printer.progress("nothing was changed")
            return Exit.DONE
    removed: list[str] = []
    refused: list[tuple[str, str]] = []
    left: list[OnHost] = []
    asked = 0
    for preview in wanted:
        outcomes, why = _remove(session, preview)
        bad = [one for one in outcomes if one.error]
        asked += len(outcomes)
        if not why and (not bad or arguments.forget):
            why = _forget(session, preview, bad)
            removed += [] if why else [preview.name]
        if why:
            refused.append((preview.name, why))
            printer.say(f"! {preview.name} stays declared: {why}", "warn")
        left += bad
    printer.document(
        {
            "fleet": fleet.name,
            "removed": removed,
            "left": [{"target": one.target, "host": one.host, "release": one.was, "error": one.error} for one in left],
            "refused": [{"environment": name, "why": why} for name, why in refused],
        }
    )
    status = _status(left, asked, forget=arguments.forget)
    if status == Exit.DONE and refused:
        return Exit.REFUSED
    return Exit.FAULT if status == Exit.DONE and unreachable else status


def _that_can_be_removed(
    session: "Session", wanted: "Sequence[Preview]", *, forget: bool
) -> "tuple[list[Preview], list[Preview]]":
    """Those whose hosts can be asked, and those of which nobody knows what runs where. One that was asked for by its name is refused."""
    from quarterdeck.rollouts.refusals import Refused

    faulty = [preview for preview in wanted if preview.fault]
    if forget or not faulty:
        return list(wanted), []
    told = [
        f"the preview {one.name} can't be used, so {', '.join(one.hosts) or 'its hosts'} can't be asked to stop it: {one.fault}"
        for one in faulty
    ]
    advice = "put that right, or --forget removes the declaration alone and leaves what runs there"
    if len(wanted) == 1:
        raise Refused(told[0], advice)
    for text in told:
        session.printer.say(f"! {text}; {advice}", "warn")
    return [preview for preview in wanted if not preview.fault], faulty


def _remove(session: "Session", preview: "Preview") -> "tuple[list[OnHost], str]":
    """What became of it on each host; and why it was not gone on with, empty: it was removed as far as the hosts let it."""
    import asyncio

    from quarterdeck.history.errors import EpochLost
    from quarterdeck.rollouts.logs.merged import open_backend
    from quarterdeck.rollouts.previews.declaring import refuse_if_changed
    from quarterdeck.rollouts.previews.removing import remove_target, undeclared
    from quarterdeck.rollouts.refusals import Refused

    fleet = session.fleet
    found: list[OnHost] = []

    def said(one: "OnHost") -> None:
        found.append(one)
        what = f"{one.was} stopped and removed" if one.was else "nothing ran; what lay there is removed"
        if one.never:
            what = "nothing was ever there, and nothing was removed"
        session.printer.progress(
            f"  {'x' if one.error else '='} {one.host}: {one.target}: {one.error or what}", "bad" if one.error else "ok"
        )

    async def every() -> None:
        backend = open_backend(fleet)
        for target in [one for one in fleet.targets.values() if one.environment == preview.name]:
            await remove_target(session.control, backend, target, said)

    try:
        refuse_if_changed(preview)
        if not preview.fault:
            for lost in undeclared(session.journal, preview, fleet.targets):
                said(lost)
        asyncio.run(every())
    except (Refused, EpochLost) as error:
        return found, str(error)
    return found, ""


def _forget(session: "Session", preview: "Preview", bad: "Sequence[OnHost]") -> str:
    """Why it was not forgotten; empty: it was."""
    from quarterdeck.rollouts.previews.declaring import forget
    from quarterdeck.rollouts.refusals import Refused

    left = list(preview.hosts) if preview.fault else [f"{one.host} ({one.target})" for one in bad]
    try:
        forget(session.control, preview.name, left=left)
    except Refused as refused:
        return str(refused)
    session.printer.progress(f"= {preview.name} is declared no more", "ok")
    for one in bad:
        session.printer.say(
            f"! {one.host}: {one.target} may still be there, and nobody looks after it any more", "warn"
        )
    if preview.fault and preview.hosts:
        session.printer.say(f"! what runs of it on {', '.join(preview.hosts)} was not touched", "warn")
    return ""


def _status(left: "Sequence[OnHost]", asked: int, *, forget: bool) -> int:
    if not left or forget:
        return Exit.DONE
    if all(one.away for one in left) and len(left) == asked:
        return Exit.UNREACHABLE
    return Exit.NOT_TAKEN_BACK
