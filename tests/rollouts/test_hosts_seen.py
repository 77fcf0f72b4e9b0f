"""The hosts of a target are kept together, and whatever is asked of all of them at once is what one finds who asks each."""

import importlib.util
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import BETWEEN, NOTHING, ROUTER, Observation, Said
from quarterdeck.rollouts.picture.fleet import renew, take_picture
from quarterdeck.rollouts.picture.host import Expected, HostSeen, host_seen
from quarterdeck.rollouts.picture.hosts import HostsSeen, counted, hosts_seen, lost_of, named, names_of, times_of
from quarterdeck.rollouts.picture.target import TargetSeen
from tests.cli.qd_command import OPERATOR, Qd, fill
from tests.requirements_here import need

TARGET = "production/api"
HOSTS = (
    "web-10",
    "web-2",
    "web-1",
    "new-1",
)  # as the fleet file has them: not as the journal does, and one that it never heard of
EXPECTED = Expected("v1-a", 7, None)

times = st.integers(0, 3).map(lambda second: f"2026-11-24T14:32:0{second}.000Z")
releases = st.sampled_from([None, "v1-a", "v0-a", ""])
bodies = st.fixed_dictionaries(
    {},
    optional={
        "kept": st.lists(st.sampled_from(["v1-a", "v0-a"]), unique=True),
        "seq": st.integers(0, 20),
        "detail": st.sampled_from(["http 200", "é\u2028"]),
        "never": st.just(True),
        "drift": st.just(["somebody was here"]),
        "warm": st.just(["v0-a"]),
    },
)


def one(host: str) -> st.SearchStrategy[Observation]:
    return st.builds(
        Observation,
        st.just(TARGET),
        st.just(host),
        times,
        releases,
        releases,
        st.sampled_from(["healthy", "unhealthy", "unknown"]),
        st.sampled_from([None, "no answer", ""]),
        bodies,
    )


# Also a host that has left the fleet file, and the router.
some = st.tuples(*(st.none() | one(host) for host in ("web-1", "web-10", "web-2", "old-1", ROUTER)))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal.open(tmp_path_factory.mktemp("said") / "state", operator=OPERATOR)


def put(journal: Journal, rows: tuple[Observation | None, ...]) -> dict[str, Observation]:
    """They, and no others, are what is said of the target."""
    journal._connection.execute("DELETE FROM observation")
    known = [row for row in rows if row is not None]
    journal.observe(known)
    return {row.host: row for row in known}


def by_itself(name: str, row: Observation | None, expected: Expected = EXPECTED) -> HostSeen:
    return HostSeen(name) if row is None else host_seen(name, row, expected)


@settings(max_examples=150, deadline=None)
@given(rows=some)
def test_together_they_say_what_each_says(journal: Journal, rows: tuple[Observation | None, ...]) -> None:
    known = put(journal, rows)
    together = hosts_seen(HOSTS, journal.said([TARGET]).get(TARGET), EXPECTED)
    alone = tuple(by_itself(name, known.get(name)) for name in HOSTS)
    assert names_of(together) == names_of(alone)
    assert times_of(together) == times_of(alone)
    assert lost_of(together) == lost_of(alone)
    assert named(together, ["web-1", "new-1"]) == [alone[2], alone[3]]
    assert list(together) == list(alone)
    assert together == alone
    assert HostsSeen(HOSTS, together.kinds, together.of, BETWEEN.join(together.times())) == together
    of_many = TargetSeen(TARGET, "production", "api", release="v1-a", hosts=together)
    of_each = TargetSeen(TARGET, "production", "api", release="v1-a", hosts=alone)
    for name in ("mark", "oldest", "newest", "healthy", "unasked", "on_swarm", "counted"):
        assert getattr(of_many, name) == getattr(of_each, name), name
    assert sum(number for _, number in counted(together)) == len(HOSTS)


@settings(max_examples=60, deadline=None)
@given(before=some, after=some)
def test_its_fingerprint_is_another_one_as_soon_as_something_was_observed(
    journal: Journal, before: tuple[Observation | None, ...], after: tuple[Observation | None, ...]
) -> None:
    def shown(known: dict[str, Observation]) -> list[tuple[object, ...]]:
        return [(o.host, o.time, o.release, o.version, o.health, o.error) for _, o in sorted(known.items())]

    prints = []
    for rows in (before, after):
        known = put(journal, rows)
        said = journal.said([TARGET]).get(TARGET)
        assert journal.observed() == ({TARGET: said.fingerprint} if said is not None else {})
        prints.append((shown(known), said.fingerprint if said is not None else None))
    assert (prints[0][0] == prints[1][0]) is (prints[0][1] == prints[1][1])


