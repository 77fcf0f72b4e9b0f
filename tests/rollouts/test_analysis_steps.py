"""Analyses in a canary's steps and in its bake, on real hosts: what is measured decides, is kept, and goes on with a new worker."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from tests.field import HEALTH, Field
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


def metric(name: str, run: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "metric": {"command": run}, "interval": "200ms", **keys}


def begin(field: Field, *metrics: dict[str, Any], bake: bool = False, after: tuple[dict[str, Any], ...] = ()) -> int:
    """v1 everywhere, and a deploy of v2 under way that measures ``metrics`` on one host of five, or on all in a bake."""
    field.deploy("v1")
    steps: list[dict[str, Any]] = [{"set_weight": 20}, {"analysis": ["it"]}, *after]
    if bake:
        steps = [{"set_weight": 100}, {"bake": {"duration": "4s", "analysis": ["it"]}}]
    field.extra = {"analyses": {"it": list(metrics)}}
    field.write(strategy={"canary": {"steps": steps, "max_unavailable": "100%"}})
    return field.begin("deploy", "v2")


def bake_is_over(field: Field, rollout: int) -> bool:
    with field.journal(read_only=True) as journal:
        [until] = journal.events(rollout=rollout, kind="pause.until", limit=10)
    return time.clock_gettime(time.CLOCK_BOOTTIME) > float(until.body["until"])


def measured(field: Field, rollout: int) -> dict[str, dict[str, Any]]:
    """By name, as ``qd show`` tells it."""
    shown = json.loads(field.qd("show", str(rollout), "--json", status=0).stdout)
    return {one["name"]: one for one in shown["metrics"]}


def test_what_is_measured_well_lets_it_go_on_and_is_kept(field: Field) -> None:
    said = field.directory / "said"
    rollout = begin(
        field,
        metric("smoke", f"echo {{{{version}}}} {{{{address}}}} >> {said}"),
        metric("p95", "echo 12.5", count=3, success="value < 20"),
        metric("known-bad", "echo 99", success="value < 20", dry_run=True),
    )
    ended = field.ended(rollout)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    version, address = said.read_text().split()
    assert (version, address[:4]) == ("v2", "127."), "of the one host that has it"
    found = measured(field, rollout)
    assert {name: (one["state"], one["measured"]) for name, one in found.items()} == {
        "smoke": ("successful", 1),
        "p95": ("successful", 3),
        "known-bad": ("failed", 1),
    }
    assert found["p95"]["canary"] == "12.5"
    assert "p95: successful, 3 of 3 measured" in field.qd("show", str(rollout)).stdout


@pytest.mark.parametrize("bake", [False, True], ids=["step", "bake"])
def test_what_is_measured_badly_takes_it_back(field: Field, bake: bool) -> None:
    rollout = begin(field, metric("p95", "echo 30", success="value < 20"), metric("slow", "sleep 60"), bake=bake)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert "analysis it failed: p95: 30" in ended.outcome
    assert field.running() == ["v1"] * 5


@pytest.mark.parametrize("bake", [False, True], ids=["step", "bake"])
def test_no_data_is_no_success_and_a_person_decides(field: Field, bake: bool) -> None:
    value = field.directory / "value"
    value.write_text("1.5\n")
    rollout = begin(field, metric("errors", f"cat {value}", success="value < 1", failure="value > 2"), bake=bake)
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert "analysis it is inconclusive: errors: 1.5" in stands.outcome
    assert field.running().count("v2") == (5 if bake else 1)
    if bake:
        wait_for(lambda: bake_is_over(field, rollout), "the bake's time is over")
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        with pytest.raises(Refused, match=f"qd promote {rollout} or qd retry {rollout}"):
            control.resume(rollout)
        value.write_text("0.5\n")
        control.retry(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    again = measured(field, rollout)["errors"]["measured"]
    assert again > 1 if bake else again == 1, "the second try began anew, for as long as the first"


def test_a_person_may_go_on_without_a_verdict(field: Field) -> None:
    rollout = begin(field, metric("errors", "not-there-at-all", consecutive_error_limit=1))
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert "was not found" in stands.outcome
    field.qd("promote", str(rollout), "--wait", status=0)
    assert field.running() == ["v2"] * 5


def test_an_abort_waits_for_no_source_and_nothing_is_said_to_measure_any_more(field: Field) -> None:
    rollout = begin(field, metric("errors", "sleep 600", timeout="5m"))
    wait_for(lambda: measured(field, rollout).get("errors", {}).get("state") == "measuring", "it measures", 40)
    field.qd("abort", str(rollout), "--wait", status=3)
    assert measured(field, rollout)["errors"]["state"] == "stopped"


def test_a_new_worker_goes_on_with_what_was_measured(field: Field) -> None:
    count = field.directory / "count"
    rollout = begin(field, metric("errors", f"echo x >> {count}; echo 1", count=6, interval="1s", success="value < 2"))
    wait_for(lambda: count.exists() and len(count.read_text().split()) >= 2, "two are measured")
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).resume(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert measured(field, rollout)["errors"]["measured"] == 6
    assert len(count.read_text().split()) <= 7, "what the dead worker had journalled was not measured again"


def test_the_canary_is_compared_with_the_release_beside_it(field: Field) -> None:
    """The probe's own times: both run the same two lines of shell."""
    field.deploy("v1")
    probe = {"name": "times", "metric": {"probe": {}}, "interval": "100ms", "count": 24, "compare": "baseline"}
    field.extra = {"analyses": {"it": [probe]}}
    steps: list[dict[str, Any]] = [{"set_weight": 20}, {"analysis": ["it"]}]
    field.write(health=HEALTH, strategy={"canary": {"steps": steps, "max_unavailable": "100%"}})
    rollout = field.begin("deploy", "v2")
    now = field.until(rollout, lambda now: now.state is RolloutState.PAUSED or bool(now.ended), 60)
    assert now.state in (RolloutState.SUCCEEDED, RolloutState.PAUSED), now.outcome  # by chance it may not be sure
    found = measured(field, rollout)["times"]
    assert (found["measured"], found["canary"] != "", found["baseline"] != "") == (24, True, True)
    if now.state is RolloutState.PAUSED:
        field.qd("abort", str(rollout), "--wait", status=3)


