"""What an overtaken worker takes back of its last call, by what it finds there: nothing of it is asked of an engine.

Seen to fail with the release that has the live name left running.
"""

from typing import Any, cast

from quarterdeck.backends.hosts.docker import names, overtaken
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Container, Seen
from quarterdeck.backends.hosts.docker.register import State

LABELS = {names.NAME: "web", names.RELEASE: "v2-a", names.TARGET: "staging/web"}
MINE = Container("c2", "web", "sha256:0", 0, "running", LABELS)
"""It has the live name already: the overtaken worker had given it that a call before."""


class Asked:
    """A gate that keeps what was asked."""

    words = "switch"

    def __init__(self) -> None:
        self.changes = 0
        self.engine = self

    async def change(self, *_: Any, **__: Any) -> None:
        self.changes += 1


async def taken_back(state: State) -> bool:
    gate = Asked()
    await overtaken.of_start(cast(Gate, gate), MINE)(Seen(state, (MINE,)))
    return gate.changes > 0


async def test_a_start_is_taken_back_where_the_newer_one_wants_another_release_whatever_the_name_says() -> None:
    assert MINE.is_live
    assert await taken_back(State(current="v1-b", wanted="v3-c"))
    assert not await taken_back(State(current="v1-b", wanted="v2-a")), "it is what is wanted there"
    assert not await taken_back(State(current="v2-a", wanted="v3-c")), (
        "it served before: the newer one stops it when its own is well"
    )
