"""Commands that read: their JSON is a contract with scripts, their tables fit a terminal, foreign text can't act on it."""

import csv
import io
import json

import pytest

from quarterdeck.history.records import Observation, RolloutKind, RolloutState
from tests.cli.qd_command import EVIL, Qd, release

TABLES = [
    ["status", "--cached"],
    ["status", "--cached", "production/api"],
    ["ready", "--cached"],
    ["rollouts"],
    ["show", "3"],
    ["history", "--steps"],
    ["releases"],
    ["diff", "v1", "v2"],
]
READING = [*TABLES, ["watch", "3"], ["check"], ["audit", "verify", "--offline"], ["schema"], ["help", "deploy"]]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_json_is_one_document_or_one_object_a_line(filled: Qd, words: list[str]) -> None:
    done = filled.inside(*words, "--json", status=None)
    if words[0] == "watch":
        assert [json.loads(line) for line in done.stdout.splitlines()]
    else:
        assert json.loads(done.stdout)


def test_status(filled: Qd) -> None:
    document = filled.json("status", "--cached")
    assert document["fleet"] == "acme"
    targets = {target["target"]: target for target in document["targets"]}
    assert list(targets) == ["staging/api", "staging/web", "production/api", "production/web"]
    api = targets["production/api"]
    assert {"target", "release", "version", "digest", "since", "by", "health", "ready", "hosts", "rollout"} <= set(api)
    assert (api["version"], api["by"], api["rollout"]) == ("v2", "alice@bastion-2", None)
    assert {"state", "to", "reasons", "seconds", "asked"} == set(api["ready"])
    assert {"host", "release", "version", "health", "error"} <= set(api["hosts"][0])
    assert targets["production/web"]["rollout"]["status"] == "paused"
    assert [t["target"] for t in filled.json("status", "--cached", "production")["targets"]] == [
        "production/api",
        "production/web",
    ]


def test_ready_says_the_least_ready_first_and_why(filled: Qd) -> None:
    targets = filled.json("ready", "--cached")["targets"]
    states = [one["ready"]["state"] for one in targets]
    assert states == sorted(states, key=["closed", "degraded", "ready"].index)
    assert set(targets[0]) == {"target", "release", "version", "ready", "drill", "secrets", "irreversible", "hosts"}
    assert {one["target"]: one["ready"] for one in targets}.items() <= {
        one["target"]: one["ready"] for one in filled.json("status", "--cached")["targets"]
    }.items()
    shown = filled.inside("ready", "--cached", "production").stdout
    assert all(
        reason in shown for one in targets if "production" in one["target"] for reason in one["ready"]["reasons"]
    )
    strict = filled.inside("ready", "--cached", "--strict", status=None)
    assert strict.returncode == (0 if set(states) == {"ready"} else 1)


def test_status_of_hosts_that_cannot_be_reached_shows_what_was_last_known(filled: Qd) -> None:
    [target] = filled.json("status", "production/api")["targets"]
    for host in target["hosts"]:
        assert host["health"] == "unknown"
        assert host["host"] in host["error"]
    assert [host["version"] for host in target["hosts"]] == ["v2", "v1"]
    shown = filled.inside("status", "production/api").stdout
    assert "? production/api on web-1:" in shown
    assert "last known: v2" in shown


def test_status_of_many_hosts_in_trouble_tells_some_of_each_target_and_how_many_there_are(qd: Qd) -> None:
    """All of them where one target is asked for."""
    names = [f"web-{number}" for number in range(1, 41)]
    qd.write_fleet()
    text = qd.fleet_file.read_text().replace("[web-1, web-2]", f"[{', '.join(names)}]")
    more = "".join(f'  {name}: {{ssh: "deploy@127.0.0.1:{at}"}}\n' for at, name in enumerate(names[2:], 10))
    qd.fleet_file.write_text(text.replace("environments:", f"{more}environments:"))
    with qd.journal() as journal:
        lost = [
            Observation("production/api", name, "2026-11-23T11:00:00.000Z", None, None, "unknown", "no answer", {})
            for name in names
        ]
        journal.observe(lost)
    shown = qd.inside("status", "--cached").stdout
    assert shown.count("? production/api on web-") == 4
    assert "production/api: 36 more like these; all of them: qd status production/api" in shown
    assert qd.inside("status", "--cached", "production/api").stdout.count("? production/api on web-") == 40
    api = next(one for one in qd.json("status", "--cached")["targets"] if one["target"] == "production/api")
    assert len(api["hosts"]) == 40


