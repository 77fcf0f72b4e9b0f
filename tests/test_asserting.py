"""What fails in a module that tests share is told with what was seen there, as where a test itself fails. Seen to fail where those modules
are not registered: there are no words then."""

from typing import cast

import pytest

from quarterdeck.backends.hosts.contract import Connection
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from tests.contract.place import become_healthy
from tests.told import Told


def test_beside_this_file() -> None:
    told = Told(0)
    told.came.append({"title": "v2 is out"})
    with pytest.raises(AssertionError, match=r"'v2 is out'.*'v1 is out'"):
        told.until("v1 is out")


async def test_in_a_folder() -> None:
    release = Release("test/web", "v1", ResolvedArtifact("app:v1", "0"), "", Runner())
    with pytest.raises(AssertionError, match=r"None is not None"):
        await become_healthy(cast(Connection, None), release)
