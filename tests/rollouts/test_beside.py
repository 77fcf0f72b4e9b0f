"""Whether two releases can run on a host at the same time, and what is said where they can't."""

import msgspec

from quarterdeck.config.model import Commands, Runner, Slots
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.rollouts.plans.beside import why_not_beside


def test_who_has_slots_already_is_not_told_to_add_them() -> None:
    runner = Runner(commands=Commands("bin/start", "bin/stop"))
    without = Release("staging/api", "v1", ResolvedArtifact("/a.tar.gz", "a" * 64, 1), "/srv/api", runner)
    slots = msgspec.structs.replace(without, version="v2", runner=msgspec.structs.replace(runner, slots=Slots(81, 82)))
    others = msgspec.structs.replace(slots, runner=msgspec.structs.replace(runner, slots=Slots(91, 92)))
    assert why_not_beside(slots, slots) == ""
    assert "the service has no `slots`" in why_not_beside(without, slots)
    assert why_not_beside(slots, without) == (
        "v1 was deployed without `slots`: the first release with them takes its place, by `strategy: rolling`"
    )
    assert "other ports than those of v2" in why_not_beside(others, slots)
