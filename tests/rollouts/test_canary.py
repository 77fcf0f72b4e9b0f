"""A canary by the share of hosts, on real hosts: it stands where its steps say, goes on when somebody promotes, and is taken back when it
does not hold."""

import json
import re
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.plans.plan import BASTION
from quarterdeck.rollouts.promoting import is_held, waits_in
from quarterdeck.rollouts.refusals import Refused
from tests.field import TARGET, Field
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

GATED = {"command": "test ! -e ../../sick", "interval": "1s", "healthy_deadline": "1s"}
UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}


def begin(field: Field, *steps: dict[str, Any], **service: Any) -> int:
    """v1 everywhere, and a deploy of v2 by these steps under way."""
    field.deploy("v1")
    field.write(strategy={"canary": {"steps": list(steps), "max_unavailable": "100%"}}, **service)
    return field.begin("deploy", "v2")


def waiting(field: Field, rollout: int, action: str, nth: int = 1) -> None:
    """Until it is in its nth step of this kind."""

    def reached(journal: Journal) -> bool:
        seen = [s for s in journal.steps(rollout) if s.action == action and s.state is not StepState.PENDING]
        return len(seen) == nth and seen[-1].state is StepState.STARTED

    field.watch(reached, f"{action} {nth} of rollout {rollout}")


def versions(field: Field) -> dict[str | None, int]:
    running = field.running()
    return {version: running.count(version) for version in running}


def new_worker(field: Field, rollout: int) -> None:
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")


def test_step_after_step_to_the_end(field: Field) -> None:
    steps = (
        {"set_weight": 5},
        UNTIL_PROMOTED,
        {"set_weight": 60},
        {"pause": "1s"},
        {"set_weight": 100},
        {"bake": "1s"},
    )
    rollout = begin(field, *steps)
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert stands.outcome == f"waits at 5 % (1 of 5 hosts), until somebody promotes: qd promote {rollout}"
    assert versions(field) == {"v2": 1, "v1": 4}

    assert f"qd promote {rollout}" in field.qd("resume", str(rollout), status=5).stderr
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        step = waits_in(journal.steps(rollout))
        assert step is not None
        asked = control.ask(rollout, "skip")
        wait_for(lambda: journal.request(asked.id).state == "refused", "skip is another word")
        late = control.ask(rollout, "promote", step=step.seq - 1)
        wait_for(lambda: journal.request(late.id).state == "refused", "a promotion of another step is refused")
    assert versions(field) == {"v2": 1, "v1": 4}

    done = field.qd("promote", str(rollout), "--wait", "--json", "--reason", "looks well", status=0)
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert versions(field) == {"v2": 5}
    with field.journal(read_only=True) as journal:
        states = [event.body["to"] for event in reversed(journal.events(rollout=rollout, kind="state", limit=100))]
        assert [s for s in ("paused", "running", "baking", "succeeded") if s in states] == [
            "paused",
            "running",
            "baking",
            "succeeded",
        ]
        order = [step.action for step in journal.steps(rollout) if step.host in (BASTION, field.hosts[4].name)]
        assert order == ["stage", "pause", "pause", "switch", "bake", "verify", "finish"]
        moved = {step.host: step.body["weight"] for step in journal.steps(rollout) if step.action == "switch"}
        assert sorted(moved.values()) == [5, 60, 60, 100, 100]


@pytest.mark.parametrize(
    "steps",
    [
        ({"set_weight": 5}, UNTIL_PROMOTED),
        ({"set_weight": 5}, {"pause": "1h"}),
        ({"set_weight": 100}, {"bake": "1h"}),
    ],
    ids=["until promoted", "for a time", "bake"],
)
def test_abort_wins_wherever_it_waits(field: Field, steps: tuple[dict[str, Any], ...]) -> None:
    rollout = begin(field, *steps)
    waiting(field, rollout, str(next(iter(steps[-1]))))
    field.qd("abort", str(rollout), "--wait", status=3)
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert versions(field) == {"v1": 5}


@pytest.mark.parametrize(
    "steps", [({"set_weight": 20}, UNTIL_PROMOTED), ({"set_weight": 100}, {"bake": "1h"})], ids=["canary", "bake"]
)
def test_a_release_that_does_not_hold_is_taken_back_while_it_waits(
    field: Field, steps: tuple[dict[str, Any], ...]
) -> None:
    rollout = begin(field, *steps, health=GATED)
    waiting(field, rollout, str(next(iter(steps[-1]))))
    sick = field.hosts[0]
    (field.home(sick) / "sick").touch()
    ended = field.until(rollout, lambda now: now.state is RolloutState.ROLLING_BACK or bool(now.ended))
    (field.home(sick) / "sick").unlink()
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert f"{sick.name}: v2 does not hold" in ended.outcome
    assert versions(field) == {"v1": 5}
    with field.journal(read_only=True) as journal:
        assert next(row.verdict for row in journal.releases(TARGET) if row.release.version == "v2") == "bad"


