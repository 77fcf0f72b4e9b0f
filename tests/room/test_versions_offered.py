"""What lies where artifacts come from and nobody has released yet: on the command line and in the version picker, from a real registry."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.offered import offered_details, offered_versions, unreleased
from quarterdeck.rollouts.versions import KnownVersion
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.picker import VersionPicker, likeliest
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.rows import plain
from tests.backends.registry.real_registry import RealRegistry, registry_program, start_registry
from tests.cli.qd_command import OPERATOR, Qd
from tests.requirements_here import need
from tests.room.mixed import BEFORE, NOW_LIVE, SHOP, fill_mixed, fleet_text
from tests.room.seen import until
from tests.sshd import free_port

REPOSITORY = "shop/shop"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    need(registry_program() is not None, "docker-registry (package docker-registry)")
    running = start_registry(tmp_path_factory.mktemp("registry"))
    for tag, day in (("1.8.0", 1), ("1.9.0", 2), ("1.10.0", 3), ("edge", 4)):
        running.push(REPOSITORY, tag, created=f"2026-11-0{day}T10:00:00Z", content=tag.encode() * 500)
    yield running
    running.close()


def fleet_of(tmp_path: Path, image: str) -> Qd:
    qd = Qd(tmp_path)
    fill_mixed(qd.state)
    qd.fleet_file.write_text(fleet_text(qd.state).replace("registry.acme.io/shop/shop", image))
    return qd


@pytest.fixture
def qd(tmp_path: Path, registry: RealRegistry) -> Qd:
    return fleet_of(tmp_path, f"{registry.name}/{REPOSITORY}")


async def test_names_come_first_and_details_of_those_that_are_asked_for(qd: Qd) -> None:
    fleet = load_fleet(qd.fleet_file)
    artifact = fleet.targets[SHOP].artifact
    names = await offered_versions(fleet, artifact)
    assert set(names) == {"1.8.0", "1.9.0", "1.10.0", "edge"}
    assert names.index("1.10.0") < names.index("1.9.0")
    assert unreleased(names, ["1.8.0", "1.9.0"]) == tuple(name for name in names if name in ("1.10.0", "edge"))
    details = await offered_details(fleet, artifact, ["1.10.0", "there-is-none"])
    found = details["1.10.0"]
    assert (found.created, len(found.digest)) == ("2026-11-03T10:00:00Z", 64)
    assert found.size is not None
    assert found.size >= 3000
    assert (details["there-is-none"].digest, details["there-is-none"].size) == ("", None)


async def test_tarballs_of_a_directory_are_offered_too(tmp_path: Path) -> None:
    for version in ("v4", "v5"):
        (tmp_path / f"proxy-{version}.tar.gz").write_bytes(b"x")
    qd = Qd(tmp_path)
    qd.fleet_file.write_text(fleet_text(qd.state).replace("/artifacts/", f"{tmp_path}/"))
    fleet = load_fleet(qd.fleet_file)
    artifact = fleet.targets["production/proxy"].artifact
    names = await offered_versions(fleet, artifact)
    assert set(names) == {"v4", "v5"}
    assert {one.size for one in (await offered_details(fleet, artifact, names)).values()} == {None}


def test_the_command_line_lists_them_newest_first(qd: Qd) -> None:
    said = json.loads(qd("releases", SHOP, "--available", "--json").stdout)["available"]
    assert [one["version"] for one in said] == ["edge", "1.10.0", "1.9.0", "1.8.0"]
    assert [one["release"] for one in said] == [None, None, NOW_LIVE.id, BEFORE.id]
    assert said[1]["created"] == "2026-11-03T10:00:00Z"
    table = qd("releases", SHOP, "--available").stdout.splitlines()
    assert table[1].split()[:3] == ["edge", "not", "yet"]


def rows_of(room: Room) -> str:
    return "\n".join(plain(row) for card in room.cards() for row in card._face._rows)


async def test_the_picker_offers_what_nobody_has_released_yet(qd: Qd) -> None:
    room = Room(Opening(load_fleet(qd.fleet_file), OPERATOR, target=SHOP, observe=False))
    taken: list[str] = []
    async with room.run_test(size=(120, 35)) as pilot:
        room.push_screen(VersionPicker(SHOP, taken.append, typed=True))
        await until(pilot, lambda: rows_of(room).count("not released yet, ") == 2, "what is new, with its size")
        lines = {line.replace(">", " ").split()[1]: line for line in rows_of(room).splitlines() if " yet, " in line}
        assert set(lines) == {"1.10.0", "edge"}
        card = next(room.cards())
        assert isinstance(card, VersionPicker)
        assert card.chosen == "1.10.0", "the newest, and never one that came before what runs"
        await pilot.press("enter")
        await until(pilot, lambda: taken != [], "the choice")
    assert taken == ["1.10.0"]


def test_the_cursor_is_on_what_a_deploy_or_a_rollback_leads_to_most_likely() -> None:
    new, runs, old = (KnownVersion(f"v{n}", f"v{n}-x", "good", runs=n == 2) for n in (3, 2, 1))
    untried = KnownVersion("v4", None, "untried")  # good in another environment: it comes last
    bad = KnownVersion("v5", "v5-x", "bad")
    for versions, onward, back in (
        ([new, runs, old], "v3-x", "v3-x"),
        ([runs, old], "", "v1-x"),
        ([runs, old, untried], "v4", "v1-x"),
        ([bad, runs, old], "", "v1-x"),
        ([bad, runs], "", "v5-x"),
        ([runs], "", "v2-x"),
        ([], "", ""),
    ):
        assert likeliest(versions, onward=True) == onward
        assert likeliest(versions, onward=False) == back


async def test_the_cursor_stays_where_it_was_put_when_they_come(qd: Qd) -> None:
    room = Room(Opening(load_fleet(qd.fleet_file), OPERATOR, target=SHOP, observe=False))
    taken: list[str] = []
    async with room.run_test(size=(120, 35)) as pilot:
        card = VersionPicker(SHOP, taken.append, typed=True)
        card.chosen = BEFORE.id
        room.push_screen(card)
        await until(pilot, lambda: rows_of(room).count("not released yet, ") == 2, "what is new, with its size")
        assert card.chosen == BEFORE.id


async def test_a_registry_that_is_down_is_one_line_and_what_is_known_can_be_chosen(tmp_path: Path) -> None:
    qd = fleet_of(tmp_path, f"127.0.0.1:{free_port('127.0.0.1')}/shop/shop")
    room = Room(Opening(load_fleet(qd.fleet_file), OPERATOR, target=SHOP, observe=False))
    taken: list[str] = []
    async with room.run_test(size=(120, 35)) as pilot:
        room.push_screen(VersionPicker(SHOP, taken.append, typed=True))
        await until(pilot, lambda: "list the versions:" in rows_of(room), "what is wrong")
        assert "1.8.0" in rows_of(room)
        await pilot.press("enter")
        await until(pilot, lambda: taken != [], "the choice")
    assert taken == ["1.8.0"]
    with Journal.open(qd.state, operator=OPERATOR, read_only=True) as journal:
        assert not journal.living(), "choosing changes nothing"
