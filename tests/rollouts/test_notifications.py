"""Notifications of rollouts on real hosts, to a real service: what is told, once, without a secret, and that no service, however it
behaves, holds a rollout up.

Seen to fail without the mask over what is told (promise 16).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import Event, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.spawn import worker_log
from tests.field import Field
from tests.sshd import wait_for
from tests.told import Told, service
from tests.trust.canaries import CANARIES, written
from tests.trust.recording import Promises

pytestmark = pytest.mark.sshd

SECRET = CANARIES["url"]
WRITTEN = written(SECRET)
HOOK = "T0K3N-of-the-service"
EVERYTHING = ["started", "waiting", "rolling_back", "succeeded", "rolled_back", "failed", "cancelled", "superseded"]
UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}


@pytest.fixture
def told() -> Iterator[Told]:
    with service() as made:
        yield made


@pytest.fixture
def notifying(field: Field, told: Told, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Field]:
    """A field that tells the service about everything; its URL is a secret."""

    def make(**destination: Any) -> Field:
        monkeypatch.setenv("HOOK_URL", told.url(f"/{HOOK}?rto=60"))
        field.extra["notify"] = [{"to": {"env": "HOOK_URL"}, "on": EVERYTHING, "title": "{{event}}", **destination}]
        field.write()
        return field

    return make


def events(field: Field, rollout: int, kind: str) -> list[Event]:
    with field.journal(read_only=True) as journal:
        return journal.events(rollout=rollout, kind=kind, limit=100)


def left(field: Field, rollout: int) -> None:
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker has left")


@pytest.mark.trust(16)
def test_a_canary_from_its_start_to_its_end(
    notifying: Callable[..., Field], told: Told, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    monkeypatch.setenv("DATABASE_URL", SECRET)
    field = notifying()
    field.write(
        secrets={"DATABASE_URL": {"env": "DATABASE_URL"}},
        strategy={"canary": {"steps": [{"set_weight": 20}, UNTIL_PROMOTED]}},
    )
    rollout = field.begin("deploy", "v2", reason=f"not {SECRET} but {' '.join(WRITTEN)}")
    field.in_state(rollout, RolloutState.PAUSED)
    told.until("started", "waiting")
    wait_for(lambda: len(events(field, rollout, "notified")) == 2, "both are journalled")
    field.kill_worker(rollout)
    left(field, rollout)
    with field.journal() as journal:  # the promotion itself brings the new worker
        Control(field.fleet(), journal, current_operator()).promote(rollout)
    told.until("started", "waiting", "succeeded")
    left(field, rollout)

    waiting = told.came[1]
    assert f"until somebody promotes: qd promote {rollout}" in waiting["message"]
    assert f"deploy of v2 by {current_operator().label}, rollout {rollout} of fleet field" in waiting["message"]
    assert "not **** but **** ****" in waiting["message"]
    assert [one["type"] for one in told.came] == ["info", "warning", "success"]
    assert not [written for written in WRITTEN for one in told.came if written in one["message"]]

    sent = events(field, rollout, "notified")
    assert sorted((event.body["event"], event.body["to"], event.body["service"]) for event in sent) == [
        ("started", 1, "json"),
        ("succeeded", 1, "json"),
        ("waiting", 1, "json"),
    ], "a worker that takes over tells nobody twice"
    assert HOOK not in whole_state(field)
    shown = field.qd("show", str(rollout), status=0).stdout
    assert HOOK not in shown
    promise(16).count("notifications read", len(told.came))


def whole_state(field: Field) -> str:
    """The journal's files and the workers' logs, as they lie on the disk."""
    return "".join(path.read_bytes().decode("latin-1") for path in sorted(field.state.rglob("*")) if path.is_file())


def test_a_service_that_never_answers_holds_nothing_up(notifying: Callable[..., Field], told: Told) -> None:
    field = notifying(on=["started"])
    told.silent.set()
    rollout = field.begin("deploy", "v1")
    told.until("started")
    assert field.ended(rollout).state is RolloutState.SUCCEEDED, "while the service is silent"
    assert not events(field, rollout, "notified")
    assert lock_is_held(field.state, rollout), "its worker waits for the service, nobody for its worker"
    again = field.begin("deploy", "v2")
    assert field.ended(again).state is RolloutState.SUCCEEDED
    told.over.set()  # cuts the connections
    wait_for(lambda: bool(events(field, rollout, "notify.failed")), "it is journalled")
    (failed,) = events(field, rollout, "notify.failed")
    assert (failed.body["event"], failed.body["to"], failed.body["service"]) == ("started", 1, "json")
    assert "The rollout is not touched by this" in failed.body["why"]
    assert HOOK not in whole_state(field)
    left(field, again)


def test_an_abort_and_what_waits_for_approvals_are_told_and_what_has_no_url_is_journalled(
    notifying: Callable[..., Field], told: Told
) -> None:
    field = notifying(on=["rolled_back", "cancelled"])
    field.extra["notify"].append({"to": {"env": "NOT_SET_ANYWHERE"}, "on": ["rolled_back"], "services": ["web"]})
    field.extra["notify"].append({"to": told.url("/nobody"), "environments": ["staging"], "on": ["override"]})
    field.write(strategy={"canary": {"steps": [{"set_weight": 20}, UNTIL_PROMOTED]}})
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.PAUSED)
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
    told.until("rolled back")
    left(field, rollout)
    (failed,) = events(field, rollout, "notify.failed")
    assert failed.body["why"] == (
        "notify 2: send the notification: its URL can't be read: to (env: 'NOT_SET_ANYWHERE'): the variable is not set. "
        "The rollout is not touched by this"
    )
    assert failed.body["why"] in worker_log(field.state, rollout).read_text()

    field.extra["notify"][0]["on"] = ["waiting", "cancelled"]
    hosts = [host.name for host in field.hosts.hosts]
    field.extra["environments"] = {"staging": {"hosts": hosts, "approvals": {"from": ["somebody-else"]}}}
    field.write()
    queued = field.begin("deploy", "v3")
    told.until("rolled back", "waiting")
    assert told.came[1]["message"].startswith("waits for 1 approval by somebody-else")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).ask(queued, "cancel")
    told.until("rolled back", "waiting", "cancelled")
    assert "nothing was changed" in told.came[2]["message"]
    left(field, queued)


def test_steps_tell_whom_they_name_and_wait_for_nobody(notifying: Callable[..., Field], told: Told) -> None:
    """The service never answers: the canary goes on all the same. Its worker dies then, and the message goes out once more at most."""
    field = notifying(on=[], name="chat")
    field.extra["notify"].append({"to": told.url("/other?rto=60"), "on": ["succeeded"], "title": "other"})
    told.silent.set()
    steps: list[dict[str, Any]] = [
        {"notify": {"to": ["chat"], "title": "begins"}},
        {"set_weight": 20},
        {"notify": {"to": ["chat"], "title": "{{version}} is there", "body": "{{outcome}}"}},
        UNTIL_PROMOTED,
    ]
    field.write(strategy={"canary": {"steps": steps}})
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.PAUSED)
    wait_for(lambda: "begins" in told.titles(), "the first one is on its way")
    field.kill_worker(rollout)
    left(field, rollout)
    told.silent.clear()
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).promote(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    left(field, rollout)
    came = Counter(told.titles())
    assert set(came) == {"begins", "v2 is there", "other"}
    assert max(came.values()) <= 2
    assert came["v2 is there"] >= 1
    assert {one["message"] for one in told.came if one["title"] == "v2 is there"} == {
        "the canary is at 20 %, on 1 of 5 hosts"
    }
    sent = [(event.body["event"], event.body["to"]) for event in events(field, rollout, "notified")]
    assert sorted(sent) == [("step", 1), ("step", 1), ("succeeded", 2)]
    assert not events(field, rollout, "notify.failed")
    told_of = [
        step["action"] for step in json.loads(field.qd("show", str(rollout), "--json", status=0).stdout)["steps"]
    ]
    assert told_of.count("notify") == 2
