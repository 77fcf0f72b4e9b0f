"""When a way back from a deploy is open, closed, or not to be had at all."""

from quarterdeck.rollouts.plans.plan import HostNow
from quarterdeck.rollouts.way_back.ahead import CLOSED, FIRST, OPEN, back_from, back_to_nothing, without_copy

BACK, NOW = "v1-0123456789", "v2-0123456789"
WHOLE = HostNow("web-1", current=NOW, kept=frozenset({BACK, NOW}))
LACKING = HostNow("web-2", current=NOW, kept=frozenset({NOW}))
BARE = HostNow("web-3")
LOST = HostNow("web-4", error="no answer")


def test_a_copy_on_every_host_that_moves_opens_it() -> None:
    found = back_from(BACK, "v1", [WHOLE], fetchable=False, secrets={"KEY": "same"})
    assert (found.state, found.to, found.copies, found.words) == (OPEN, BACK, ("web-1",), "open: v1 lies on 1 host")
    assert back_from(BACK, "v1", [], fetchable=False, secrets={}).state == OPEN, "nothing moves"
    assert without_copy(BACK, [WHOLE, LACKING, BARE, LOST]) == ["web-2", "web-3"], (
        "who does not answer is not known to lack it"
    )


def test_each_thing_in_the_way_is_named() -> None:
    found = back_from(BACK, "v1", [WHOLE, LACKING], fetchable=False, secrets={"KEY": "unavailable", "OLD": "changed"})
    assert found.state == CLOSED
    assert found.words == "closed: web-2: no copy of v1; secret KEY of v1 can't be read"
    assert back_from(BACK, "v1", [WHOLE], fetchable=False, secrets={"OLD": "changed"}).state == OPEN


def test_what_can_be_fetched_need_not_be_there() -> None:
    found = back_from(BACK, "v1", [WHOLE, LACKING], fetchable=True, secrets={})
    assert (found.state, found.words) == (OPEN, "open: v1 lies on 1 host; web-2 can fetch it")
    found = back_from(BACK, "v1", [WHOLE, LACKING], fetchable=True, fetch_fault="registry: no answer", secrets={})
    assert (found.state, found.fetched) == (CLOSED, ())
    assert found.words == "closed: web-2: no copy of v1, and it can't be fetched: registry: no answer"


def test_a_swarm_has_no_copies_and_is_told_of_in_its_own_words() -> None:
    """Its nodes fetch images: what counts is whether that can be had. Never that something is missing on a host."""
    swarm = HostNow("sw", current=NOW, kept=frozenset({BACK, NOW}), swarm=True)
    found = back_from(BACK, "v1", [swarm], fetchable=True, secrets={})
    assert (found.state, found.copies, found.fetched, found.words) == (OPEN, (), ("sw",), "open: sw can fetch v1")
    new = HostNow("sw-2", swarm=True)
    assert back_from(BACK, "v1", [swarm, new], fetchable=True, secrets={}).words == (
        "open: sw can fetch v1; nothing runs yet on sw-2"
    )
    gone = HostNow("sw", current=NOW, kept=frozenset({NOW}), swarm=True)
    found = back_from(BACK, "v1", [gone], fetchable=False, secrets={})
    assert found.words == (
        "closed: sw: the image of v1 can't be fetched: its registry does not answer, or has it no more"
    )
    found = back_from(BACK, "v1", [gone, LACKING], fetchable=True, fetch_fault="registry: no answer", secrets={})
    assert found.words == (
        "closed: sw: the image of v1 can't be fetched: registry: no answer; "
        "web-2: no copy of v1, and it can't be fetched: registry: no answer"
    )


def test_a_host_on_which_nothing_runs_needs_none() -> None:
    found = back_from(BACK, "v1", [WHOLE, BARE, LOST], fetchable=False, secrets={})
    assert found.words == "open: v1 lies on 1 host; nothing runs yet on web-3"


def test_where_nothing_was_ever_good_there_is_none_and_nothing_is_wrong() -> None:
    assert back_to_nothing([BARE], [], was_good=False).state == FIRST
    assert back_to_nothing([WHOLE], [NOW], was_good=False).state == FIRST, "it was tried, and never worked"
    assert back_to_nothing([BARE], [NOW], was_good=True).words == "closed: no earlier release that worked"
    strange = back_to_nothing([WHOLE, BARE], [BACK], was_good=False)
    assert strange.words == (f"closed: the journal does not know what runs there (web-1 runs {NOW}): qd adopt first")
