"""What an operator sees before saying yes: from, to, hosts, steps, readiness, warnings. The plan of an armed rollout, as text."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli.times import age, size

if TYPE_CHECKING:
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Rollout
    from quarterdeck.tui.cli.printing import Printer
    from quarterdeck.tui.cli.session import Session

COMMITS = 5  # that a card lists of each kind
PREPARING = 180.0  # seconds: connecting, fetching and checking an artifact may take a while on a bad line


def await_plan(session: "Session", rollout: int, timeout: float | None = None) -> "Rollout":
    """The rollout once its plan is there, or as it ended without one; as it is when ``timeout`` seconds are over."""
    from quarterdeck.history.lease import lock_is_held
    from quarterdeck.history.records import ENDED

    journal = session.journal
    started = time.monotonic()
    deadline = started + (PREPARING if timeout is None else timeout)
    version, looked = -1, started
    while True:
        now_version = journal.data_version()
        if now_version != version:
            version = now_version
            now = journal.rollout(rollout)
            if now.plan is not None or now.state in ENDED:
                return now
        moment = time.monotonic()
        if moment >= deadline:
            return journal.rollout(rollout)
        if moment - looked > 5.0:
            looked = moment
            now = journal.rollout(rollout)
            if now.pid is not None and now.plan is None and not lock_is_held(journal.path.parent, rollout):
                return journal.rollout(rollout)
        time.sleep(0.01)


def describe(rollout: "Rollout", journal: "Journal") -> dict[str, Any]:
    """The card as JSON."""
    from quarterdeck.rollouts.in_line import in_line

    line = in_line(journal, rollout)
    plan: dict[str, Any] = dict(rollout.plan or {})
    return {
        "rollout": rollout.id,
        "kind": str(rollout.kind),
        "target": rollout.target,
        "from": plan.get("from", rollout.from_release),
        "to": plan.get("to", rollout.to_release),
        "status": str(rollout.state),
        "reason": rollout.reason,
        "plan_hash": rollout.plan_hash,
        "queue": line.value() if line is not None else None,
        **{
            key: plan.get(key)
            for key in (
                "version",
                "digest",
                "strategy",
                "summary",
                "hosts",
                "router",
                "steps",
                "readiness",
                "require",
                "secrets",
                "warnings",
            )
        },
    }


def show(printer: "Printer", card: Mapping[str, Any], session: "Session", *, steps: bool) -> None:
    """Prints the card; ``steps``: with every step."""
    verb = {"rollback": "ROLL BACK", "deploy": "DEPLOY"}.get(str(card["kind"]), str(card["kind"]).upper())
    printer.progress(f"{verb}  {card['target']}", "bold")
    printer.progress(f"  from  {_release(session, card['from'])}")
    printer.progress(f"  to    {_release(session, card['to'])}")
    printer.progress(f"  how   {card.get('summary') or 'nothing to change'}")
    readiness = card.get("readiness") or {}
    state = str(readiness.get("state", "unknown"))
    style = {"ready": "ok", "degraded": "warn"}.get(state, "bad")
    printer.progress(f"  ready {state}", style)
    for reason in readiness.get("reasons", ()):
        printer.progress(f"        - {reason}", "warn")
    if router := card.get("router"):
        from quarterdeck.tui.cli.routing_words import plan_words

        fault = "warn" if router.get("error") else ""
        printer.progress(f"  {plan_words(router, str(card.get('version') or ''))}", fault)
    back = (card.get("require") or {}).get("rollback_ready")
    if back:
        printer.progress(f"  back  {back['words']}", {"open": "ok", "closed": "bad"}.get(str(back["state"]), "warn"))
    drill = (card.get("require") or {}).get("max_drill_age")
    if drill:
        printer.progress(f"  drill {drill['words']}", "bad" if drill["too_old"] else "ok")
    build = (card.get("require") or {}).get("build")
    if build:
        printer.progress(f"  build {build['words']}", "ok" if build["passed"] else "bad")
    if commits := card.get("commits"):
        _show_commits(printer, commits)
    queue = card.get("queue")
    if queue:
        printer.progress(f"  queue {queue['words']}", "warn" if queue["waits"] else "")
    for host in card.get("hosts") or ():
        printer.progress(f"  {_host(host)}", "" if not host.get("error") else "bad")
    for warning in card.get("warnings") or ():
        printer.progress(f"  !     {warning}", "warn")
    if steps:
        from quarterdeck.rollouts.plans.flags import flag_words
        from quarterdeck.rollouts.promoting import WAITS
        from quarterdeck.tui.cli.routing_words import place_words, step_words
        from quarterdeck.tui.cli.waits import notice_words, wait_words

        printer.progress("  steps")
        for step in card.get("steps") or ():
            if step["action"] in WAITS:
                what = wait_words(step["action"], step)
            elif routed := step_words(step["action"], step):
                what = routed
            elif "notify" in step:
                what = notice_words(step["notify"])
            elif step["action"] == "flag":
                what = f"flag {flag_words(step)}"
            else:
                about = step.get("run") if step["action"] == "hook" else step.get("release")
                what = f"{step['action']} {about}" if about else step["action"]
            printer.progress(
                f"    {step['seq']:>3}  wave {step['batch']:<3} {place_words(step['host'], step['action']):<12} {what}"
            )


def _show_commits(printer: "Printer", commits: Mapping[str, Any]) -> None:
    """The newest of them; all of them are in ``qd diff``."""
    if commits["error"]:
        printer.progress(f"  git   {commits['error']}", "dim")
        return
    for mark, key in (("+", "came"), ("-", "went")):
        for one in commits[key][:COMMITS]:
            printer.progress(f"  {mark}     {one['commit'][:8]} {one['subject']} ({one['author']})")
        if (more := commits[f"{key}_in_all"] - len(commits[key][:COMMITS])) > 0:
            printer.progress(f"  {mark}     and {more} more: qd diff")


def _release(session: "Session", release: Any) -> str:
    if not release:
        return "nothing"
    row = session.journal.release(str(release))
    if row is None:
        return str(release)
    digest = row.release.artifact.sha256[:12]
    who = f", by {row.release.created_by}" if row.release.created_by else ""
    verdict = f"{row.verdict}, last good {age(row.last_good)} ago" if row.last_good else str(row.verdict)
    return f"{row.id}  sha256:{digest}  {verdict}{who}"


def _host(host: Mapping[str, Any]) -> str:
    name = f"{host['host']:<12}"
    if host.get("error"):
        return f"? {name} {host['error'].removeprefix(host['host'] + ': ')}"
    runs = f"runs {host.get('current') or 'nothing'}"
    if host.get("current") and host.get("running") is False:
        runs = f"has {host['current']}, stopped"
    if host.get("swarm"):
        copy = "can fetch its image" if host.get("has_release") else "its image is not asked for yet"
        copy += ", its service is kept" if host.get("warm") else ""
    else:
        copy = "has a copy" if host.get("has_release") else "no copy yet"
        copy += ", kept warm" if host.get("warm") else ""
    free = f", {size(host['free_bytes'])} free" if host.get("free_bytes") is not None else ""
    problems = "".join(f"; {problem}" for problem in host.get("problems") or ())
    return f"{'x' if problems else '='} {name} {runs}, {copy}{free}{problems}"
