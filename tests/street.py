"""A fleet of several services in one environment on one host, each of which begins to move when its gate is opened: for who has to wait."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import Rollout, RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import HEALTH, START, Field
from tests.sshd import wait_for

SERVICES = ("api", "web", "worker", "mail")


class Street:
    def __init__(self, field: Field) -> None:
        self.field = field
        self.declare(max_parallel=1)

    def declare(self, strategy: str = "rolling", **environment: Any) -> None:
        tarball = f"{self.field.directory}/artifacts/web-{{version}}.tar.gz"

        def service(name: str) -> dict[str, Any]:
            gate = f"until test -e {self.gate(name)}; do sleep 0.05; done"
            return {
                "artifact": {"tarball": tarball, "sha256": f"{tarball}.sha256"},
                "path": f"~/srv/{name}",
                "commands": {"start": START, "stop": "rm -f ../../running", "status": "test -s ../../running"},
                "health": HEALTH,
                "hooks": {"before": [{"run": gate, "where": "here"}]},
                "strategy": strategy,
            }

        self.field.extra["environments"] = {"staging": {"hosts": [self.field.hosts[0].name], **environment}}
        self.field.extra["services"] = {name: service(name) for name in SERVICES}
        self.field.write()

    def gate(self, service: str) -> Path:
        return self.field.directory / f"gate-{service}"

    def open(self, *services: str) -> None:
        for service in services:
            self.gate(service).touch()

    def ask(self, service: str, version: str = "v1", **options: Any) -> int:
        with self.field.journal() as journal:
            control = Control(self.field.fleet(), journal, current_operator())
            return control.arm_deploy(f"staging/{service}", version, detached_go=True, **options).id

    def begun(self, service: str, version: str = "v1") -> int:
        rollout = self.ask(service, version)
        self.field.in_state(rollout, RolloutState.RUNNING)
        return rollout

    def waiting(self, service: str, version: str = "v1", **options: Any) -> int:
        rollout = self.ask(service, version, **options)
        self.waits(rollout)
        return rollout

    def waits(self, rollout: int) -> Rollout:
        return self.field.until(rollout, lambda now: now.outcome.startswith("waits for its turn"))

    def done(self, rollout: int) -> None:
        assert self.field.ended(rollout).state is RolloutState.SUCCEEDED

    def state(self, rollout: int) -> RolloutState:
        with self.field.journal(read_only=True) as journal:
            return journal.rollout(rollout).state

    def runs(self, service: str) -> str | None:
        path = self.field.home(self.field.hosts[0]) / service / "running"
        return path.read_text().strip().rpartition("-")[0] if path.exists() else None

    def leave(self) -> None:
        """Ends the workers of what a test that failed has left: in a queue they would wait for ever."""
        with self.field.journal(read_only=True) as journal:
            left = [one for one in journal.living() if lock_is_held(self.field.state, one.id)]
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                self.field.kill_worker(one.id)

    def unheard_of(self, rollout: int, nanoseconds: int) -> None:
        """Its worker is killed, and nobody has heard of it for so long."""
        self.field.kill_worker(rollout)
        wait_for(lambda: not lock_is_held(self.field.state, rollout), "its worker to be gone", 10)
        with self.field.journal() as journal:
            change = "UPDATE worker SET heartbeat = heartbeat - ? WHERE rollout = ?"
            journal._connection.execute(change, (nanoseconds, rollout))


def street_on(field: Field) -> Iterator[Street]:
    """For a fixture."""
    made = Street(field)
    yield made
    if field.state.exists():
        made.leave()
