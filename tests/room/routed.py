"""Services behind routers, with a journal whose times never change: a canary that stands at 25 %, a router that somebody changed by hand,
one that does not answer."""

from pathlib import Path
from typing import Any

from quarterdeck.config.model import Commands, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history import clock
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ROUTER, NewStep, Observation, RolloutKind, RolloutState, StepState
from tests.room.acme import LENA, FrozenClock, frozen_clock

API, SHOP, WEB = "production/api", "production/shop", "production/web"
HOSTS = ("app-1", "app-2", "app-3", "app-4")
LOST = "outer on lb-2: read how web is routed: /run/haproxy/admin.sock does not answer: Connection refused. Nothing was asked of the router"


def fleet_text(state: Path) -> str:
    hosts = "".join(
        f'  {host}: {{ssh: "deploy@127.0.0.1:{at}"}}\n' for at, host in enumerate((*HOSTS, "lb-1", "lb-2"), 1)
    )
    services = "".join(
        f'  {name}:\n    artifact: {{tarball: "/artifacts/{name}-{{version}}.tar.gz"}}\n    path: /srv/{name}\n'
        f"    commands: {{start: bin/start, stop: bin/stop}}\n    health: {{http: {{port: {port}, path: /health}}}}\n"
        f"    router: {router}/{name}\n"
        for name, port, router in (("api", 8081, "edge"), ("shop", 8082, "edge"), ("web", 8083, "outer"))
    )
    return (
        f"fleet: routed\nstate: {state}\nhosts:\n{hosts}"
        "routers:\n  edge: {haproxy: {host: lb-1}}\n  outer: {haproxy: {host: lb-2}}\n"
        f"environments:\n  production: {{hosts: [{', '.join(HOSTS)}]}}\nservices:\n{services}"
    )


def made(target: str, version: str) -> Release:
    service = target.partition("/")[2]
    artifact = ResolvedArtifact(f"/artifacts/{service}-{version}.tar.gz", (version.encode().hex() * 64)[:64], 3 << 20)
    return Release(target, version, artifact, f"/srv/{service}", Runner(commands=Commands("bin/start", "bin/stop")))


def slot(release: str, *numbers: int) -> dict[str, Any]:
    return {"release": release, "servers": [f"10.0.0.{number}:8081" for number in numbers]}


def routed(target: str, share: int, blue: dict[str, Any], green: dict[str, Any], *rules: list[str]) -> dict[str, Any]:
    router = "outer" if target == WEB else "edge"
    body = {"router": f"{router}/{target.partition('/')[2]}", "share": share, "rules": list(rules)}
    return {**body, "slots": {"blue": blue, "green": green}}


def fill_routed(state: Path) -> None:
    """Makes the journal in ``state``."""
    with frozen_clock() as frozen, Journal.open(state, operator=LENA) as journal:
        for target, versions in ((API, ("v1",)), (SHOP, ("v7", "v8")), (WEB, ("v3", "v4"))):
            before = None
            for days, version in zip((9, 2), versions, strict=False):
                before = _released(journal, frozen, made(target, version), before, days=days)
        frozen.ago(minutes=6)
        now = made(API, "v2")
        _canary(journal, frozen, now, made(API, "v1").id)
        frozen.ago(seconds=2)
        every = range(1, 5)
        old, new = slot(made(API, "v1").id, 2, 3, 4), slot(now.id, 1)
        body = routed(API, 2500, {**old, "live": 2}, {**new, "live": 1}, ["header", "beta", "green"])
        counted = {
            "blue": {"per_second": 36.5, "failing": 0.0},
            "green": {"per_second": 12.25, "failing": 0.5},
        }
        head = journal.head()[0]
        api = Observation(
            API, ROUTER, clock.now(), None, None, "healthy", None, {**body, "seq": head, "counted": counted}
        )
        body = routed(SHOP, 3000, slot(made(SHOP, "v8").id, *every), slot("", 9))
        drift = ["green gets 30 %, not 0 %", "10.0.0.9:8081 was put in service in green"]
        shop = Observation(
            SHOP, ROUTER, clock.now(), None, None, "healthy", None, {**body, "seq": head, "drift": drift}
        )
        hosts = []
        for target, version in ((SHOP, "v8"), (WEB, "v4")):
            kept = {
                "kept": [made(target, one).id for one in ("v3", "v4", "v7", "v8")],
                "detail": "http 200",
                "seq": head,
            }
            hosts += [
                Observation(target, host, clock.now(), made(target, version).id, version, "healthy", None, kept)
                for host in HOSTS
            ]
        kept = {"kept": [made(API, "v1").id, now.id], "detail": "http 200", "seq": head}
        for host in HOSTS:
            runs = now if host == "app-1" else made(API, "v1")
            hosts.append(Observation(API, host, clock.now(), runs.id, runs.version, "healthy", None, kept))
        frozen.ago(minutes=3)
        body = routed(WEB, FULL, slot("", *()), slot(made(WEB, "v4").id, *every))
        web = Observation(WEB, ROUTER, clock.now(), None, None, "unknown", LOST, {**body, "seq": head})
        journal.observe([api, shop, web, *hosts])


