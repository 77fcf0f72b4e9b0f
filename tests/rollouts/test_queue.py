"""No more than so many deploys at once in an environment: others wait for their turn, in order, and a rollback never. On real hosts."""

import json
from collections.abc import Iterator

import pytest

from quarterdeck.history.approvals import seconds_left
from quarterdeck.history.identity import current_operator
from quarterdeck.history.queueing import HEARD_OF
from quarterdeck.history.records import Operator, RolloutState
from quarterdeck.rollouts.approving import reject
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.worker.waiting_for_a_turn import FORGOTTEN
from tests.field import Field
from tests.rollouts.test_approvals import MAYA, as_operator, say
from tests.sshd import wait_for
from tests.street import SERVICES, Street, street_on

pytestmark = pytest.mark.sshd

SECOND = 1_000_000_000


@pytest.fixture
def street(field: Field) -> Iterator[Street]:
    yield from street_on(field)


def test_of_two_that_come_at_once_one_begins_and_the_other_follows_it(street: Street) -> None:
    field = street.field
    pair = {service: street.ask(service) for service in ("api", "web")}
    states = (RolloutState.RUNNING, RolloutState.QUEUED)
    for rollout in pair.values():
        field.until(rollout, lambda now: now.state in states and (now.epoch > 0 or "its turn" in now.outcome))
    found = {street.state(rollout): (service, rollout) for service, rollout in pair.items()}
    assert set(found) == set(states)
    (first, first_id), (second, second_id) = found[RolloutState.RUNNING], found[RolloutState.QUEUED]
    me = current_operator().person
    expected = f"waits for its turn: 1 of 1 under way in staging: {first_id} ({first} v1, by {me})"
    third_id = street.waiting("worker")
    assert field.until(second_id, lambda now: True).outcome == expected
    named = f"{expected}; 1 before it: {second_id} ({second} v1, by {me})"
    assert field.until(third_id, lambda now: now.outcome == named).epoch == 0
    listed = {one["rollout"]: one for one in json.loads(field.qd("rollouts", "--json", status=0).stdout)["rollouts"]}
    assert (listed[first_id]["queue"], listed[second_id]["approvals"]) == (None, None)
    queue = listed[third_id]["queue"]
    assert (queue["max_parallel"], [one["rollout"] for one in queue["under_way"]]) == (1, [first_id])
    assert [(one["rollout"], one["status"], one["by"].partition("@")[0]) for one in queue["before"]] == [
        (second_id, "queued", me)
    ]
    assert queue["since"] >= listed[third_id]["created"]
    words = " ".join(field.qd("rollouts", status=0).stdout.split())
    assert f"{third_id} {named}" in words
    shown = " ".join(field.qd("show", str(third_id), status=0).stdout.split())
    assert f"waits {named.removeprefix('waits ')}" in shown
    assert json.loads(field.qd("show", str(third_id), "--json", status=0).stdout)["queue"] == queue
    assert street.runs(second) is None

    street.open(*SERVICES)
    for rollout in (first_id, second_id, third_id):
        street.done(rollout)
    with field.journal(read_only=True) as journal:
        began = [
            event.rollout for event in journal.events(kind="state") if event.body["to"] in ("running", "succeeded")
        ]
    assert began == [first_id, first_id, second_id, second_id, third_id, third_id], "one after the other"


def test_of_four_that_come_at_once_never_more_than_two_are_under_way(street: Street) -> None:
    field = street.field
    street.declare(max_parallel=2)
    four = [street.ask(service) for service in SERVICES]
    for rollout in four:
        field.until(rollout, lambda now: now.epoch > 0 or "its turn" in now.outcome)
    assert sorted(street.state(one) for one in four) == [RolloutState.QUEUED] * 2 + [RolloutState.RUNNING] * 2
    street.open(*SERVICES)
    for rollout in four:
        street.done(rollout)
    with field.journal(read_only=True) as journal:
        events = journal.events(kind="state")
        joined = [event.rollout for event in journal.events(kind="queue.joined")]
    under_way, most, began = 0, 0, []
    for event in events:
        if event.body["to"] == "running":
            began.append(event.rollout)
        under_way += (event.body["to"] == "running") - (event.body["to"] == "succeeded")
        most = max(most, under_way)
    assert (most, under_way) == (2, 0)
    assert set(began[2:]) == set(joined), "two places may be free at once: then both begin, either of them first"


def test_who_follows_it_is_told_whom_it_waits_for(street: Street) -> None:
    first = street.begun("api")
    told = street.field.qd("deploy", "staging/web", "v1", "--wait", "--timeout", "12s", status=7)
    assert f"queued     waits for its turn: 1 of 1 under way in staging: {first} (api v1, by " in told.stdout
    assert f"is still queued after 12s: waits for its turn: 1 of 1 under way in staging: {first}" in " ".join(
        told.stderr.split()
    )
    with street.field.journal(read_only=True) as journal:
        waits = journal.rollouts("staging/web")[0].id
    street.field.qd("abort", str(waits), "--detach", status=0)
    ended = street.field.ended(waits)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert ended.outcome.startswith("cancelled by ")
    street.open("api")
    street.done(first)
    assert street.runs("web") is None


