"""The hooks that undo a release run in its environment: what they print of its secrets is masked."""

import pytest

from tests.field import TARGET, Field

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(120)]

SECRET = "s3cret-of-the-left-release"


def test_secrets_of_the_release_that_is_left_are_masked_in_its_reverse_hooks(field: Field) -> None:
    environment = {"QD_TEST_LEFT": SECRET}
    field.deploy("v1")
    field.write(
        secrets={"LEFT": {"env": "QD_TEST_LEFT"}},
        hooks={
            "before": [{"run": "true", "on_rollback": '. ./qd.secrets.env; echo "gone: $LEFT"'}],
            "after": [{"run": "true", "on_rollback": '. ./qd.secrets.env; echo "bad: $LEFT"; exit 3'}],
        },
    )
    field.qd("deploy", TARGET, "v2", environment=environment, status=0)
    done = field.qd("rollback", TARGET, "--yes", environment=environment)
    said = done.stdout + done.stderr
    assert "bad: ****" in said
    assert SECRET not in said
    with field.journal(read_only=True) as journal:
        told = str([event.body for event in journal.events(limit=5000)])
    assert "gone: ****" in told
    for path in field.state.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
