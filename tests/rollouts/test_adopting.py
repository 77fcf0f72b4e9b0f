"""What the hosts say becomes what the journal knows: here with hosts of values, in the trust tests with real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.contract import HostBackend, KeptRelease, TargetFacts
from quarterdeck.config.model import Artifact, Commands, Environment, Fleet, Host, Runner, Target
from quarterdeck.config.release import Release, ResolvedArtifact, to_json
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.adopt import AdoptedTarget, adopt, merged_order, read_anchors
from quarterdeck.rollouts.manifest import release_in

RUNNER = Runner(commands=Commands("start", "stop"))
HOSTS = tuple(Host(f"web-{n}", f"web-{n}") for n in (1, 2, 3))
TARGET = Target("production", "web", HOSTS, "/srv/web", Artifact("/a/{version}.tgz"), RUNNER)
V1, V2, V3 = (
    Release(
        "production/web",
        f"v{n}",
        ResolvedArtifact(f"/a/v{n}.tgz", str(n) * 64),
        "/srv/web",
        RUNNER,
        created=f"2026-11-2{n}T10:00:00.000Z",
    )
    for n in (1, 2, 3)
)


def manifest(release: Release) -> dict[str, Any]:
    return {"format": 1, "id": release.id, "digest": release.digest, "release": to_json(release)}


def facts(
    current: Release | None, good: Sequence[Release], *kept: Release, epoch: int = 7, anchor: str = ""
) -> TargetFacts:
    return TargetFacts(
        current=current.id if current else None,
        running=True,
        kept=tuple(KeptRelease(release.id, True, manifest(release)) for release in kept),
        epoch=epoch,
        holder="",
        anchor=anchor,
        good=tuple(release.id for release in good),
        free_bytes=None,
    )


class _Connection:
    def __init__(self, host: str, said: TargetFacts) -> None:
        self.host, self.said = host, said

    async def facts(self, *_: object, **__: object) -> TargetFacts:
        return self.said

    async def close(self) -> None:
        return None


class _Hosts:
    """Values that answer: what a host really says is the subject of the contract tests, not of these."""

    def __init__(self, said: dict[str, TargetFacts]) -> None:
        self.said = said

    async def connect(self, host: Host, *, deadline: float = 20.0) -> _Connection:
        if host.name not in self.said:
            raise Unreachable(host.name, "connect", "refused")
        return _Connection(host.name, self.said[host.name])


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path / "state")


def fleet(journal: Journal) -> Fleet:
    return Fleet(
        "acme",
        Path("fleet.yml"),
        journal.path.parent,
        {host.name: host for host in HOSTS},
        {"production": Environment("production", tuple(host.name for host in HOSTS))},
        ("web",),
        {TARGET.name: TARGET},
    )


async def adopted(journal: Journal, *said: TargetFacts | None) -> AdoptedTarget:
    hosts = _Hosts({host.name: one for host, one in zip(HOSTS, said, strict=True) if one is not None})
    [found] = await adopt(cast(HostBackend, hosts), fleet(journal), journal, [TARGET.name])
    return found


async def test_an_empty_journal_learns_current_previous_and_fence(journal: Journal) -> None:
    same = facts(V2, [V1, V2], V1, V2)
    found = await adopted(journal, same, same, msgspec.structs.replace(same, epoch=9))
    assert (found.current, found.previous, found.epoch, found.changed) == (V2.id, V1.id, 9, True)
    assert found.disagreements == ()
    assert journal.current_release(TARGET.name) == V2.id
    row = journal.release(V2.id)
    assert row is not None
    assert row.verdict == "good"
    assert [event.body["current"] for event in journal.events(kind="adopted")] == [V2.id]
    next_rollout = journal.arm(TARGET.name, RolloutKind.ROLLBACK, to_release=V1.id)
    assert journal.begin(next_rollout.id, preempt="nothing") > 9  # the hosts would refuse a lower one


async def test_twice_is_once(journal: Journal) -> None:
    same = facts(V2, [V1, V2], V1, V2)
    await adopted(journal, same, same, same)
    head = journal.head()
    assert not (await adopted(journal, same, same, same)).changed
    assert journal.head() == head


async def test_hosts_that_disagree_are_named_and_the_most_common_good_release_is_taken(journal: Journal) -> None:
    found = await adopted(journal, facts(V2, [V1, V2], V1, V2), facts(V2, [V1, V2], V1, V2), facts(V1, [V1], V1))
    assert found.current == V2.id
    assert found.disagreements == (f"web-3: runs {V1.id}, not {V2.id}",)


async def test_a_release_that_never_proved_itself_is_not_taken_for_the_stable_one(journal: Journal) -> None:
    found = await adopted(journal, facts(V3, [V1, V2], V2, V3), facts(V3, [V1, V2], V2, V3), facts(V2, [V1, V2], V2))
    assert found.current == V2.id
    row = journal.release(V3.id)
    assert row is not None
    assert row.verdict == "untried"
    last = journal.last_good(TARGET.name, other_than=V3.id)
    assert last is not None
    assert last.id == V2.id


async def test_what_the_journal_knows_to_be_bad_stays_bad(journal: Journal) -> None:
    journal.put_release(V2)
    journal.judge(V2.id, "bad", "it failed")
    await adopted(journal, *[facts(V1, [V2, V1], V1, V2)] * 3)
    row = journal.release(V2.id)
    assert row is not None
    assert row.verdict == "bad"


async def test_what_the_hosts_hold_for_bad_is_not_offered_for_a_way_back(journal: Journal) -> None:
    said = msgspec.structs.replace(facts(V3, [V1, V3], V1, V2, V3), bad=(V2.id,))
    owed = facts(V3, [V1, V2, V3], V1, V2, V3, epoch=5)  # was away when v2 was left
    found = await adopted(journal, owed, said, said)
    assert (found.current, found.previous) == (V3.id, V1.id)
    row = journal.release(V2.id)
    assert row is not None
    assert row.verdict == "bad"
    assert not (await adopted(journal, owed, said, said)).changed


async def test_a_release_that_proved_itself_since_is_good_again(journal: Journal) -> None:
    before = msgspec.structs.replace(facts(V1, [V1], V1, V2), bad=(V2.id,))
    since = facts(V2, [V1, V2], V1, V2, epoch=9)  # shipped again, by force, and good
    found = await adopted(journal, before, since, since)
    assert (found.current, found.previous) == (V2.id, V1.id)


async def test_a_silent_host_is_named_and_the_rest_is_adopted(journal: Journal) -> None:
    found = await adopted(journal, facts(V2, [V1, V2], V1, V2), None, None)
    assert found.current == V2.id
    assert [text.partition(":")[0] for text in found.silent] == ["web-2", "web-3"]


async def test_a_rollout_under_way_keeps_its_target(journal: Journal) -> None:
    rollout = journal.arm(TARGET.name, RolloutKind.DEPLOY)
    journal.begin(rollout.id, preempt="nothing")
    found = await adopted(journal, *[facts(V2, [V1, V2], V1, V2)] * 3)
    assert found.current is None
    assert journal.active(TARGET.name) is not None


async def test_damaged_and_foreign_manifests_are_left_out(journal: Journal) -> None:
    said = facts(V1, [V1], V1)
    foreign = msgspec.structs.replace(V2, target="staging/web")
    lying = manifest(V3) | {"id": "v9-0000000000"}
    kept = (
        *said.kept,
        KeptRelease(V2.id, False, manifest(V2)),
        KeptRelease(foreign.id, True, manifest(foreign)),
        KeptRelease(V3.id, True, lying),
        KeptRelease("junk-0000000000", True, {"release": 3}),
    )
    found = await adopted(journal, msgspec.structs.replace(said, kept=kept), None, None)
    assert found.releases == (V1.id,)
    assert len([text for text in found.disagreements if "left out" in text]) == 4
    with pytest.raises(ValueError, match="id"):
        release_in(lying)


async def test_anchors_of_the_journal_that_was_lost_are_known_as_such(journal: Journal) -> None:
    before = facts(V1, [V1], V1, anchor=f"512:{'a' * 64}")
    hosts = cast(HostBackend, _Hosts({"web-1": before}))
    assert (await read_anchors(hosts, fleet(journal), journal)).anchors == [("web-1 (production/web)", 512, "a" * 64)]
    await adopted(journal, before, None, None)
    found = await read_anchors(hosts, fleet(journal), journal)
    assert found.anchors == []
    assert len(found.silent) == 2
    told = cast(HostBackend, _Hosts({"web-1": msgspec.structs.replace(before, anchor=f"3:{'b' * 64}")}))
    assert (await read_anchors(told, fleet(journal), journal)).anchors == [("web-1 (production/web)", 3, "b" * 64)]


def test_one_order_that_keeps_that_of_every_host() -> None:
    assert merged_order([["a", "b", "c"], ["b", "c", "d"], ["a", "d"]]) == ["a", "b", "c", "d"]
    assert merged_order([[], ["a"]]) == ["a"]
    assert merged_order([]) == []
