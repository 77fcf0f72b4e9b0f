"""A small fleet with a Swarm in it, and a journal whose times never change: a service of six tasks of which one waits as its node went
down, one on each node while an update of it is under way, one that is well, and a tarball on an SSH host beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quarterdeck.config.container import ContainerSpec, Deploy
from quarterdeck.config.model import Commands, Health, HttpCheck, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history import clock
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Observation, RolloutKind, RolloutState, StepState
from tests.room.acme import LENA, FrozenClock, frozen_clock

SWARM = "swarm-eu"
SHOP, CART, AGENT, PROXY = "production/shop", "production/cart", "production/agent", "production/proxy"
HOSTS = {SHOP: SWARM, CART: SWARM, AGENT: SWARM, PROXY: "web-1"}
NO_NODE = "no suitable node (insufficient resources on 3 nodes)"


def fleet_text(state: Path) -> str:
    return f"""\
fleet: swarmed
state: {state}
hosts:
  {SWARM}: {{swarm: "unix:///nowhere/node-1.sock"}}
  web-1: {{ssh: "deploy@127.0.0.1:1"}}
environments:
  production: {{hosts: [{SWARM}, web-1]}}
services:
  shop:
    artifact: {{image: registry.acme.io/shop/shop}}
    container: {{deploy: {{replicas: 6}}}}
    health: {{http: {{port: 8080, path: /healthz}}}}
  cart:
    artifact: {{image: registry.acme.io/shop/cart}}
    container: {{deploy: {{replicas: 2}}}}
  agent:
    artifact: {{image: registry.acme.io/shop/agent}}
    container: {{deploy: {{mode: global}}}}
  proxy:
    artifact: {{tarball: "/artifacts/proxy-{{version}}.tar.gz"}}
    path: /srv/proxy
    commands: {{start: bin/start, stop: bin/stop}}
