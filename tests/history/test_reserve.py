"""The reserve: really allocated, given free piece by piece, put aside again when there is room."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history import engine, reserve, store
from quarterdeck.history.errors import JournalFull
from quarterdeck.history.journal import Journal
from quarterdeck.history.place import Place
from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, StepState
from quarterdeck.history.reserve import PIECE_BYTES, PIECES, Reserve


@pytest.fixture
def place(tmp_path: Path) -> Place:
    tmp_path.chmod(0o700)
    return Place(tmp_path)


def test_it_is_allocated_and_given_free_piece_by_piece(place: Place) -> None:
    kept = Reserve(place)
    assert not kept.whole()
    assert not kept.release()
    assert kept.restore()
    assert kept.whole()
    pieces = sorted((place.state / "reserve").iterdir())
    assert [piece.stat().st_size for piece in pieces] == [PIECE_BYTES] * PIECES
    assert all(piece.stat().st_blocks * 512 >= PIECE_BYTES for piece in pieces)
    assert [kept.release() for _ in range(PIECES + 1)] == [True] * PIECES + [False]
    assert not kept.whole()


def test_a_hole_is_no_reserve(place: Place) -> None:
    kept = Reserve(place)
    kept.restore()
    piece = place.state / "reserve" / "3"
    with piece.open("wb") as file:
        file.truncate(PIECE_BYTES)
    assert not kept.whole()
    assert kept.restore()
    assert kept.whole()


def test_it_is_not_put_aside_when_that_would_fill_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "free_bytes", lambda path: PIECES * PIECE_BYTES + reserve.SPARE_BYTES - 1)
    assert not Reserve(place).restore()
    assert not (place.state / "reserve").exists()


def test_only_what_takes_back_or_tells_what_was_done_may_use_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full here until a piece is given free; a real full disk is met in tests/trust/test_08_*."""
    monkeypatch.setattr(store, "RESTORE_SECONDS", 3600.0)
    deploy = journal.arm("a/b", RolloutKind.DEPLOY).id
    epoch = journal.begin(deploy, preempt="nothing")
    journal.add_steps(deploy, epoch, [NewStep(seq, "web-1", "switch", 0, {}) for seq in (1, 2)])
    journal.start_steps(deploy, epoch, [1])
    pieces = journal.state / "reserve"
    real = store.Store._transaction

    def full(self: store.Store, change: Callable[[], Any]) -> Any:
        if len(list(pieces.iterdir())) >= left:
            raise JournalFull(str(journal.state))
        return real(self, change)

    monkeypatch.setattr(store.Store, "_transaction", full)
    left = PIECES
    for refused in (
        lambda: journal.note("x"),
        lambda: journal.arm("a/b", RolloutKind.DEPLOY),
        lambda: journal.start_steps(deploy, epoch, [2]),
        lambda: journal.record("override", rollout=deploy),
    ):
        with pytest.raises(JournalFull):
            refused()
    assert len(list(pieces.iterdir())) == PIECES
    journal.end_step(deploy, epoch, 1, StepState.DONE, {})
    for allowed in (
        lambda: journal.ask(deploy, "abort"),
        lambda: journal.set_state(deploy, epoch, RolloutState.ROLLING_BACK),
        lambda: journal.start_steps(deploy, epoch, [2]),
        lambda: journal.arm("a/b", RolloutKind.ROLLBACK),
    ):
        left -= 1
        allowed()
        assert len(list(pieces.iterdir())) == left - 1


def test_a_full_disk_is_told_with_what_the_reserve_still_holds(journal: Journal) -> None:
    place = Place(journal.state)

    def said() -> str:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = engine.FULL
        return str(store.told(full, place))

    assert "a rollback still finds room in the journal's reserve" in said()
    while Reserve(place).release():
        pass
    assert "a rollback needs it too: the journal's reserve is not there" in said()
