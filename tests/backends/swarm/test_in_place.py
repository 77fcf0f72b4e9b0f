"""Whether a release runs there, or was on its way there when a worker died: what was good is gone back to without a gate."""

from typing import Any

import pytest

from quarterdeck.backends.hosts.docker.names import NAME, RELEASE
from quarterdeck.backends.hosts.docker.register import State
from quarterdeck.backends.hosts.swarm import spec
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, Task
from quarterdeck.backends.hosts.swarm.register import Reading
from quarterdeck.backends.hosts.swarm.switching import is_in_place
from quarterdeck.config.container import Pace
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact

V1 = Release("test/web", "v1", ResolvedArtifact("registry.acme.io/web@sha256:" + "a" * 64, "a" * 64), "", Runner())
HELD = spec.pace(Pace(), "start-first", delay=spec.HOLD)
FREE = spec.pace(Pace(parallelism=0), "stop-first")


def task(release: str, wanted: str = "running") -> Task:
    return Task(release, "s1", 1, "n1", "running", wanted, "", {}, release, "", "", None, "", "")


@pytest.mark.parametrize(
    ("release", "update", "config", "tasks", "there"),
    [
        (V1.id, "completed", FREE, [task(V1.id)], True),
        (V1.id, "", FREE, [task(V1.id), task("v2-b", "shutdown")], True),
        (V1.id, "updating", HELD, [task(V1.id)], True),  # a restart, part by part
        (V1.id, "updating", HELD, [task(V1.id), task("v2-b")], False),
        (V1.id, "updating", FREE, [task(V1.id)], False),  # all at once: no old one is wanted any more
        (V1.id, "updating", FREE, [task(V1.id), task("v2-b")], False),
        ("v2-b", "completed", FREE, [task("v2-b")], False),
    ],
)
def test_in_place(release: str, update: str, config: dict[str, Any], tasks: list[Task], there: bool) -> None:
    labels = {NAME: "test-web", RELEASE: release}
    fixed = Service("s1", 7, "test-web", labels, {"Labels": labels, "UpdateConfig": config}, update, "")
    assert is_in_place(Seen(State(), Reading(), (fixed,), tuple(tasks)), fixed, V1) is there
