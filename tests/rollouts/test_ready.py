"""`qd ready` on real hosts: beside the copies on the hosts it knows what only the sources of secrets and the hooks of releases can tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.field import TARGET, Field

pytestmark = pytest.mark.sshd


def ready(field: Field, *arguments: str, status: int = 0) -> dict[str, Any]:
    document = json.loads(field.qd("ready", "--json", *arguments, status=status).stdout)
    (one,) = document["targets"]
    assert one["target"] == TARGET
    return dict(one)


def test_secrets_that_are_gone_or_changed_and_hooks_that_nobody_undoes(field: Field, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first-Value-1")
    hook = {"run": "true migrate", "where": "one", "reversible": False}
    field.write(secrets={"TOKEN": {"file": str(secret)}}, hooks={"before": [hook]})
    field.deploy("v1")
    field.deploy("v2")

    fine = ready(field, "--strict")
    assert (fine["ready"]["state"], fine["secrets"]) == ("ready", {"TOKEN": "same"})
    assert fine["irreversible"] == ["true migrate (v2)"]

    secret.write_text("second-Value-2")
    assert ready(field, "--strict")["secrets"] == {"TOKEN": "changed"}, (
        "said, and no obstacle: the release gets the value of now"
    )
    words = field.qd("ready", status=0).stdout
    assert "secret TOKEN has changed since v1: a rollback brings its value of now" in words
    assert "ran since v1, and can't be undone: true migrate (v2)" in words

    secret.unlink()
    gone = ready(field, "--strict", status=1)
    assert (gone["ready"]["state"], gone["ready"]["reasons"]) == ("degraded", ["secret TOKEN can't be read"])
    unasked = ready(field, "--cached")
    assert (unasked["ready"]["state"], unasked["secrets"], unasked["irreversible"]) == ("ready", None, None)
    assert "Value" not in words
