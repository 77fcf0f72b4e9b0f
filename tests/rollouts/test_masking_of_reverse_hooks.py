"""The hooks that undo a release run in its environment: what they print of its secrets is masked."""

import pytest

from tests.field import TARGET, Field

pytestmark = pytest.mark.sshd

SECRET = "s3cret-of-the-left-release"


@pytest.mark.parametrize("where", ["one", "here"])
def test_a_secret_that_the_end_of_an_output_cuts_in_two_is_masked_whole(field: Field, where: str) -> None:
    environment = {"QD_TEST_LEFT": SECRET}
    ending = "x" * 1990  # with what is kept, the output begins in the middle of the secret
    command = f'test -e qd.secrets.env && . ./qd.secrets.env; echo "${{LEFT:-$QD_TEST_LEFT}}{ending}"'
    field.write(
        secrets={"LEFT": {"env": "QD_TEST_LEFT"}},
        hooks={"after": [{"run": command, "where": where}]},
    )
    field.qd("deploy", TARGET, "v1", environment=environment, status=0)
    with field.journal(read_only=True) as journal:
        told = str([event.body for event in journal.events(limit=5000, kind="step.done")])
    assert ending in told
    assert "release" + ending not in told


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