def test_a_worker_dies_in_the_queue_is_passed_and_its_successor_has_its_place(street: Street) -> None:
    field = street.field
    first = street.begun("api")
    dead, passes = street.waiting("web"), street.waiting("worker")
    street.unheard_of(dead, HEARD_OF)
    field.until(passes, lambda now: "before it" not in now.outcome)
    street.open("api")
    street.done(first)
    field.in_state(passes, RolloutState.RUNNING)
    assert street.state(dead) is RolloutState.QUEUED
    last = street.waiting("mail")
    pid = field.worker_pid(dead)
    field.qd("rollouts", status=0)  # any command of who may deploy gives it a new worker
    field.until(dead, lambda now: now.pid != pid and f"under way in staging: {passes} " in now.outcome)
    field.until(last, lambda now: f"1 before it: {dead} (web" in now.outcome)
    street.open(*SERVICES)
    for rollout in (passes, dead, last):
        street.done(rollout)
    with field.journal(read_only=True) as journal:
        epochs = [journal.rollout(one).started or "" for one in (passes, dead, last)]
        assert epochs == sorted(epochs)
        assert len(journal.events(rollout=dead, kind="queue.joined")) == 1


def test_what_everybody_has_forgotten_does_not_begin(street: Street) -> None:
    first = street.begun("api")
    forgotten = street.waiting("web")
    street.unheard_of(forgotten, int(FORGOTTEN * SECOND) + SECOND)
    street.open("api", "web")
    street.done(first)
    street.field.qd("rollouts", status=0)
    ended = street.field.ended(forgotten)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert "nobody was at work on it for 15 minutes" in ended.outcome
    assert street.runs("web") is None


def test_a_rollback_passes_everybody_and_counts_as_under_way(street: Street) -> None:
    field = street.field
    way_back = street.gate("way-back")
    (hook,) = field.extra["services"]["api"]["hooks"]["before"]
    hook["on_rollback"] = f"until test -e {way_back}; do sleep 0.05; done"
    field.write()
    street.open("api", "web")
    for version in ("v1", "v2"):
        street.done(street.ask("api", version))
        street.done(street.ask("web", version))
    street.gate("web").unlink()
    first = street.begun("web", "v3")
    waits, other = street.waiting("api", "v3"), street.waiting("worker")
    back = json.loads(field.qd("rollback", "staging/api", "--yes", "--detach", "--json", status=0).stdout)["rollout"]
    field.until(other, lambda now: f"{back} (rollback of api v1" in now.outcome)
    way_back.touch()
    street.done(back)
    assert street.runs("api") == "v1"
    ended = field.ended(waits)
    assert (ended.state, ended.epoch) == (RolloutState.SUPERSEDED, 0)
    assert street.state(other) is RolloutState.QUEUED
    assert street.state(first) is RolloutState.RUNNING
    field.until(other, lambda now: "before it" not in now.outcome)
    street.open(*SERVICES)
    street.done(first)
    street.done(other)
    with field.journal(read_only=True) as journal:
        words = [event.body["outcome"] for event in journal.events(rollout=other, kind="state")]
        assert any(
            f"2 of 1 under way in staging: {first} " in said and f"{back} (rollback of api v1" in said for said in words
        )


def test_what_is_frozen_or_moved_while_it_waits_is_found_when_its_turn_comes(street: Street) -> None:
    field = street.field
    street.open("web")
    street.done(street.ask("web", "v1"))
    first = street.begun("api")
    moved = street.waiting("web", "v2")
    (field.home(field.hosts[0]) / "web" / "current").unlink()  # by hand: nothing runs there as far as the host says
    street.open("api")
    street.done(first)
    street.done(moved)
    after = field.until(moved, lambda now: True)
    assert (after.plan["hosts"][0]["current"], street.runs("web")) == (None, "v2")

    street.gate("api").unlink()
    second = street.begun("api", "v2")
    frozen = street.waiting("web", "v3")
    field.qd("freeze", "staging", "--reason", "INC-80", status=0)
    street.open("api")
    street.done(second)
    ended = field.ended(frozen)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert "staging is frozen until somebody ends it: INC-80" in ended.outcome
    assert street.runs("web") == "v2"


