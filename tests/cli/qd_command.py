"""Runs the real ``qd`` as a process of its own, and a fleet file with a journal that is filled through the Journal's own interface."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarterdeck.config.model import Commands, ConfigFile, Health, HttpCheck, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Observation, Operator, RolloutKind, RolloutState, StepState
from quarterdeck.tui.main import main

DEADLINE = 60.0
OPERATOR = Operator("alice", 1000, None, "bastion-2")
EVIL = "\x1b]52;c;aGk=\x07\x1b[31mred\x9b2J\u202eback"  # clipboard, colour, C1 erase, direction

FLEET = """\
fleet: acme
state: {state}
hosts:
  stg-1: {{ssh: "deploy@127.0.0.1:1"}}
  web-1: {{ssh: "deploy@127.0.0.1:2"}}
  web-2: {{ssh: "deploy@127.0.0.1:3"}}
environments:
  staging: {{hosts: [stg-1]}}
  production: {{hosts: [web-1, web-2], after: staging}}
services:
  api:
    artifact: {{tarball: "{artifacts}/api-{{version}}.tar.gz"}}
    path: /srv/api
    commands: {{start: bin/start, stop: bin/stop}}
  web:
    artifact: {{tarball: "{artifacts}/web-{{version}}.tar.gz"}}
    path: /srv/web
    commands: {{start: bin/start, stop: bin/stop}}
"""


@dataclass
class Qd:
    """``directory`` is the working directory and, below it, everything that qd could find or write."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def fleet_file(self) -> Path:
        return self.directory / "fleet.yml"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("QD_", "XDG_", "NO_COLOR", "TERM", "SSH_"))
        }
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return (
            kept
            # A control room on hosts that can't be reached would soon show nothing else: a test that wants that takes it out.
            | {"HOME": str(home), "XDG_STATE_HOME": str(self.directory / "xdg"), "QD_CACHED": "1"}
            | {"QD_PLAYGROUND_ENGINE": "no"}
            | self.environment
            | dict(extra or {})
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "quarterdeck.tui.main", *arguments]

    def __call__(
        self,
        *arguments: str,
        status: int | None = 0,
        environment: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it without a terminal. ``status``: what it must end with, None: whatever."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environ(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, (
                f"qd {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def inside(
        self, *arguments: str, status: int | None = 0, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The same without a process of its own, where a second of starting Python a hundred times would be all that is tested."""
        out, error = io.StringIO(), io.StringIO()
        before, here, standard_input = dict(os.environ), os.getcwd(), sys.stdin
        try:
            os.chdir(self.directory)
            os.environ.clear()
            os.environ.update(self.environ(environment))
            sys.stdin = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                ended = int(main(arguments))
        finally:
            sys.stdin = standard_input
            os.environ.clear()
            os.environ.update(before)
            os.chdir(here)
        if status is not None:
            assert ended == status, f"qd {' '.join(arguments)}: exit {ended}\n{out.getvalue()}\n{error.getvalue()}"
        return subprocess.CompletedProcess(arguments, ended, out.getvalue(), error.getvalue())

    def json(self, *arguments: str, status: int = 0) -> Any:
        """The one document that ``--json`` prints."""
        return json.loads(self.inside(*arguments, "--json", status=status).stdout)

    def write_fleet(self) -> None:
        self.fleet_file.write_text(FLEET.format(state=self.state, artifacts=self.directory / "artifacts"))

    def journal(self) -> Journal:
        return Journal.open(self.state, operator=OPERATOR)


def release(
    version: str, *, target: str = "production/api", greeting: str = "hello", config: str = "level: info\n"
) -> Release:
    return Release(
        target=target,
        version=version,
        artifact=ResolvedArtifact(f"/artifacts/api-{version}.tar.gz", (version.encode().hex() * 64)[:64]),
        path="/srv/api",
        runner=Runner(commands=Commands("bin/start", "bin/stop")),
        env={"GREETING": greeting, "PORT": "8080"},
        files=(ConfigFile("etc/api.yml", config),),
        secrets={"TOKEN": SecretRecord(SecretReference("env", "API_TOKEN"), f"{'00' * 16}:{'11' * 32}")},
        health=Health(http=HttpCheck(8080, "/healthz")),
        created="2026-11-23T10:00:00.000Z",
        created_by="alice@bastion-2",
    )


def fill(journal: Journal) -> dict[str, str]:
    """Two good releases of production/api, a third that was taken back, a paused rollout of production/web. Ids by version."""
    ids = {}
    before = None
    for version, ends in (("v1", "succeeded"), ("v2", "succeeded"), ("v3", "rolled_back")):
        made = release(version, greeting=f"hello from {version}", config=f"level: {version}\nport: 1\n")
        ids[version] = journal.put_release(made)
        rollout = journal.arm(
            "production/api",
            RolloutKind.DEPLOY,
            from_release=before,
            to_release=made.id,
            reason=f"ticket {version} {EVIL}",
        )
        plan: dict[str, Any] = {"summary": "2 of 2 hosts change", "from": before, "to": made.id, "warnings": []}
        journal.set_plan(rollout.id, plan, "0" * 64, to_release=made.id, from_release=before)
        epoch = journal.begin(rollout.id, preempt="nothing")
        journal.add_steps(
            rollout.id, epoch, [NewStep(n, f"web-{n}", "switch", 1, {"release": made.id}) for n in (1, 2)]
        )
        journal.start_steps(rollout.id, epoch, [1, 2])
        journal.end_step(rollout.id, epoch, 1, StepState.DONE, {"health": "http 200", "seconds": 0.25})
        good = ends == "succeeded"
        journal.end_step(
            rollout.id,
            epoch,
            2,
            StepState.DONE if good else StepState.FAILED,
            {"health": "http 200"} if good else {"error": f"web-2: http 500 {EVIL}"},
        )
        journal.set_state(rollout.id, epoch, RolloutState(ends), outcome="" if good else f"web-2: http 500 {EVIL}")
        if good:
            before = made.id
        else:
            journal.judge(made.id, "bad", "web-2: http 500", rollout.id)
    seen = "2026-11-23T11:00:00.000Z"
    journal.observe(
        [
            Observation(
                "production/api", "web-1", seen, ids["v2"], "v2", "healthy", None, {"kept": [ids["v1"], ids["v2"]]}
            ),
            Observation(
                "production/api", "web-2", seen, ids["v1"], "v1", "unknown", f"no answer {EVIL}", {"kept": [ids["v1"]]}
            ),
        ]
    )
    web = journal.put_release(release("v9", target="production/web"))
    paused = journal.arm("production/web", RolloutKind.DEPLOY, to_release=web)
    epoch = journal.begin(paused.id, preempt="nothing")
    journal.set_state(paused.id, epoch, RolloutState.PAUSED, outcome="an operator said so")
    return ids
