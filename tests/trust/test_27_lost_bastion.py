"""Promise 27: lose the bastion, lose nothing: the state directory is gone, `qd adopt` reads the hosts, rollback works.

Seen to fail with one of these taken out of what is adopted: the release that runs (none is said to), the word for the release before it
(the rollback is refused). Not seen: without the fence that is read back, since the first worker reads it from the hosts again.
"""

import json
import shutil

import pytest

from tests.field import TARGET, Field
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(27), pytest.mark.sshd]


def test_rollback_after_the_journal_is_lost(field: Field, promise: Promises) -> None:
    field.write(env={"GREETING": "old"})
    field.deploy("v1")
    field.write(env={"GREETING": "new"})
    field.deploy("v2")
    shutil.rmtree(field.state)
    field.qd("adopt", "--json", status=0)
    document = json.loads(field.qd("status", TARGET, "--json", status=0).stdout)["targets"][0]
    assert document["version"] == "v2"
    result = field.rollback()
    assert result["status"] == "succeeded"
    assert field.running() == ["v1"] * len(field.hosts)
    for host in field.hosts.hosts:
        assert 'GREETING="old"' in (field.home(host) / "current" / "qd.env").read_text()
    field.deploy("v3")
    assert field.running() == ["v3"] * len(field.hosts)
    promise(27).count("bastions lost")
