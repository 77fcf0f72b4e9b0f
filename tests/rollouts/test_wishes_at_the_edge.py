"""Wishes that come in the last instant: before the beginning, before success. Each is heard or refused, none stays open."""

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import Request, RolloutKind, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.worker import session, waves, wishes
from quarterdeck.rollouts.worker.crew import Crew, Known
from tests.field import TARGET, Field
from tests.sshd import wait_for
from tests.trust.test_03_stale_worker import stop_outside_the_journal

pytestmark = pytest.mark.sshd


def asked(field: Field, rollout: int, kind: str) -> Request:
    with field.journal() as journal:
        return Control(field.fleet(), journal, current_operator()).ask(rollout, kind)


def answer(field: Field, request: Request) -> Request:
    with field.journal(read_only=True) as journal:
        assert journal.open_requests(request.rollout) == []
        return journal.request(request.id)


async def carried_out(field: Field, rollout: int) -> None:
    """What the worker's process does, in this one."""
    fleet = field.fleet()
    backend = Hosts.of(fleet)
    crew = Crew(backend, [Known(host.name, host.ssh) for host in fleet.targets[TARGET].hosts])
    crew.connect_all()
    assert await session.run(field.state, rollout, backend, crew) == 0


def test_a_cancel_between_the_go_and_the_beginning_wins(field: Field) -> None:
    field.deploy("v1")
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        rollout = control.arm_rollback(TARGET, to="v1").id
        wait_for(lambda: journal.rollout(rollout).plan is not None, "it is armed")
        worker = field.worker_pid(rollout)
        stop_outside_the_journal(field, worker)  # so that it finds both wishes at once, the go first
        try:
            go, cancel = control.go(rollout), control.cancel(rollout)
        finally:
            os.kill(worker, signal.SIGCONT)
    ended = field.ended(rollout)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0), ended.outcome
    assert answer(field, cancel).state == "done"
    assert answer(field, go).state == "refused"


@pytest.mark.parametrize("when", ["before the last look", "after it"])
def test_an_abort_in_the_last_instant_is_done_or_refused(
    field: Field, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    field.deploy("v1")
    if when == "before the last look":
        monkeypatch.setattr(wishes, "CALM", 60.0)  # the worker does not hear it on its own any more
    with field.journal() as journal:
        options = dict(journal.rollouts(TARGET, limit=1)[0].options) | {"version": "v2"}
        rollout = journal.arm(TARGET, RolloutKind.DEPLOY, options=options).id
    requests: list[Request] = []

    def switched() -> None:
        requests.append(asked(field, rollout, "abort"))

    carry_out, finished = waves.Waves.carry_out, session.Session._finished

    async def then_abort(self: waves.Waves, *arguments: Any, **more: Any) -> None:
        await carry_out(self, *arguments, **more)
        if not requests:
            switched()

    async def abort_then(self: session.Session, *arguments: Any) -> None:
        switched()
        await finished(self, *arguments)

    if when == "before the last look":
        monkeypatch.setattr(waves.Waves, "carry_out", then_abort)
    else:
        monkeypatch.setattr(session.Session, "_finished", abort_then)
    worker = threading.Thread(target=lambda: asyncio.run(carried_out(field, rollout)))
    worker.start()
    worker.join(60)
    assert not worker.is_alive()
    told = answer(field, requests[0])
    with field.journal(read_only=True) as journal:
        state = journal.rollout(rollout).state
    if when == "before the last look":
        assert (state, told.state) == (RolloutState.ROLLED_BACK, "done")
        assert field.running() == ["v1"] * len(field.hosts)
    else:
        assert (state, told.state) == (RolloutState.SUCCEEDED, "refused")
        assert f"qd rollback {TARGET}" in told.answer
        assert field.running() == ["v2"] * len(field.hosts)