def test_whoever_sets_the_queue_aside_says_why_and_whom_it_passed(street: Street) -> None:
    field = street.field
    first, waits = street.begun("api"), street.waiting("web")
    plan = json.loads(field.qd("deploy", "staging/worker", "v1", "--plan", "--json", status=0).stdout)
    assert (plan["queue"]["waits"], plan["queue"]["since"]) == (True, None)
    shown = " ".join(field.qd("deploy", "staging/worker", "v1", "--plan", status=0).stdout.split())
    assert f"queue 1 of 1 under way in staging: {first} (api v1, by " in shown
    refused = field.qd("deploy", "staging/worker", "v1", "--override", "queue", status=5)
    assert "need a reason" in refused.stderr
    street.open("worker")
    arguments = ("--wait", "--json", "--override", "queue", "--reason", "INC-81")
    done = json.loads(field.qd("deploy", "staging/worker", "v1", *arguments, status=0).stdout)
    with field.journal(read_only=True) as journal:
        (event,) = journal.events(rollout=done["rollout"], kind="override")
        assert not journal.events(rollout=done["rollout"], kind="queue.joined")
    assert (event.body["policy"], event.body["reason"]) == ("queue", "INC-81")
    assert event.body["words"].startswith(f"1 of 1 under way in staging: {first} (api v1, by ")
    assert f"1 before it: {waits} (web v1" in event.body["words"]
    street.open(*SERVICES)
    street.done(first)
    street.done(waits)
    free = json.loads(field.qd("deploy", "staging/worker", "v2", *arguments, status=0).stdout)
    with field.journal(read_only=True) as journal:
        assert not journal.events(rollout=free["rollout"], kind="override"), "nothing had to be set aside"


def test_it_comes_into_the_queue_when_people_agreed_and_they_may_still_say_no(street: Street) -> None:
    field = street.field
    first = street.begun("api")
    street.declare(max_parallel=1, approvals={"from": ["maya", "lena"]})
    waits = field.in_state(street.ask("web"), RolloutState.QUEUED)
    behind = field.in_state(street.ask("worker"), RolloutState.QUEUED)
    assert waits.outcome.startswith("waits for 1 approval by maya or lena")
    say(field, MAYA, behind.id)
    street.waits(behind.id)
    say(field, MAYA, waits.id)
    assert f"1 before it: {behind.id} (worker" in street.waits(waits.id).outcome, "who was agreed to first is first"
    assert f"{waits.id} waits for its turn" in " ".join(field.qd("rollouts", status=0).stdout.split())
    with as_operator(field, MAYA) as control:
        reject(control, behind.id, reason="not today")
        with pytest.raises(Refused, match="may not approve or reject"):
            reject(as_somebody(control), waits.id)
    ended = field.ended(behind.id)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert ": not today; nothing was changed" in ended.outcome
    street.open(*SERVICES)
    street.done(first)
    street.done(waits.id)


def test_the_time_of_approvals_is_over_when_enough_have_agreed_and_a_plan_that_changed_is_agreed_to_anew(
    street: Street,
) -> None:
    field = street.field
    street.open("web")
    street.done(street.ask("web"))
    first = street.begun("api")
    street.declare("recreate", max_parallel=1, approvals={"from": ["maya"], "timeout": "8s"})
    waits = field.in_state(street.ask("web", "v2"), RolloutState.QUEUED)
    say(field, MAYA, waits.id)
    street.waits(waits.id)

    def late() -> bool:
        with field.journal(read_only=True) as journal:
            return seconds_left(journal.wanted_approvals(waits.id) or {}) <= 0

    wait_for(late, "the time for approvals to be over")
    pid = field.worker_pid(waits.id)
    street.unheard_of(waits.id, 0)
    field.qd("rollouts", status=0)
    field.until(waits.id, lambda now: now.pid != pid)
    (field.home(field.hosts[0]) / "web" / "current").unlink()  # by hand: there is nothing to stop any more
    street.open("api")
    street.done(first)
    changed = field.until(waits.id, lambda now: "the hosts have changed" in now.outcome)
    assert (changed.state, changed.epoch) == (RolloutState.QUEUED, 0), "it has time again"
    with field.journal(read_only=True) as journal:
        assert not journal.in_queue(waits.id)
    say(field, MAYA, waits.id, changed.plan_hash)
    street.done(waits.id)
    assert street.runs("web") == "v2"


def as_somebody(control: Control) -> Control:
    return Control(control.fleet, control.journal, Operator("mallory", 54003, None, "bastion-2"))


def test_what_takes_the_place_of_a_deploy_takes_its_place_in_the_environment_too(street: Street) -> None:
    first, waits = street.begun("api"), street.waiting("web")
    second = street.ask("api", "v2", supersede=True)
    street.field.in_state(second, RolloutState.RUNNING)
    assert street.field.ended(first).state is RolloutState.SUPERSEDED
    assert street.state(waits) is RolloutState.QUEUED
    street.open(*SERVICES)
    street.done(second)
    street.done(waits)