def test_status_tells_what_a_host_is_owed_and_that_nobody_knows_what_it_runs(filled: Qd) -> None:
    """Also where there is no release to go back to, and in the table of all targets."""
    with filled.journal() as journal:
        owed = journal.put_release(release("v7", target="staging/api"))
        failed = journal.arm("staging/api", RolloutKind.DEPLOY, to_release=owed)
        journal.add_debt("staging/api", "stg-1", owed, failed.id, "no answer")
        lost = Observation("staging/api", "stg-1", "2026-11-23T11:00:00.000Z", None, None, "unknown", "no answer", {})
        journal.observe([lost])
    targets = {target["target"]: target for target in filled.json("status", "--cached")["targets"]}
    (debt,) = targets["staging/api"]["owed"]
    assert (debt["host"], debt["release"], debt["rollout"]) == ("stg-1", owed, failed.id)
    assert targets["production/api"]["owed"] == []
    shown = " ".join(filled.inside("status", "--cached").stdout.split())
    assert "x staging/api on stg-1: owed v7 for" in shown
    assert f"qd retry {failed.id}" in shown
    assert "(what runs there is not known)" in shown
    assert "nothing" not in shown


def test_rollouts(filled: Qd) -> None:
    found = filled.json("rollouts")["rollouts"]
    assert [rollout["rollout"] for rollout in found] == [4, 3, 2, 1]
    assert set(found[0]) == {
        "rollout", "kind", "target", "from", "to", "status", "by", "asked_because", "created", "started", "ended", "seconds", "reason",
        "approvals", "queue",
    }  # fmt: skip
    assert [rollout["status"] for rollout in found] == ["paused", "rolled_back", "succeeded", "succeeded"]
    assert [rollout["rollout"] for rollout in filled.json("rollouts", "--active")["rollouts"]] == [4]
    assert [
        rollout["rollout"] for rollout in filled.json("rollouts", "production/api", "--limit", "2")["rollouts"]
    ] == [3, 2]
    assert filled.json("rollouts", "staging")["rollouts"] == []


def test_show(filled: Qd) -> None:
    document = filled.json("show", "3")
    assert document["status"] == "rolled_back"
    assert [(step["host"], step["state"]) for step in document["steps"]] == [("web-1", "done"), ("web-2", "failed")]
    assert {"seq", "batch", "host", "action", "state", "attempt", "started", "ended", "body", "outcome"} == set(
        document["steps"][0]
    )
    text = filled.inside("show", "3").stdout
    assert "web-2" in text
    assert "failed" in text
    assert filled.json("show", "production/web")["rollout"] == 4


@pytest.mark.parametrize(
    "words",
    [["rollouts"], ["rollouts", "--active"], ["show", "4"], ["history"], ["status", "--cached"]],
    ids=" ".join,
)
def test_nothing_is_told_as_under_way_whose_worker_died(filled: Qd, words: list[str]) -> None:
    with filled.journal() as journal:
        journal.set_worker(4, 1, 0, "of an earlier boot")
    assert "orphaned" in filled.inside(*words).stdout
    if words[0] == "rollouts":
        (line,) = [line for line in filled.inside(*words).stdout.splitlines() if "orphaned" in line]
        assert "paused" not in line


def test_show_tells_what_became_of_requests(filled: Qd) -> None:
    with filled.journal() as journal:
        request = journal.ask(4, "resume")
        journal.answer(request.id, "refused", "not now")
    [asked] = filled.json("show", "4")["requests"]
    assert (asked["kind"], asked["by"], asked["state"], asked["answer"]) == (
        "resume",
        "alice@bastion-2",
        "refused",
        "not now",
    )
    assert "resume asked by alice@bastion-2: refused: not now" in filled.inside("show", "4").stdout