def test_a_new_worker_waits_where_the_old_one_did(field: Field) -> None:
    rollout = begin(field, {"set_weight": 20}, UNTIL_PROMOTED, {"set_weight": 100}, {"bake": "8s"})
    field.in_state(rollout, RolloutState.PAUSED)
    new_worker(field, rollout)
    with field.journal() as journal:  # the promotion itself brings the new worker
        Control(field.fleet(), journal, current_operator()).promote(rollout)
    field.in_state(rollout, RolloutState.BAKING)
    waiting(field, rollout, "bake")
    new_worker(field, rollout)
    listed = field.qd("rollouts", "--active", status=0).stdout
    assert f"{rollout} its worker (process " in listed, "what to do about it is where one looks first"
    assert f"its worker died: first qd resume {rollout}" in field.qd("promote", str(rollout), status=5).stderr
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).resume(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert versions(field) == {"v2": 5}
    with field.journal(read_only=True) as journal:
        ends = journal.events(rollout=rollout, kind="pause.until", limit=100)
        assert len(ends) == 1, "the second worker has waited for what was left, not for all of it again"


def test_promoted_in_full_no_pause_stops_it(field: Field) -> None:
    rollout = begin(field, {"set_weight": 20}, UNTIL_PROMOTED, {"set_weight": 40}, UNTIL_PROMOTED, {"set_weight": 60})
    field.in_state(rollout, RolloutState.PAUSED)
    field.qd("promote", str(rollout), "--full", "--wait", status=0)
    assert versions(field) == {"v2": 5}
    with field.journal(read_only=True) as journal:
        pauses = [step.state for step in journal.steps(rollout) if step.action == "pause"]
        assert pauses == [StepState.DONE, StepState.SKIPPED]


def test_a_pause_with_a_time_is_held_at_once_and_ended_by_a_promotion(field: Field) -> None:
    rollout = begin(field, {"set_weight": 20}, {"pause": "1h"})
    waiting(field, rollout, "pause")
    assert re.search(r"\b(1h00m|59m\d\ds) left\b", field.qd("show", str(rollout), status=0).stdout)
    assert "its time runs on; it is paused" in field.qd("pause", str(rollout), status=0).stdout
    assert ", running;" in field.qd("resume", str(rollout), "--detach", status=0).stdout, "as it is afterwards"
    assert versions(field) == {"v2": 1, "v1": 4}
    field.qd("promote", str(rollout), "--wait", status=0)
    assert versions(field) == {"v2": 5}


def test_a_command_between_two_weights_decides_and_is_undone(field: Field) -> None:
    ran = field.directory / "ran"
    smoke = {"run": f"echo $QD_VERSION >> {ran}; false", "where": "here", "on_rollback": f"echo back >> {ran}"}
    rollout = begin(field, {"set_weight": 20}, {"run": smoke}, {"set_weight": 100})
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert ran.read_text().split() == ["v2", "back"]
    assert versions(field) == {"v1": 5}


def test_what_does_not_wait_is_not_promoted(field: Field) -> None:
    rollout = begin(field, {"set_weight": 20}, {"pause": "1h"})
    waiting(field, rollout, "pause")
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        control.ask(rollout, "pause", arguments={"reason": "INC-82"})
        held = field.in_state(rollout, RolloutState.PAUSED)
        assert held.outcome.endswith(", because: INC-82")
        assert is_held(held)
        assert f"because: INC-82; qd resume {rollout}, or" in field.qd("rollouts", "--active", status=0).stdout
        for full in (False, True):
            with pytest.raises(Refused, match=f"is held .* let it go on first: qd resume {rollout}"):
                control.promote(rollout, full=full)
        late = control.ask(rollout, "promote")  # on its way when it was held
        wait_for(lambda: journal.request(late.id).state == "refused", "the late promotion to be answered")
        control.ask(rollout, "abort")
        assert field.ended(rollout).state is RolloutState.ROLLED_BACK
        with pytest.raises(Refused, match="has ended"):
            control.promote(rollout)
        with pytest.raises(Refused, match="has ended"):
            control.promote(rollout, full=True)


def test_a_first_release_that_can_not_be_taken_back_names_a_way_that_is_there(field: Field) -> None:
    """`qd rollback` would be refused: there is nothing to go to."""
    field.write(
        commands={"start": 'echo "$QD_RELEASE" > ../../running', "stop": "false", "status": "test -s ../../running"},
        strategy={"canary": {"steps": [{"set_weight": 10}, UNTIL_PROMOTED]}},
    )
    rollout = field.begin("deploy", "v1")
    waiting(field, rollout, "pause")
    failed = field.qd("abort", str(rollout), status=4)
    assert f"To finish: qd deploy {TARGET} VERSION" in failed.stdout + failed.stderr
    assert "qd rollback" not in failed.stdout + failed.stderr
