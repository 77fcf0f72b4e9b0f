"""The benchmark of deploys and rollbacks: what it is told to measure, what its goals compare, and that a row which can't be had never takes
the others with it. It measures nothing here."""

import itertools
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import environments, others, service, unit
from benchmarks.others import OtherRows, Tool, Work
from benchmarks.processes import MeasuredFailed
from benchmarks.report import ARMED, COLD, CONNECTING, FABRIC, FLOOR, PYINFRA, XARGS, Goal, Results, Sample
from benchmarks.run import arguments


def _sample(seconds: float, *, worker: int = 0) -> Sample:
    return Sample(seconds, 0.1, 0.2, 30_000_000, worker, 1)


def _results(hosts: int, *, others_too: bool = True, worker: int = 60_000_000) -> Results:
    results = Results("a machine", 1)
    for action in ("deploy", "rollback"):
        rows = {FLOOR: 1.0, CONNECTING: 2.0}
        rows |= {XARGS: 4.0, FABRIC: 3.0, PYINFRA: 5.0} if others_too else {}
        for method, seconds in rows.items():
            results.add(hosts, action, method, _sample(seconds))
        results.add(hosts, action, COLD, _sample(2.4 if action == "deploy" else 3.3, worker=worker))
    results.add(hosts, "rollback", ARMED, _sample(1.2, worker=worker))
    return results


def _goals(results: Results) -> dict[str, Goal]:
    return {goal.words: goal for goal in results.goals()}


def test_other_tools_are_measured_only_when_asked_for() -> None:
    assert arguments([]).others is False
    assert arguments(["--quick"]).others is False
    chosen = arguments(["--others", "--hosts", "5,20", "--rounds", "2"])
    assert (chosen.others, chosen.hosts, chosen.rounds) == (True, [5, 20], 2)


def test_quick_decides_about_hosts_and_rounds() -> None:
    chosen = arguments(["--quick", "--hosts", "50", "--rounds", "9"])
    assert (chosen.hosts, chosen.rounds) == ([5, 20], 1)
    assert arguments(["--rounds", "0"]).rounds == 1


@pytest.mark.parametrize(
    "words", [["--hosts", "0"], ["--hosts", "5,201"], ["--hosts", "many"], ["--others", "--screen"]]
)
def test_words_that_make_no_sense_end_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(words)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_two_hundred_hosts_can_be_asked_for() -> None:
    assert arguments(["--hosts", "200", "--rounds", "1"]).hosts == [200]


def test_the_goal_compares_with_the_quickest_tool_of_the_same_run() -> None:
    goals = _goals(_results(20))
    rollback, deploy = (
        goals["cold rollback / quickest other tool (fabric)"],
        goals["deploy / quickest other tool (fabric)"],
    )
    assert rollback.found == pytest.approx(3.3 / 3.0)
    assert not rollback.met
    assert deploy.found == pytest.approx(2.4 / 3.0)
    assert deploy.met
    assert {rollback.limit, deploy.limit} == {1.0}


def test_without_other_tools_there_is_no_goal_about_them() -> None:
    results = _results(20, others_too=False)
    assert not [words for words in _goals(results) if "other tool" in words]
    assert XARGS not in results.text()


def test_other_tools_have_rows_beside_ours() -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in _results(20).text().splitlines()]
    measured = [row[3] for row in rows if row[1:3] == ["rollback", "20"]]
    assert measured == [FLOOR, CONNECTING, ARMED, COLD, XARGS, FABRIC, PYINFRA]
    assert ["", "cold rollback / quickest other tool (fabric)", "20", "1.10", "1", "NO", ""] in rows


def test_a_tool_that_was_left_out_is_in_no_row_and_no_goal_but_named() -> None:
    results = _results(20)
    results.leave_out(20, FABRIC, "it ended with 1")
    assert "cold rollback / quickest other tool (ssh + xargs)" in _goals(results)
    assert "- not measured on 20 hosts: fabric: it ended with 1" in results.text()
    assert "| fabric " not in results.text()


@pytest.mark.parametrize(("peak", "met"), [(149_000_000, True), (151_000_000, False)])
def test_the_workers_memory_has_a_limit_on_two_hundred_hosts(peak: int, met: bool) -> None:
    goal = _goals(_results(200, worker=peak))["peak memory of the worker"]
    assert (goal.hosts, goal.met) == (200, met)
    assert (
        f"| peak memory of the worker | 200 | {peak / 1e6:.0f} MB | 150 MB | {'yes' if met else 'NO'} |" == goal.row()
    )
    assert "peak memory of the worker" not in _goals(_results(50, worker=peak))


def test_a_goal_that_is_just_missed_is_not_shown_as_met() -> None:
    assert Goal("a", 5, 1.004, 1.0).row() == "| a | 5 | 1.004 | 1 | NO |"
    assert Goal("a", 5, 0.996, 1.0).row() == "| a | 5 | 1.00 | 1 | yes |"


