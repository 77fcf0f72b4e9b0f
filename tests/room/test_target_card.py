"""The card of the chosen target: the log line that matters, and what of the configuration the way back changes."""

from collections.abc import Iterator

import msgspec
import pytest

from quarterdeck.config.model import ConfigFile
from quarterdeck.rollouts.differences.releases import compare
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.overview.card import config_words, why
from quarterdeck.tui.room.panes.card import once_good
from quarterdeck.tui.room.panes.logs import LAST, Logs
from tests.cli.qd_command import Qd, release
from tests.room.acme import NOW
from tests.room.conftest import MakeAcme, MakeRoom
from tests.room.seen import pane_text, until
from tests.room.spools import Filled

TARGET = "production/api"


@pytest.fixture
def lines() -> Iterator[Filled]:
    made = Filled(lines=1 << 16, text=1 << 24)
    yield made
    made.writer.close()


def test_config_in_words() -> None:
    one = release("v1")
    other = msgspec.structs.replace(one, env={"PORT": "1"}, files=(*one.files, ConfigFile("etc/new.yml", "x")))
    assert config_words(compare(one, msgspec.structs.replace(one, version="v2"))) == "config same"
    assert config_words(compare(one, other)) == "config 2 env 1 files"


def row(text: str, name: str) -> str:
    return next((line for line in text.splitlines() if line.startswith(f" {name} ")), "")


async def test_the_newest_warning_else_the_newest_line_of_logs_that_are_followed(
    make_acme: MakeAcme, lines: Filled
) -> None:
    room = make_acme(target=TARGET)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        assert row(pane_text(room, "card"), "log") == ""  # nobody follows: nothing is made up
        pane = room.pane("logs")
        assert isinstance(pane, Logs)
        pane.begin(TARGET, lines.spool)

        async def shown(text: str) -> None:
            assert pane.window is not None
            pane.window.look(0)
            room.pane("card").renew()
            assert text in row(pane_text(room, "card"), "log"), pane_text(room, "card")

        lines.add("INFO ready", "INFO GET /orders 200")
        lines.notice("is silent: no answer")
        await shown("web-1 INFO GET /orders 200")
        lines.add("ERROR KeyError: 'tax_rate'", '  File "price.py", line 88', "INFO GET /orders 200")
        await shown("web-1 ERROR KeyError: 'tax_rate'")
        lines.add(*["INFO GET /orders 200"] * LAST)
        await shown("INFO GET")  # the error is long past
        room.choose("dev/api")
        room.pane("card").renew()
        assert row(pane_text(room, "card"), "log") == ""  # those were another target's


def test_an_older_release_that_turned_out_to_be_bad_is_not_offered(filled: Qd) -> None:
    with filled.journal() as journal:
        before = once_good(journal.releases(TARGET), None)
        assert [version for _, version in before] == ["v2", "v1"]
        journal.judge(before[0][0], "bad", "5xx")
        assert once_good(journal.releases(TARGET), None) == before[1:]


def test_a_lost_host_is_named_once() -> None:
    host = HostSeen("web-1", release="v1-0", seen="2026-11-24T14:00:00Z", error="web-1: connect: no answer within 10 s")
    seen = TargetSeen(TARGET, "production", "api", release="v1-0", version="v1", hosts=(host,))
    text, _ = why(seen, NOW)
    assert text.startswith("web-1: connect: no answer")


async def test_what_the_way_back_changes_of_the_configuration(make_room: MakeRoom) -> None:
    room = make_room(target=TARGET)
    async with room.run_test(size=(120, 35)) as pilot:
        # v1 and v2 of that journal have another greeting and another file
        await until(pilot, lambda: "config 1 env 1 files" in row(pane_text(room, "card"), "back"), "the comparison")
        room.choose("staging/api")
        await until(pilot, lambda: "config" not in pane_text(room, "card"), "another target's")


async def test_the_path_of_a_rollback_counts_the_hosts_that_it_would_change(make_acme: MakeAcme) -> None:
    """Half of them run what it leads to already."""
    room = make_acme(target=TARGET)
    async with room.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await until(pilot, lambda: bool(row(pane_text(room, "card"), "path")), "the path")
        assert "switch 2 of 4 hosts to v143 in production -> check their health" in row(pane_text(room, "card"), "path")
