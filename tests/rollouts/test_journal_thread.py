"""Writes of the worker: many at once are one commit, and one that is refused harms no other."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.errors import JournalError, RequestRefused
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, RolloutKind, StepState
from quarterdeck.rollouts.worker.journal_thread import JournalThread

HOSTS = 50


@pytest.fixture
def thread(tmp_path: Path) -> Iterator[JournalThread]:
    operator = current_operator()
    with (
        Journal.open(tmp_path / "state", operator=operator) as journal,
        Journal.open(tmp_path / "state", operator=operator, read_only=True) as reader,
    ):
        made = JournalThread(journal, reader)
        yield made
        made.close()


async def begun(thread: JournalThread) -> tuple[int, int]:
    """A rollout with a started step for each host, and its epoch. The thread is held by ``hold`` afterwards."""
    journal = thread.journal
    rollout = (await thread.do(journal.arm, "production/api", RolloutKind.DEPLOY, to_release="v2")).id
    epoch = await thread.do(journal.begin, rollout, preempt="nothing")
    steps = [NewStep(seq, f"web-{seq}", "switch", 0, {}) for seq in range(1, HOSTS + 1)]
    await thread.do(journal.add_steps, rollout, epoch, steps)
    await thread.do(journal.start_steps, rollout, epoch, [step.seq for step in steps])
    return rollout, epoch


async def test_hosts_that_end_a_step_at_once_are_few_commits_and_every_outcome_is_there(
    thread: JournalThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout, epoch = await begun(thread)
    journal, reader = thread.journal, thread.reader
    commits = 0
    whole = journal._transaction

    def counted(change: Callable[[], object]) -> object:
        nonlocal commits
        commits += 1
        return whole(change)

    monkeypatch.setattr(journal, "_transaction", counted)  # the one place that commits
    hold = threading.Event()
    held = asyncio.create_task(thread.do(lambda: hold.wait(10)))
    await asyncio.sleep(0)
    ends = [
        asyncio.create_task(thread.do(journal.end_step, rollout, epoch, seq, StepState.DONE, {"n": seq}))
        for seq in range(1, HOSTS + 1)
    ]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(held, *ends)
    assert {step.state for step in reader.steps(rollout)} == {StepState.DONE}
    assert [step.outcome for step in reader.steps(rollout)] == [{"n": seq} for seq in range(1, HOSTS + 1)]
    assert not verify(reader).faults
    assert commits <= 2


async def test_one_that_is_refused_has_its_error_and_the_others_are_written(thread: JournalThread) -> None:
    rollout, epoch = await begun(thread)
    journal = thread.journal
    hold = threading.Event()
    held = asyncio.create_task(thread.do(lambda: hold.wait(10)))
    await asyncio.sleep(0)
    tasks = [
        asyncio.create_task(thread.do(journal.end_step, rollout, epoch, seq, StepState.DONE, {})) for seq in (1, 999, 2)
    ]
    await asyncio.sleep(0)
    hold.set()
    await held
    first, refused, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == (None, None)
    assert isinstance(refused, RequestRefused | JournalError)
    states = {step.seq: step.state for step in thread.reader.steps(rollout)}
    assert (states[1], states[2], states[3]) == (StepState.DONE, StepState.DONE, StepState.STARTED)
