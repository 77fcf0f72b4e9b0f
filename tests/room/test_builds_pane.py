"""View 8 and the cards with what CI systems and git say: shown when it has come, asked only while it is on the screen, and waited for by
nothing. Against a local server with the documented shapes, and a real repository."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from quarterdeck.config.builds import Builds, Repository
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import SecretReference
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.control import Control
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.card import Card
from quarterdeck.tui.room.cards import from_build
from quarterdeck.tui.room.cards.deploy import DeployCard
from quarterdeck.tui.room.cards.picker import VersionPicker
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.pane import Pane
from quarterdeck.tui.room.panes import builds as pane
from quarterdeck.tui.room.rows import plain
from tests.ci_server import TOKEN, CiServer, ci_server
from tests.cli.qd_command import OPERATOR, Qd
from tests.repository import RealRepository
from tests.requirements_here import need
from tests.room.live_cards import live_card
from tests.room.seen import pane_text, until

MakeBuilt = Callable[..., Room]


@pytest.fixture
def server() -> Iterator[CiServer]:
    with ci_server() as server:
        for number, status in ((1, "passed"), (2, "passed"), (3, "failed"), (4, "running")):
            server.add(number, status)
        yield server


@pytest.fixture
def make_built(filled: Qd, server: CiServer) -> MakeBuilt:
    """On the journal of ``filled``, whose hosts do not answer; builds 1 to 4 make v1 to v4."""
    (filled.directory / "token").write_text(TOKEN)
    token = SecretReference("file", str(filled.directory / "token"))

    def make(**more: object) -> Room:
        builds = Builds(
            "github", "acme/api", url=server.url, workflow="build.yml", version="v{number}", token=token, timeout=30
        )
        fleet = msgspec.structs.replace(load_fleet(filled.fleet_file), builds={"api": builds}, **more)
        return Room(Opening(fleet, OPERATOR, target="production/api"))

    return make


@pytest.mark.parametrize("size", [(80, 24), (120, 35)])
async def test_builds_stand_above_the_releases_and_say_where_they_run(
    make_built: MakeBuilt, size: tuple[int, int]
) -> None:
    room = make_built()
    async with room.run_test(size=size) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("8")
        await until(
            pilot, lambda: "> running" in pane_text(room, "builds") or ">  4" in pane_text(room, "builds"), "the builds"
        )
        await until(pilot, lambda: "VERDICT" in pane_text(room, "builds"), "the releases")
        shown = pane_text(room, "builds")
        rows = {line.split()[1]: line for line in shown.splitlines() if line[:3] in ("=  ", "x  ", ">  ")}
        assert rows["2"].endswith("production"), shown
        assert "was in production" in rows["1"] or "was in pr" in rows["1"], shown
        assert rows["3"].startswith("x"), shown
        assert "builds and artifacts of production/api" in shown
        assert "Nothing says where it is built" not in shown
        assert max(len(line) for line in shown.splitlines()) <= size[0]


async def test_nobody_is_asked_while_it_is_not_on_the_screen(
    make_built: MakeBuilt, server: CiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pane, "EVERY", 0.0)
    room = make_built()
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        assert server.asked == []
        await pilot.press("8")
        await until(pilot, lambda: len(server.asked) > 2, "it to be asked again and again")
        await pilot.press("1")
        await until(pilot, lambda: not room.pane("builds").is_mounted or room.place.view == "overview", "another view")
        shown: Pane = room.pane("builds")
        await until(pilot, lambda: not any(one.name == "ask aside" for one in threading.enumerate()), "what was asked")
        asked = len(server.asked)
        for _ in range(20):
            room.renew()
            await pilot.pause(0.01)
        assert len(server.asked) == asked, shown


async def test_one_that_does_not_answer_keeps_no_key_waiting_and_is_named(
    make_built: MakeBuilt, server: CiServer
) -> None:
    server.silent.clear()
    room = make_built()
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("8")
        await until(pilot, lambda: "asking what was built" in pane_text(room, "builds"), "the question")
        await pilot.press("1", "8")
        assert room.place.view == "builds"
        server.silent.set()
        await until(pilot, lambda: "failed" in pane_text(room, "builds"), "the answer")
    server.expired = True
    room = make_built()
    async with room.run_test(size=(120, 35)) as pilot:
        await pilot.press("8")
        await until(pilot, lambda: "its token is wrong, or has expired" in pane_text(room, "builds"), "the refusal")
        assert TOKEN not in pane_text(room, "builds")


async def test_a_card_tells_the_commits_and_waits_for_none(make_built: MakeBuilt, tmp_path: Path) -> None:
    need(shutil.which("git") is not None, "git")
    repository = RealRepository(tmp_path / "server")
    for version in ("v1", "v2", "v3"):
        repository.commit(f"Change {version}", author="omar", tag=version)
    room = make_built(sources={"api": Repository(str(repository.path))})
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        card = live_card(room, 2)
        await room.push_screen(card)
        await until(pilot, lambda: card.commits is not None, "git")
        (told,) = card.commit_checks()
        assert "commits: 1 comes: " in told.text
        assert "Change v2 (omar)" in told.text
    shutil.rmtree(repository.path)
    shutil.rmtree(room.fleet.state / "sources")
    room = make_built(sources={"api": Repository(str(repository.path))})
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        card = live_card(room, 2)
        await room.push_screen(card)
        await until(pilot, lambda: card.commits is not None, "git")
        (told,) = card.commit_checks()
        assert "commits not known: can't fetch" in told.text


async def test_a_build_is_deployed_by_its_number_from_the_list_of_versions(make_built: MakeBuilt) -> None:
    room = make_built()
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("D")
        await until(
            pilot, lambda: isinstance(room.screen, VersionPicker) and "a build" in card_text(room), "the versions"
        )
        await pilot.press("number_sign", "1", "enter")
        await until(pilot, lambda: isinstance(room.screen, DeployCard), "the card")
        assert isinstance(room.screen, DeployCard)
        assert room.screen.version == "v1"
        assert "build 1" in card_text(room)
        rollout = room.screen.wish()
        with Journal.open(room.fleet.state, operator=OPERATOR) as journal:
            armed = rollout(Control(room.fleet, journal, OPERATOR))
            assert journal.rollout(armed.id).options["build"]["number"] == "1"
            assert journal.rollout(armed.id).options["version"] == "v1"


def card_text(room: Room) -> str:
    sheet = room.screen.sheet(78) if isinstance(room.screen, Card) else None
    return "\n".join(plain(line) for line in (*sheet.top, *sheet.body, *sheet.foot)) if sheet is not None else ""


def said(room: Room, words: str) -> bool:
    return words in room.said


async def test_a_build_that_has_not_passed_opens_no_card(make_built: MakeBuilt) -> None:
    room = make_built()
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        for word, why in (("#3", "has failed"), ("#4", "is still running"), ("#99", "has no build")):
            await room.action_act("deploy", ("production/api", word))
            await until(pilot, partial(said, room, why), why)
            assert not list(room.cards())


async def test_while_a_build_is_asked_for_no_key_lets_another_version_go(
    make_built: MakeBuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its card does not come over one that was opened meanwhile."""
    answer = asyncio.Event()

    async def slow(_room: Room, _target: str, word: str) -> from_build.Wanted:
        await answer.wait()
        return from_build.Wanted(
            "v1", {"number": word.removeprefix("#"), "id": "1", "commit": "", "link": "", "author": ""}
        )

    monkeypatch.setattr(from_build, "_version_of_build", slow)
    room = make_built()
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await room.action_act("deploy", ("production/api", "v1"))
        await until(pilot, lambda: isinstance(room.screen, DeployCard), "the card")
        card = room.screen
        assert isinstance(card, DeployCard)
        card._take("#1")
        await until(pilot, lambda: not list(room.cards()), "the card of the other version to go")
        await pilot.press("y")
        assert not list(room.cards())
        await room.action_act("freeze", ("production",))
        await until(pilot, lambda: len(list(room.cards())) == 1, "another card")
        answer.set()
        await until(pilot, lambda: "another card is open" in room.said, "that it is there")
        assert not isinstance(room.screen, DeployCard)
