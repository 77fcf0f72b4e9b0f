"""From one environment to the next: the same version by the same digest, on real hosts."""

import json

import pytest

from tests.field import Field

pytestmark = pytest.mark.sshd


@pytest.fixture
def two(field: Field) -> Field:
    """A host for staging, another for production."""
    names = [host.name for host in field.hosts.hosts]
    field.extra = {
        "environments": {"staging": {"hosts": names[:1]}, "production": {"hosts": names[1:2], "after": "staging"}}
    }
    field.write()
    return field


def test_what_runs_there_is_shipped_by_its_digest(two: Field) -> None:
    nothing = two.qd("promote", "staging/web", "--to", "production", status=5)
    assert "nothing runs on staging/web" in nothing.stderr
    two.deploy("v2")
    done = json.loads(two.qd("promote", "staging/web", "--to", "production", "--wait", "--json", status=0).stdout)
    assert (done["target"], done["status"]) == ("production/web", "succeeded")
    assert two.running()[:2] == ["v2", "v2"]

    two.make_version("v2", start='echo "$QD_RELEASE" > ../../running # built once more')
    two.qd("promote", "staging/web", "--to", "staging", status=5)
    made_anew = two.qd("promote", "staging/web", "--to", "production", "--override", "after", "--reason", "x", status=5)
    assert "it was made anew; nothing was changed" in made_anew.stderr
    assert two.running()[:2] == ["v2", "v2"]


def test_what_was_marked_bad_there_is_shipped_by_the_option_that_the_refusal_names(two: Field) -> None:
    two.deploy("v1")
    promote = ("promote", "staging/web", "--to", "production", "--wait")
    two.qd(*promote, status=0)
    two.deploy("v2")
    two.qd(*promote, status=0)
    two.qd("rollback", "production/web", "--yes", "--wait", status=0)
    assert "--force --reason" in two.qd(*promote, status=5).stderr
    two.qd(*promote, "--force", "--reason", "it was the database", "--supersede", status=0)
    assert two.running()[:2] == ["v2", "v2"]


def test_what_is_typed_wrongly_changes_nothing(two: Field) -> None:
    two.deploy("v1")
    for words in (
        ("--to", "prod"),
        ("--to", "production", "--full"),
        ("--override", "after"),
        ("--force",),
        ("--supersede",),
    ):
        two.qd("promote", "staging/web", *words, status=2)
    assert two.running()[:2] == ["v1", None]