def begin_with_logs(field: Field, version: str, **keys: Any) -> int:
    """``calm`` everywhere, and a deploy under way that counts lines of logs on one host of five."""
    for name in ("calm", "noisy"):
        field.make_version(name, start='echo "$QD_RELEASE" > ../../running; echo listening >> ../../log')
    field.write(health=HEALTH, logs={"files": ["~/srv/log"]})
    field.deploy("calm")
    counted = {"name": "errors", "metric": {"logs": {}}, "interval": "400ms", **keys}
    steps: list[dict[str, Any]] = [{"set_weight": 20}, {"analysis": ["it"]}]
    field.extra = {"analyses": {"it": [counted]}}
    field.write(strategy={"canary": {"steps": steps, "max_unavailable": "100%"}})
    return field.begin("deploy", version)


@contextlib.contextmanager
def services_that_log(field: Field) -> Iterator[None]:
    """What runs on each host logs, and ``noisy`` an error for every line that is none."""
    over = threading.Event()

    def log() -> None:
        while not over.wait(0.03):
            for host, running in zip(field.hosts.hosts, field.running(), strict=True):
                lines = "level=info\n" + "level=error msg=oops\n" * (running == "noisy")
                with contextlib.suppress(FileNotFoundError), (field.home(host) / "log").open("a") as file:
                    file.write(lines)

    thread = threading.Thread(target=log)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_lines_of_errors_alone_take_it_back(field: Field) -> None:
    with services_that_log(field):
        rollout = begin_with_logs(field, "noisy", count=30, compare="baseline")
        ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert "analysis it failed: errors: " in ended.outcome
    assert field.running() == ["calm"] * 5
    found = measured(field, rollout)["errors"]
    assert (found["state"], found["errors"]) == ("failed", 0)


def test_a_new_worker_counts_the_lines_of_meanwhile_once(field: Field) -> None:
    rollout = begin_with_logs(field, "v3", interval="500ms", count=10, success="value >= 0")

    def measurements(journal: Journal) -> list[dict[str, Any]]:
        events = journal.events(rollout=rollout, kind="analysis.measured")
        return [sample for event in sorted(events, key=lambda event: event.seq) for sample in event.body["samples"]]

    field.watch(lambda journal: len(measurements(journal)) >= 2, "it is counted")
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    [canary] = [host for host, running in zip(field.hosts.hosts, field.running(), strict=True) if running == "v3"]
    with (field.home(canary) / "log").open("a") as log:
        log.write("level=error of meanwhile\n" * 7)
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).resume(rollout)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    with field.journal(read_only=True) as journal:
        found = [sample["canary"] for sample in measurements(journal)]
    assert [one["beginning"] for one in found] == [True] + [False] * 10
    assert sum(one["counters"]["bad"] for one in found) == 7