FULL = 10_000


def _canary(journal: Journal, frozen: FrozenClock, release: Release, before: str) -> None:
    """Its first host has moved, gets a quarter of the requests and those of the testers, and it stands there."""
    journal.put_release(release)
    armed = journal.arm(API, RolloutKind.DEPLOY, from_release=before, to_release=release.id, reason="faster search")
    journal.set_worker(armed.id, 4000, 1, "boot")
    hosts = [{"host": host, "current": before, "running": True, "kept": [before], "error": None} for host in HOSTS]
    plan: dict[str, Any] = {
        "summary": "4 of 4 hosts change",
        "from": before,
        "to": release.id,
        "version": "v2",
        "strategy": "canary",
        "warnings": [],
        "hosts": hosts,
        "router": {"name": "edge/api", "slot": "green", "share": 0.0, "error": None},
    }
    journal.set_plan(armed.id, plan, "0" * 64, to_release=release.id, from_release=before)
    epoch = journal.begin(armed.id, preempt="nothing")
    router = {"router": "edge/api", "slot": "green", "release": release.id}
    switch = {"release": release.id, "slot": "green", "hold": True}
    steps = [
        NewStep(1, "app-1", "switch", 1, switch),
        NewStep(2, "(here)", "route", 2, {**router, "rules": [["header", "beta"]]}),
        NewStep(3, "(here)", "share", 3, {**router, "percent": 25.0}),
        NewStep(4, "(here)", "pause", 4, {"promote": True, "weight": 25.0, "hosts": 1, "of": 4}),
        *(NewStep(at, host, "switch", 5, switch) for at, host in enumerate(HOSTS[1:], 5)),
        NewStep(8, "(here)", "share", 6, {**router, "percent": 100.0}),
        NewStep(9, "(here)", "route", 6, {**router, "rules": []}),
        *(NewStep(at, host, "retire", 7, switch) for at, host in enumerate(HOSTS, 10)),
    ]
    journal.add_steps(armed.id, epoch, steps)
    outcomes: tuple[dict[str, Any], ...] = (
        {"health": "http 200", "seconds": 1.2},
        {"rules": 1, "already": False, "seconds": 0.1},
        {"percent": 25.0, "already": False, "seconds": 0.2},
    )
    for number, outcome in enumerate(outcomes, 1):
        journal.start_steps(armed.id, epoch, [number])
        journal.end_step(armed.id, epoch, number, StepState.DONE, outcome)
    old, new = slot(before, 2, 3, 4), slot(release.id, 1)
    journal.record(
        "routed", target=API, rollout=armed.id, body=routed(API, 2500, old, new, ["header", "beta", "green"])
    )
    frozen.ago(minutes=5)
    journal.start_steps(armed.id, epoch, [4])
    journal.set_state(
        armed.id, epoch, RolloutState.PAUSED, outcome="waits at 25 % (1 of 4 hosts), until somebody promotes"
    )


def _released(journal: Journal, frozen: FrozenClock, release: Release, before: str | None, *, days: float) -> str:
    frozen.ago(days=days)
    journal.put_release(release)
    armed = journal.arm(release.target, RolloutKind.DEPLOY, from_release=before, to_release=release.id)
    journal.set_worker(armed.id, 4000, 1, "boot")
    plan: dict[str, Any] = {"summary": "all change", "from": before, "to": release.id, "warnings": [], "hosts": []}
    journal.set_plan(armed.id, plan, "0" * 64, to_release=release.id, from_release=before)
    epoch = journal.begin(armed.id, preempt="nothing")
    steps = [NewStep(n, host, "switch", n, {"release": release.id}) for n, host in enumerate(HOSTS, 1)]
    journal.add_steps(armed.id, epoch, steps)
    for step in steps:
        journal.start_steps(armed.id, epoch, [step.seq])
        journal.end_step(armed.id, epoch, step.seq, StepState.DONE, {"health": "http 200", "seconds": 1.2})
    body = routed(release.target, 0, slot(release.id, 1, 2, 3, 4), slot(""))
    journal.record("routed", target=release.target, rollout=armed.id, body=body)
    journal.set_state(armed.id, epoch, RolloutState.SUCCEEDED)
    return release.id