def test_watch_of_an_ended_rollout_has_the_status_of_a_deploy_that_waited(filled: Qd) -> None:
    assert filled("watch", "2", status=0).stdout.splitlines()[-1].startswith("rollout 2, deploy of production/api")
    done = filled.inside("watch", "3", "--json", status=3)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"seq", "time", "kind", "target", "rollout", "host", "by", "body"} == set(events[0])
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert "rolled back" in done.stderr


def test_watch_writes_time_host_step_outcome(filled: Qd) -> None:
    lines = filled.inside("watch", "2").stdout.splitlines()
    [done] = [line for line in lines if "web-1" in line and "done" in line]
    time, host, step, *outcome = done.split()
    assert len(time) == len("14:32:07")
    assert (host, step, " ".join(outcome)) == ("web-1", "switch", "done: http 200, 0.2s")


def test_watch_says_what_the_plan_warns_of(filled: Qd) -> None:
    warning = "the value of secret TOKEN has changed since v1 was released: the new value is used"
    with filled.journal() as journal:
        rollout = journal.arm("production/api", RolloutKind.ROLLBACK)
        plan = {"summary": "2 of 2 hosts change", "warnings": [warning]}
        to = next(row.id for row in journal.releases("production/api") if row.release.version == "v1")
        journal.set_plan(rollout.id, plan, "0" * 64, to_release=to, from_release=None)
    lines = filled.inside("watch", str(rollout.id), "--timeout", "0.2", status=7).stdout.splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines if "TOKEN" in line] == [f"warning    {warning}"]


def test_history_newest_first_and_by_target(filled: Qd) -> None:
    filled("note", "customers", "report", "500s", "--target", "production/api")
    events = filled.json("history", "production/api")["events"]
    assert [event["seq"] for event in events] == sorted((event["seq"] for event in events), reverse=True)
    assert events[0]["kind"] == "note"
    assert events[0]["body"]["text"] == "customers report 500s"
    assert {event["target"] for event in events} == {"production/api"}
    assert not [event for event in events if event["kind"].startswith("step.")]
    assert [event for event in filled.json("history", "--steps")["events"] if event["kind"] == "step.failed"]
    assert len(filled.json("history", "--limit", "3")["events"]) == 3


def test_status_tells_that_a_rollout_was_not_taken_back_although_its_hosts_are_well(filled: Qd) -> None:
    """What failed may be a flag that is still up."""
    why = "not taken back on flag checkout: no connection"
    with filled.journal() as journal:
        rollout = journal.arm("production/api", RolloutKind.DEPLOY, to_release=journal.releases("production/api")[0].id)
        epoch = journal.begin(rollout.id, preempt="nothing")
        journal.set_state(rollout.id, epoch, RolloutState.FAILED, outcome=why)
    targets = {target["target"]: target for target in filled.json("status", "--cached")["targets"]}
    assert targets["production/api"]["failed"] == {"rollout": rollout.id, "reason": why}
    assert targets["production/web"]["failed"] is None
    assert f"x production/api: rollout {rollout.id} failed: {why}" in filled.inside("status", "--cached").stdout


def test_single_measurements_crowd_nothing_out_of_the_history(filled: Qd) -> None:
    with filled.journal() as journal:
        sample = {"metric": "p95", "at": 1.0, "canary": {"value": 0.03815607700380497, "detail": ""}}
        journal.record("analysis.begun", target="production/web", body={"seq": 1})
        journal.record("analysis.measured", target="production/web", body={"seq": 1, "samples": [sample]})
    assert "analysis" not in filled.inside("history").stdout
    assert "analysis p95 0.0381561  by" in filled.inside("history", "--steps").stdout


def test_releases(filled: Qd) -> None:
    found = filled.json("releases", "production/api")["releases"]
    assert [(value["version"], value["verdict"], value["current"]) for value in found] == [
        ("v3", "bad", False),
        ("v2", "good", True),
        ("v1", "good", False),
    ]
    assert found[1]["hosts"] == ["web-1"]


