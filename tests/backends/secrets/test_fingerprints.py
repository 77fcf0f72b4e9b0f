"""A fingerprint tells whether a secret is the same, and gives nothing of it away."""

import pytest

from quarterdeck.backends.secrets import fingerprint, fingerprints, same


def test_a_fingerprint_fits_its_value_and_no_other() -> None:
    known = fingerprint("hunter2")
    assert same("hunter2", known)
    assert not same("hunter3", known)
    assert not same("", known)
    assert "hunter2" not in known


def test_the_same_value_has_another_fingerprint_each_time_unless_the_salt_is_given() -> None:
    assert fingerprint("hunter2") != fingerprint("hunter2")
    assert fingerprint("hunter2", b"s" * 16) == fingerprint("hunter2", b"s" * 16)
    assert fingerprint("hunter2", b"s" * 16).partition(":")[0] == b"s".hex() * 16


def test_a_fingerprint_that_was_kept_is_understood_by_every_later_version() -> None:
    kept = "73737373737373737373737373737373:"
    kept += fingerprint("käse", b"s" * 16).partition(":")[2]
    assert kept == KEPT
    assert same("käse", KEPT)


KEPT = "73737373737373737373737373737373:9b6918bf8aa220a697c28d8957e27dbb6e7cba9da9ddd517ef7edf466a719ead"


@pytest.mark.parametrize("text", ["", ":", "x", "00:11", f"{'0' * 32}:{'0' * 63}", f"{'0' * 32}:{'0' * 64}\n"])
def test_what_is_no_fingerprint_fits_nothing(text: str) -> None:
    assert not same("hunter2", text)


async def test_many_are_made_at_once() -> None:
    made = await fingerprints({"A": "one", "B": "two"})
    assert same("one", made["A"])
    assert same("two", made["B"])
