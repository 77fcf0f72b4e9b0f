"""A field whose services have a feature flag: in a file of flag definitions on its first two hosts, unless a test says otherwise."""

import json
from typing import Any

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import StepState
from quarterdeck.rollouts.control import Control
from tests.field import Field
from tests.sshd import wait_for

UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}
OTHER = '"other": {"state": "ENABLED", "variants": {"a": 1.0}, "defaultVariant": "a"}'
DEFINITIONS = """{"flags": {OTHER,
 "new": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}
""".replace("OTHER", OTHER)


class Flagged:
    """A field whose flag `checkout` is in a file on its first two hosts. It is written before v1 runs."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.files = [host.directory / "home" / "flags.json" for host in field.hosts.hosts[:2]]
        for file in self.files:
            file.write_text(DEFINITIONS)
        names = [host.name for host in field.hosts.hosts[:2]]
        flagd = {"hosts": names, "file": "~/flags.json", "flag": "new"}
        field.extra = {"flags": {"checkout": {"flagd": flagd}}}
        field.write()
        field.deploy("v1")

    def begin(self, *steps: dict[str, Any], version: str = "v2", **keys: Any) -> int:
        self.strategy(*steps, **keys)
        return self.field.begin("deploy", version)

    def strategy(self, *steps: dict[str, Any], service: dict[str, Any] | None = None, **keys: Any) -> None:
        flag = {"use": "checkout", "steps": list(steps), "max_unavailable": "100%", **keys}
        self.field.write(strategy={"flag": flag}, **(service or {}))

    def measure(self, *metrics: dict[str, Any]) -> None:
        self.field.extra["analyses"] = {"guard": list(metrics)}

    @property
    def percent(self) -> float | str:
        """What the files themselves say."""
        found = {json.dumps(json.loads(file.read_text())["flags"]["new"].get("targeting")) for file in self.files}
        if len(found) > 1:
            return "differ"
        targeting = json.loads(found.pop())
        return float(targeting["fractional"][0][1]) if targeting else 0.0

    def by_hand(self, percent: int) -> None:
        for file in self.files:
            whole = json.loads(file.read_text())
            share = {"fractional": [["on", percent], ["off", 100 - percent]]}
            whole["flags"]["new"] |= {"targeting": share, "defaultVariant": "off"}
            file.write_text(json.dumps(whole))

    def sets(self, rollout: int) -> list[tuple[float, float]]:
        with self.field.journal(read_only=True) as journal:
            events = journal.events(rollout=rollout, kind="flag.set", limit=100)
        return [(event.body["before"]["percent"], event.body["after"]["percent"]) for event in events]

    def waiting(self, rollout: int, action: str, nth: int = 1) -> None:
        def reached(journal: Journal) -> bool:
            seen = [s for s in journal.steps(rollout) if s.action == action and s.state is not StepState.PENDING]
            return len(seen) == nth and seen[-1].state is StepState.STARTED

        self.field.watch(reached, f"{action} {nth} of rollout {rollout}", 40)

    def resume(self, rollout: int) -> None:
        with self.field.journal() as journal:
            Control(self.field.fleet(), journal, current_operator()).resume(rollout)

    def new_worker(self, rollout: int) -> None:
        self.field.kill_worker(rollout)
        wait_for(lambda: not lock_is_held(self.field.state, rollout), "the worker is gone", 15)
        self.resume(rollout)


def metric(run: str, **keys: Any) -> dict[str, Any]:
    return {"name": "errors", "metric": {"command": run}, "interval": "200ms", **keys}