def test_diff(filled: Qd) -> None:
    document = filled.json("diff", "v1", "v2", "--target", "production/api")
    assert {change["name"] for change in document["facts"]} == {"version", "digest"}
    assert document["env"] == [{"name": "GREETING", "before": "hello from v1", "after": "hello from v2"}]
    [file] = document["files"]
    assert (file["path"], file["kind"]) == ("etc/api.yml", "changed")
    assert "-level: v1" in file["diff"]
    assert document["secrets"][0]["value"] == "same"
    assert filled.json("diff", "v2", "v2")["same"] is True
    assert "did you mean v1" in filled.inside("diff", "v11", "v2", status=2).stderr


def test_audit_verify_finds_an_edit(filled: Qd) -> None:
    assert filled.json("audit", "verify", "--offline")["ok"] is True
    from quarterdeck.history.engine import connect

    connection = connect(filled.state / "history.db")
    connection.execute("UPDATE event SET who = 'mallory' WHERE seq = 3")
    connection.close()
    done = filled.inside("audit", "verify", "--offline", status=1)
    assert "event 3" in done.stdout
    assert "1 fault in" in done.stderr
    document = filled.json("audit", "verify", "--offline", status=1)
    assert document["ok"] is False
    assert document["faults"]


def test_audit_export(filled: Qd) -> None:
    rows = [json.loads(line) for line in filled("audit", "export").stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    table = list(csv.DictReader(io.StringIO(filled.inside("audit", "export", "--format", "csv").stdout)))
    assert [int(row["seq"]) for row in table] == [row["seq"] for row in rows]
    filled.inside("audit", "export", "--output", "audit.jsonl")
    assert len((filled.directory / "audit.jsonl").read_text().splitlines()) == len(rows)
    assert "exists already" in filled.inside("audit", "export", "--output", "audit.jsonl", status=2).stderr


def test_note(filled: Qd) -> None:
    document = filled.json("note", "look", "here", "--rollout", "3")
    assert (document["text"], document["target"], document["rollout"]) == ("look here", "production/api", 3)
    assert "note is empty" in filled.inside("note", " ", status=2).stderr
    assert "no rollout 99" in filled.inside("note", "x", "--rollout", "99", status=2).stderr


@pytest.mark.parametrize("words", TABLES, ids=" ".join)
def test_tables_are_plain_and_foreign_text_is_harmless(filled: Qd, words: list[str]) -> None:
    for colour in ("never", "always"):
        done = filled.inside(*words, "--color", colour)
        text = done.stdout + done.stderr
        if colour == "never":
            assert "\x1b" not in text
        for hostile in ("\x1b]", "\x1b[31mred", "\x9b", "\u202e", "\x07"):
            assert hostile not in text
    if words[:1] in (["status"], ["rollouts"], ["releases"]):
        header, *rows = filled.inside(*words).stdout.splitlines()
        table = [header, *(row for row in rows if row.startswith(("staging/", "production/", *"123456789")))]
        assert max(map(len, table)) <= 80


def test_json_keeps_foreign_text_harmless_too(filled: Qd) -> None:
    text = filled.inside("show", "3", "--json").stdout
    assert EVIL not in text
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert "\\u001b" not in text


@pytest.mark.parametrize(
    ("environment", "words", "coloured"),
    [
        ({"TERM": "xterm"}, [], False),  # a pipe
        ({"TERM": "xterm"}, ["--color", "always"], True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, ["--color", "always"], True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, [], False),
    ],
)
def test_colour_only_where_it_is_wanted(
    filled: Qd, environment: dict[str, str], words: list[str], coloured: bool
) -> None:
    assert ("\x1b[" in filled.inside("rollouts", *words, environment=environment).stdout) is coloured


def test_an_empty_fleet_says_so(fleet: Qd) -> None:
    assert fleet.inside("rollouts").stdout == "no rollouts yet\n"
    assert fleet.inside("history").stdout == "nothing has happened yet\n"
    assert fleet.inside("releases").stdout == "no releases yet\n"
    assert fleet.json("rollouts") == {"fleet": "acme", "rollouts": []}
    assert {target["health"] for target in fleet.json("status", "--cached")["targets"]} == {"unknown"}