def test_the_figures_that_are_kept_say_which_goals_are_met(tmp_path: Path) -> None:
    _results(200).write(tmp_path / "bench.json")
    goals = json.loads((tmp_path / "bench.json").read_text())["goals"]
    told = {(one["words"], one["unit"]): (one["limit"], one["met"]) for one in goals}
    assert told["deploy / quickest other tool (fabric)", ""] == (1.0, True)
    assert told["peak memory of the worker", "MB"] == (150.0, True)


def test_a_tool_that_cannot_be_had_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Tool:
        raise OSError("not installed on this machine")

    monkeypatch.setattr(
        others, "WAYS", {"here": lambda: Tool("here", "release 1", lambda _: ["true"]), "gone": missing}
    )
    notes: list[str] = []
    assert [tool.name for tool in others.available(notes)] == ["here"]
    assert notes == ["here: release 1", "not measured: gone: not installed on this machine"]


def test_a_package_that_cannot_be_installed_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "PLACE", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(OSError, match=r"not installable: .*no-such-tool"):
        environments.installed("tool", "no-such-tool", "no-such-tool==1")


def _spec(directory: Path) -> dict[str, Any]:
    """One host, without a server: what is run is run here, with the host's home."""
    (directory / "home").mkdir()
    return {
        "addresses": ["127.0.0.1"],
        "homes": {"127.0.0.1": str(directory / "home")},
        "ssh_port": 22,
        "user": "deploy",
        "key": "/keys/mine",
        "known_hosts": "/keys/hosts",
        "artifacts": str(directory / "artifacts"),
        "base": "place",
        "port": 1,
        # Says what `current` holds, as the service would.
        "ask": f"cat {directory}/home/place/current/www/version; :",
    }


@pytest.mark.parametrize("sent_before", [False, True])
def test_a_tarball_that_is_streamed_and_one_that_was_sent_before_do_the_same(tmp_path: Path, sent_before: bool) -> None:
    spec, home = _spec(tmp_path), tmp_path / "home"
    service.write_artifacts(tmp_path / "artifacts", ["v1"])
    (home / "address").write_text("127.0.0.1\n")
    archive = Path(unit.artifact(spec, "v1"))
    if sent_before:
        Path(unit.place_of_archive(spec, "127.0.0.1")).write_bytes(archive.read_bytes())
    # The service itself is not started: that is what the benchmark does.
    command = unit.command(spec, "deploy", "v1", sent_before=sent_before).replace("bin/service restart", "true")
    with archive.open("rb") as streamed:
        subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL if sent_before else streamed,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            check=True,
            timeout=20,
        )
    current = home / "place" / "current"
    assert (current / "www" / "version").read_text() == "v1"
    with tarfile.open(archive) as packed:
        unpacked = [one for one in current.resolve().rglob("*") if one.is_file()]
        assert sorted(packed.getnames()) == sorted(str(one.relative_to(current.resolve())) for one in unpacked)


def _work(directory: Path, action: str) -> Work:
    spec = _spec(directory)
    return Work(spec, directory / "spec.json", action, "v1")


@pytest.mark.parametrize("action", ["deploy", "rollback"])
def test_ssh_and_xargs_act_on_every_host_at_once_and_check_its_key(
    tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/words\ncat >{tmp_path}/sent\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    work = _work(tmp_path, action)
    (tmp_path / "artifacts").mkdir()
    Path(unit.artifact(work.spec, "v1")).write_bytes(b"the tarball")
    others.WAYS[XARGS]().act(work, tmp_path / "output")
    words = (tmp_path / "words").read_text().splitlines()
    assert "UserKnownHostsFile=/keys/hosts" in words
    assert "GlobalKnownHostsFile=none" in words
    assert "127.0.0.1" in words
    assert "\n".join(words).strip().endswith(unit.command(work.spec, action, "v1").strip())
    assert (tmp_path / "sent").read_bytes() == (b"the tarball" if action == "deploy" else b"")


def test_a_tool_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    good = Tool("good", "", lambda _: ["/bin/sh", "-c", "echo $QD_BENCHMARK_ACTION $QD_BENCHMARK_VERSION"])
    bad = Tool("bad", "", lambda _: ["/bin/sh", "-c", "echo no such host; exit 3"])
    numbers = itertools.count(1)
    rows = OtherRows([good, bad], tmp_path, lambda base: {"base": base, "port": next(numbers)})
    failed = rows.prepare("v0")
    assert list(failed) == ["bad"]
    assert "ended with 3" in str(failed["bad"])
    assert rows.names() == ["good"]
    assert rows.act("good", "rollback", "v0").output == "rollback v0\n"
    assert {json.loads(file.read_text())["base"] for file in tmp_path.glob("*.json")} == {"other-0", "other-1"}
    with pytest.raises(MeasuredFailed):
        bad.act(Work({}, tmp_path / "spec.json", "deploy", "v0"), tmp_path / "output")
