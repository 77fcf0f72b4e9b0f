"""Samples and presences: bounded, by boot time, and dead rooms count for nothing."""

import os
import signal
from pathlib import Path

import msgspec
import pytest

from quarterdeck.history import engine, migrate
from quarterdeck.history.clock import boottime
from quarterdeck.history.journal import Journal
from quarterdeck.history.observing import ObserverLock
from quarterdeck.history.presences import SILENT_SECONDS
from quarterdeck.history.records import Observation, Sample
from quarterdeck.history.samples import SECOND
from tests.history.forks import Fork, Report
from tests.history.test_opening import filled, pragma

TIME = "2026-11-23T18:30:00.123Z"


def sample(target: str, host: str, value: float, *, ago: float = 0.0, metric: str = "latency") -> Sample:
    return Sample(target, host, "v1-x", metric, value, TIME, boottime() - int(ago * SECOND))


def test_the_latest_window_of_one_target_has_its_hosts_own_figures_too(journal: Journal, other: Journal) -> None:
    old = sample("a/b", "web-1", 0.5, ago=400)
    wanted = [
        sample("a/b", "web-1", 0.1, ago=9),
        sample("", "web-1", 40, ago=5, metric="cpu"),
        sample("a/b", "web-2", 0.2),
    ]
    elsewhere = [sample("c/d", "web-1", 0.3), sample("", "web-9", 1, metric="load"), sample("a/b", "web-9", 0.4)]
    journal.write_round([], [old, *wanted, *elsewhere])
    found = other.samples("a/b", ["web-1", "web-2"], 300)
    assert [msgspec.structs.replace(one, id=0) for one in found] == wanted
    assert other.samples("a/b", ["web-1", "web-2"], 300, after=found[1].id) == found[2:]
    assert [one.value for one in other.samples("a/b", ["web-1"], 500)] == [0.5, 0.1, 40]
    assert {one.target for one in other.probes(300)} == {"a/b", "c/d"}


def test_a_window_is_found_by_its_index(journal: Journal) -> None:
    steps = journal._rows(
        "EXPLAIN QUERY PLAN SELECT value FROM sample WHERE target IN (?, '') AND host IN (?, ?) AND boottime > ? ORDER BY id",
        ("a/b", "web-1", "web-2", 0),
    )
    assert "sample_by_target (target=? AND host=? AND boottime>?)" in " ".join(str(step) for step in steps)


def test_old_samples_those_of_another_boot_and_too_many_are_removed(journal: Journal) -> None:
    journal.write_round([], [sample("a/b", "web-1", n, ago=(100 - n) * 100) for n in range(100)])
    journal._connection.execute("UPDATE sample SET boot_id = 'another' WHERE value = 99")
    assert journal.prune_samples(seconds=5000) == 52
    assert [one.value for one in journal.samples("a/b", ["web-1"], 100_000)] == list(range(51, 99))
    assert journal.prune_samples(rows=10) > 0
    assert len(journal.samples("a/b", ["web-1"], 100_000)) <= 10


def test_a_round_is_one_transaction(journal: Journal, other: Journal) -> None:
    seen = Observation("a/b", "web-1", TIME, "v1-x", "v1", "healthy", None, {})
    mine = journal.announce(os.getpid(), "overview", "a/b")
    version = other.data_version()
    journal.write_look(mine, [seen], [sample("a/b", "web-1", 0.1)])
    assert other.data_version() != version
    assert other.observations("a/b") == [seen]
    assert other.presences()[0].looked > 0
    broken = Observation("a/b", "web-2", TIME, None, None, "strange", None, {})
    with pytest.raises(engine.engine().error, match="CHECK"):
        journal.write_look(mine, [msgspec.structs.replace(seen, host="web-3"), broken], [])
    assert [one.host for one in other.observations("a/b")] == ["web-1"]
    assert journal.head()[0] == 0  # no events: measurements are no deeds


def test_a_room_is_here_until_it_leaves_or_dies(state: Path) -> None:
    Journal.open(state).close()

    def room(report: Report) -> None:
        with Journal.open(state) as journal:
            journal.announce(os.getpid(), "overview", "a/b")
            journal.announce(os.getpid(), "logs", "c/d")
            report("here")
            signal.pause()

    with Fork(room) as fork:
        fork.line()
        with Journal.open(state) as journal:
            mine = journal.announce(os.getpid(), "overview", None)
            journal.ask_to_look(mine)
            theirs, ours = sorted(journal.presences(), key=lambda one: one.pid != fork.pid)
            assert (theirs.pid, theirs.view, theirs.target, theirs.asked) == (fork.pid, "logs", "c/d", 0)
            assert ours.asked > 0
            os.kill(fork.pid, signal.SIGKILL)
            fork.wait()
            assert [one.pid for one in journal.presences()] == [os.getpid()]
            assert journal._row("SELECT count(*) FROM presence")[0] == 2
            assert journal.forget_the_gone() == 1
            assert journal._row("SELECT count(*) FROM presence")[0] == 1
            journal.leave(mine)
            journal.leave(mine)
            assert journal.presences() == []


def test_a_room_without_a_heartbeat_and_one_whose_pid_is_another_process_are_not_here(journal: Journal) -> None:
    journal.announce(os.getpid(), "overview", None)
    late = boottime() - (SILENT_SECONDS + 1) * SECOND
    journal._connection.execute("UPDATE presence SET heartbeat = ?", (late,))
    assert journal.presences() == []
    journal.announce(os.getpid(), "overview", None)
    assert len(journal.presences()) == 1
    journal._connection.execute("UPDATE presence SET start_ticks = start_ticks + 1")
    assert journal.presences() == []


def test_one_observer_leads_and_a_dead_one_is_followed_at_once(state: Path) -> None:
    Journal.open(state).close()

    def leader(report: Report) -> None:
        held = ObserverLock.take(state)
        assert held is not None
        report("leads")
        signal.pause()

    with Fork(leader) as fork:
        fork.line()
        assert ObserverLock.take(state) is None
        os.kill(fork.pid, signal.SIGKILL)
        fork.wait()
        mine = ObserverLock.take(state)
        assert mine is not None
        assert ObserverLock.take(state) is None
        mine.release()
        mine.release()
        again = ObserverLock.take(state)
        assert again is not None
        again.release()


def test_the_first_format_is_brought_up_with_a_backup_and_nothing_lost(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first format"
    first.mkdir()
    (first / "0001_journal.sql").write_text((migrate.DIRECTORY / "0001_journal.sql").read_text())
    with monkeypatch.context() as past:
        past.setattr(migrate, "DIRECTORY", first)
        past.setattr(migrate, "LATEST", 1)
        past.setattr("quarterdeck.history.journal.LATEST", 1)
        content = filled(state)
    assert pragma(state / "history.db", "PRAGMA user_version") == 1
    with Journal.open(state) as journal:
        assert [journal.events(), journal.rollouts()] == content
        journal.write_round([], [sample("a/b", "web-1", 0.1)])
        assert journal.integrity_faults() == []
    assert len(list(state.glob("backup-format-1-*.db"))) == 1


def test_a_new_journal_has_the_newest_format_and_no_backup(state: Path) -> None:
    Journal.open(state).close()
    assert pragma(state / "history.db", "PRAGMA user_version") == migrate.LATEST
    assert list(state.glob("backup-*")) == []
