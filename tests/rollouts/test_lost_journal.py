"""The bastion is lost after a release was taken back: a new one must not offer that release as the way back."""

import shutil

import pytest

from tests.field import TARGET, Field

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(120)]


def test_a_release_that_was_rolled_back_is_not_offered_by_a_new_journal(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.deploy("v3")
    field.rollback()  # v3 was bad
    assert field.running() == ["v2"] * len(field.hosts)
    shutil.rmtree(field.state)
    field.qd("adopt", status=0)
    with field.journal(read_only=True) as journal:
        assert {row.release.version: row.verdict for row in journal.releases(TARGET)} == {
            "v1": "good",
            "v2": "good",
            "v3": "bad",
        }
    assert field.rollback()["to"].startswith("v1-")