"""


def of_image(target: str, version: str, **deploy: Any) -> Release:
    service = target.partition("/")[2]
    digest = (version.encode().hex() * 64)[:64]
    return Release(
        target,
        version,
        ResolvedArtifact(f"registry.acme.io/shop/{service}@sha256:{digest}", digest, 48 << 20),
        "",
        Runner(),
        health=Health(http=HttpCheck(8080, "/healthz")) if target == SHOP else None,
        container=ContainerSpec("swarmed", service, deploy=Deploy(**deploy)),
        created_by="lena@bastion-2",
    )


def proxy(version: str) -> Release:
    artifact = ResolvedArtifact(f"/artifacts/proxy-{version}.tar.gz", (version.encode().hex() * 64)[:64], 3 << 20)
    return Release(PROXY, version, artifact, "/srv/proxy", Runner(commands=Commands("bin/start", "bin/stop")))


SHOP_BEFORE, SHOP_NOW = of_image(SHOP, "1.8.0", replicas=6), of_image(SHOP, "1.9.0", replicas=6)
CART_BEFORE, CART_NOW = of_image(CART, "v6", replicas=2), of_image(CART, "v7", replicas=2)
AGENT_NOW, AGENT_NEXT = of_image(AGENT, "v3", mode="global"), of_image(AGENT, "v4", mode="global")
NODES = [
    {"hostname": "node-1", "state": "ready", "availability": "active", "manager": True, "leader": True},
    {"hostname": "node-2", "state": "ready", "availability": "active", "manager": True, "leader": False},
    {"hostname": "node-3", "state": "down", "availability": "active", "manager": True, "leader": False},
    {"hostname": "node-4", "state": "ready", "availability": "drain", "manager": False, "leader": False},
]
Told = tuple[int, str, Release, str]
"""Of a task: its slot, its node, of which release, its state."""


def told(tasks: Sequence[Told], *, replicas: int = 0, unfetched: Sequence[str] = (), **odd: Mapping[str, Any]) -> Any:
    """What is observed of a Swarm. ``odd``: by ``t1``, ``t2``, … what is different about that task."""
    return {
        "tasks": [
            {
                "id": f"t{number}",
                "slot": slot,
                "node": node,
                "release": release.id,
                "state": state,
                "said": "",
                "wanted": True,
            }
            | dict(odd.get(f"t{number}", {}))
            for number, (slot, node, release, state) in enumerate(tasks, 1)
        ],
        "nodes": NODES,
        "replicas": replicas,
        "unfetched": list(unfetched),
    }


OF_SHOP = told(
    [
        (1, "node-1", SHOP_NOW, "running"),
        (2, "node-2", SHOP_NOW, "running"),
        (3, "node-1", SHOP_NOW, "running"),
        (4, "", SHOP_NOW, "pending"),
        (4, "node-3", SHOP_NOW, "running"),
        (5, "node-2", SHOP_NOW, "running"),
        (6, "node-1", SHOP_NOW, "running"),
    ],
    replicas=6,
    t4={"said": NO_NODE},
    t5={"wanted": False},
)
OF_CART = told(
    [(1, "node-1", CART_NOW, "running"), (2, "node-2", CART_NOW, "running")], replicas=2, unfetched=[CART_BEFORE.id]
)
OF_AGENT = told(
    [
        (0, "node-1", AGENT_NEXT, "running"),
        (0, "node-2", AGENT_NEXT, "preparing"),
        (0, "node-2", AGENT_NOW, "running"),
    ],
    t3={"wanted": False},
)


def fill_swarmed(state: Path) -> None:
    """Makes the journal in ``state``."""
    with frozen_clock() as frozen, Journal.open(state, operator=LENA) as journal:
        _released(journal, frozen, SHOP_BEFORE, None, days=9)
        _released(journal, frozen, SHOP_NOW, SHOP_BEFORE.id, days=2)
        _released(journal, frozen, CART_BEFORE, None, days=8)
        _released(journal, frozen, CART_NOW, CART_BEFORE.id, days=3)
        _released(journal, frozen, AGENT_NOW, None, days=20)
        _released(journal, frozen, proxy("v4"), None, days=30)
        frozen.ago(seconds=41)
        _begun(journal, AGENT_NEXT, AGENT_NOW.id)
        frozen.ago(seconds=1)
        short = f"5 of 6 tasks of production-shop run: one is pending, {NO_NODE}"
        journal.observe(
            [
                _seen(SHOP, SHOP_NOW, "unhealthy", OF_SHOP, [SHOP_BEFORE.id, SHOP_NOW.id], short, drift=[short]),
                _seen(CART, CART_NOW, "healthy", OF_CART, [CART_NOW.id], "2 tasks: http 200 from :8080/healthz"),
                _seen(
                    AGENT, AGENT_NOW, "unknown", OF_AGENT, [AGENT_NOW.id], "an update is under way: 1 of 2 tasks run"
                ),
                Observation(PROXY, "web-1", clock.now(), proxy("v4").id, "v4", "healthy", None, {"kept": []}),
            ]
        )


def _seen(
    target: str, release: Release, health: str, swarm: Any, kept: Sequence[str], detail: str, **more: Any
) -> Observation:
    body = {"kept": list(kept), "detail": detail, "swarm": swarm, **more}
    return Observation(target, SWARM, clock.now(), release.id, release.version, health, None, body)


def _released(journal: Journal, frozen: FrozenClock, release: Release, before: str | None, *, days: float) -> None:
    frozen.ago(days=days)
    rollout, epoch = _begun(journal, release, before)
    journal.end_step(rollout, epoch, 1, StepState.DONE, {"health": "http 200", "seconds": 1.2})
    journal.set_state(rollout, epoch, RolloutState.SUCCEEDED)


def _begun(journal: Journal, release: Release, before: str | None) -> tuple[int, int]:
    """A deploy whose only step has begun: its number and its epoch."""
    journal.put_release(release)
    armed = journal.arm(release.target, RolloutKind.DEPLOY, from_release=before, to_release=release.id)
    journal.set_worker(armed.id, 4000, 1, "boot")
    host = HOSTS[release.target]
    hosts = [{"host": host, "current": before, "error": None, "swarm": host == SWARM}]
    plan: dict[str, Any] = {"summary": "all change", "from": before, "to": release.id, "warnings": [], "hosts": hosts}
    journal.set_plan(armed.id, plan, "0" * 64, to_release=release.id, from_release=before)
    epoch = journal.begin(armed.id, preempt="nothing")
    journal.add_steps(armed.id, epoch, [NewStep(1, host, "switch", 1, {"release": release.id})])
    journal.start_steps(armed.id, epoch, [1])
    return armed.id, epoch