def test_a_value_that_holds_what_stands_between_two_moves_no_other(journal: Journal) -> None:
    """Only another program can have written that."""
    odd = Observation(TARGET, "web-1", "t1", f"v1{BETWEEN}x", None, "healthy", f"a{BETWEEN}b", {})
    put(journal, (odd, Observation(TARGET, "web-2", "t2", "v2", "2", "healthy", None, {"kept": []})))
    said = journal.said([TARGET]).get(TARGET)
    assert said == Said(
        f"web-1{BETWEEN}web-2",
        f"t1{BETWEEN}t2",
        f"v1 x{BETWEEN}v2",
        f"{NOTHING}{BETWEEN}2",
        f"healthy{BETWEEN}healthy",
        f"a b{BETWEEN}{NOTHING}",
        f'{{}}{BETWEEN}{{"kept":[]}}',
    )


def test_hosts_of_a_target_of_which_nothing_was_ever_said(journal: Journal) -> None:
    put(journal, ())
    found = hosts_seen(HOSTS, journal.said([TARGET]).get(TARGET), EXPECTED)
    assert found == tuple(HostSeen(name) for name in HOSTS)
    assert (found.oldest, found.newest, len(hosts_seen((), None, EXPECTED))) == (None, "", 0)


Look = tuple[tuple[str, str], str | None, str, str | None, dict[str, object]]
"""Target and host, version of a release, health, error, body."""

moments = (
    f"2026-11-24T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.000Z" for n in count()
)  # no two looks are at the same time

looks: st.SearchStrategy[list[Look]] = st.lists(
    st.tuples(
        st.sampled_from([("staging/api", "stg-1"), (TARGET, "web-1"), (TARGET, "web-2"), ("production/web", "web-1")]),
        st.sampled_from(["v1", "v2", "v3", None]),
        st.sampled_from(["healthy", "unhealthy", "unknown"]),
        st.sampled_from([None, "no answer"]),
        bodies,
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Qd, dict[str, str]]:
    """A fleet with some history, and the ids of its releases by version."""
    qd = Qd(tmp_path_factory.mktemp("released"))
    qd.write_fleet()
    with qd.journal() as journal:
        return qd, fill(journal)


@settings(max_examples=60, deadline=None)
@given(rounds=st.lists(st.tuples(looks, st.booleans()), max_size=4))
def test_renewing_look_by_look_says_what_taking_it_anew_says(
    released: tuple[Qd, dict[str, str]], rounds: list[tuple[list[Look], bool]]
) -> None:
    """Targets that were not read although their hosts were looked at were seen to fail it."""
    qd, ids = released
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal, Journal.open(qd.state, operator=OPERATOR) as writer:
        picture = take_picture(fleet, journal)
        for found, noted in rounds:
            writer.observe(
                [
                    Observation(target, host, next(moments), ids.get(version or ""), version, health, error, body)
                    for (target, host), version, health, error, body in found
                ]
            )
            events = [writer.note("look", TARGET)] if noted else []
            picture = renew(picture, fleet, journal, events, looked=True)
            assert picture == take_picture(fleet, journal)
            assert renew(picture, fleet, journal, [], looked=True) is picture


SAYS_NOTHING = """
import sys
from pathlib import Path
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation, Operator
with Journal.open(Path(sys.argv[1]), operator=Operator("maya", 1000, None, "bastion")) as journal:
    journal.observe([Observation("production/api", "web-1", "2026-11-24T14:32:00.000Z", "", "", "healthy", "", {})])
    said = journal.said(["production/api"])["production/api"]
    print([said.releases, said.versions, said.errors], journal.observed() == {"production/api": said.fingerprint})
"""


@pytest.mark.parametrize("library", ["stdlib", "bundled"])
def test_a_single_host_that_says_nothing(tmp_path: Path, library: str) -> None:
    """Whichever SQLite makes one text of all of them: an empty one is one."""
    need(library != "bundled" or importlib.util.find_spec("pysqlite3") is not None, "the bundled SQLite")
    done = subprocess.run(
        [sys.executable, "-c", SAYS_NOTHING, str(tmp_path / "state")],
        env={**os.environ, "QD_SQLITE": library},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("['', '', ''] True", 0), done.stderr


def test_hosts_that_are_lost_each_in_words_of_its_own_are_counted_once() -> None:
    names = tuple(f"web-{number}" for number in range(3000))
    kinds = tuple(HostSeen("", error=f"{name}: no answer") for name in names)
    hosts = HostsSeen(names, kinds, tuple(range(3000)), BETWEEN.join("2026-11-24T14:32:00.000Z" for _ in names))
    assert counted(hosts) == [(kind, 1) for kind in kinds]
    assert counted(hosts) is counted(hosts), "once: every pane asks for it, and it takes as long as there are hosts"
