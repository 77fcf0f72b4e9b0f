"""A small fleet of SSH hosts and Docker engines in one environment, with a journal whose times never change: a container that was deployed
twice and is kept warm, one that ran out of memory on one engine, a tarball beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.container import ContainerSpec, Healthcheck, Limits, PublishedPort
from quarterdeck.config.model import Commands, Health, HttpCheck, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history import clock
from quarterdeck.history.clock import boottime
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Metric, NewStep, Observation, RolloutKind, RolloutState, Sample, StepState
from quarterdeck.history.samples import SECOND
from tests.room.acme import LENA, FrozenClock, frozen_clock

IMAGE = "registry.acme.io/shop/shop"
SHOP = "production/shop"
HOSTS = {SHOP: ("box-1", "box-2"), "production/proxy": ("web-1",)}
AHEAD = 3600 * SECOND  # boot time: what is not measured yet is of this moment, whenever it is looked at
USED: dict[str, dict[Metric, float]] = {
    "box-1": {
        Metric.CONTAINER_CPU: 12.4,
        Metric.CONTAINER_MEMORY: 214 << 20,
        Metric.CONTAINER_LIMIT: 512 << 20,
        Metric.CONTAINER_RESTARTS: 0,
        Metric.CONTAINER_OUT_OF_MEMORY: 0,
        Metric.CONTAINER_RECEIVED: 9_300,
        Metric.CONTAINER_SENT: 310_000,
    },
    "box-2": {  # looked at for the first time: no share of the processor, and no rates
        Metric.CONTAINER_MEMORY: 497 << 20,
        Metric.CONTAINER_LIMIT: 512 << 20,
        Metric.CONTAINER_RESTARTS: 2,
        Metric.CONTAINER_OUT_OF_MEMORY: 1,
    },
}
OOM = ("production-shop was killed for want of memory", "the engine has restarted production-shop 2 times")


def fleet_text(state: Path) -> str:
    return f"""\
fleet: mixed
state: {state}
hosts:
  box-1: {{docker: "unix:///nowhere/box-1.sock"}}
  box-2: {{docker: "unix:///nowhere/box-2.sock"}}
  web-1: {{ssh: "deploy@127.0.0.1:1"}}
environments:
  production: {{hosts: [box-1, box-2, web-1]}}
services:
  shop:
    artifact: {{image: {IMAGE}}}
    container:
      ports: ["8080:80"]
      restart: unless-stopped
      mem_limit: 512m
    health: {{http: {{port: 8080, path: /healthz}}}}
  proxy:
    artifact: {{tarball: "/artifacts/proxy-{{version}}.tar.gz"}}
    path: /srv/proxy
    commands: {{start: bin/start, stop: bin/stop}}
"""


def shop(version: str, **keys: Any) -> Release:
    digest = (version.encode().hex() * 64)[:64]
    spec = ContainerSpec(
        "mixed",
        "shop",
        ports=(PublishedPort(80, "8080"),),
        restart="unless-stopped",
        healthcheck=Healthcheck(("CMD", "check"), interval=2.0),
        limits=Limits(memory=512 << 20),
    )
    return Release(
        SHOP,
        version,
        ResolvedArtifact(f"{IMAGE}@sha256:{digest}", digest, 48 << 20),
        "",
        Runner(),
        health=Health(http=HttpCheck(8080, "/healthz")),
        container=msgspec.structs.replace(spec, **keys),
        created_by="lena@bastion-2",
    )


def proxy(version: str) -> Release:
    artifact = ResolvedArtifact(f"/artifacts/proxy-{version}.tar.gz", (version.encode().hex() * 64)[:64], 3 << 20)
    return Release(
        "production/proxy", version, artifact, "/srv/proxy", Runner(commands=Commands("bin/start", "bin/stop"))
    )


BEFORE = shop("1.8.0", ports=(PublishedPort(80, "8081"),), limits=Limits(memory=256 << 20))
NOW_LIVE = shop("1.9.0")


def fill_mixed(state: Path) -> None:
    """Makes the journal in ``state``."""
    with frozen_clock() as frozen, Journal.open(state, operator=LENA) as journal:
        _released(journal, frozen, BEFORE, None, days=9)
        _released(journal, frozen, NOW_LIVE, BEFORE.id, days=2)
        _released(journal, frozen, proxy("v4"), None, days=30)
        frozen.ago(seconds=1)
        kept = {"kept": [BEFORE.id, NOW_LIVE.id], "warm": [BEFORE.id, NOW_LIVE.id], "detail": "the engine says healthy"}
        journal.observe(
            [
                Observation(SHOP, "box-1", clock.now(), NOW_LIVE.id, "1.9.0", "healthy", None, kept),
                Observation(
                    SHOP, "box-2", clock.now(), NOW_LIVE.id, "1.9.0", "healthy", None, kept | {"drift": list(OOM)}
                ),
                Observation(
                    "production/proxy", "web-1", clock.now(), proxy("v4").id, "v4", "healthy", None, {"kept": []}
                ),
            ]
        )
        journal.write_round([], list(_measured()))


def _measured() -> Iterator[Sample]:
    at = boottime() + AHEAD
    for host, used in USED.items():
        for metric, value in ((Metric.CPU, 31.0), (Metric.LOAD, 0.8), (Metric.MEMORY, 62.0), (Metric.DISK, 40.0)):
            yield Sample("", host, None, metric, value, clock.now(), at)
        yield Sample(SHOP, host, NOW_LIVE.id, Metric.LATENCY, 0.018, clock.now(), at)
        for metric, value in used.items():
            yield Sample(SHOP, host, NOW_LIVE.id, metric, value, clock.now(), at)


def _released(journal: Journal, frozen: FrozenClock, release: Release, before: str | None, *, days: float) -> None:
    frozen.ago(days=days)
    journal.put_release(release)
    armed = journal.arm(release.target, RolloutKind.DEPLOY, from_release=before, to_release=release.id)
    journal.set_worker(armed.id, 4000, 1, "boot")
    hosts = HOSTS[release.target]
    plan: dict[str, Any] = {"summary": "all change", "from": before, "to": release.id, "warnings": [], "hosts": []}
    journal.set_plan(armed.id, plan, "0" * 64, to_release=release.id, from_release=before)
    epoch = journal.begin(armed.id, preempt="nothing")
    steps = [NewStep(n, host, "switch", n, {"release": release.id}) for n, host in enumerate(hosts, 1)]
    journal.add_steps(armed.id, epoch, steps)
    for step in steps:
        journal.start_steps(armed.id, epoch, [step.seq])
        journal.end_step(armed.id, epoch, step.seq, StepState.DONE, {"health": "http 200", "seconds": 1.2})
    journal.set_state(armed.id, epoch, RolloutState.SUCCEEDED)
