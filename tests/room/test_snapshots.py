"""Every screen at three sizes and in three looks, compared with the pictures that are kept. A new screen is one line in SCREENS."""

from collections.abc import Callable

import pytest

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.panes.logs import Logs
from quarterdeck.tui.room.rows import Row
from tests.cli.qd_command import Qd
from tests.room.acme import NOW, roll_back_cron
from tests.room.conftest import MakeAcme
from tests.room.live_cards import live_card
from tests.room.pictures import SIZES, UPDATE, Screen, compare
from tests.room.seen import pane_text
from tests.room.spools import Filled


def _shows(pane: str, text: str) -> Callable[[Room], bool]:
    return lambda room: text in pane_text(room, pane)


def _card_shows(text: str) -> Callable[[Room], bool]:
    """And its keys are no longer dead: else there is `wait` in the place of what the first one does."""
    return lambda room: (
        all(card.guard.open for card in room.cards())
        and any(text in "".join(span.text for span in row) for row in _face_rows(room))
    )


def _face_rows(room: Room) -> list[Row]:
    return [row for card in room.cards() for row in card._face._rows]


def _live_card(room: Room) -> None:
    """Of the rollout that is under way on the chosen target."""
    assert room.target is not None
    assert room.target.moving is not None
    room.push_screen(live_card(room, room.target.moving.id))


def _some_logs(room: Room) -> None:
    """On its view, with lines of a service that is ill; nobody follows a host."""
    lines = Filled(lines=1 << 16, text=1 << 24)
    lines.time = int(NOW.timestamp() * 1000) - 20_000
    lines.add("INFO ready", "INFO GET /orders 200 12ms")
    lines.add("INFO GET /healthz 200 1ms", "WARN slow query 812ms orders.by_user", host=1)
    for number in range(4):
        lines.add(
            f"ERROR KeyError: 'tax_rate' POST /api/orders req=9e1{number}", '  File "/app/orders/price.py", line 88'
        )
    lines.add("INFO GET /orders 200 9ms", "INFO GET /carts 200 7ms", host=3)
    room.visit("logs")
    pane = room.pane("logs")
    assert isinstance(pane, Logs)
    pane.begin(room.place.target, lines.spool)


SCREENS = (
    Screen("overview"),
    Screen("overview-failed", target="staging/search"),
    Screen("rollouts", ("2",), ready=_shows("rollout", "web-1")),
    Screen("rollout", ("2", "enter", "j"), ready=_shows("rollout", "enter: a step")),
    Screen("logs", ("3",)),
    Screen("health", ("4",)),
    Screen("history", ("5",), ready=_shows("entry", "hash")),
    Screen("history-entry", ("e", "j", "j"), ready=_shows("entry", "hash")),
    Screen("history-steps", ("5", "v"), ready=_shows("history", "every step")),
    Screen("drift", ("6",), ready=_shows("drift", "billing")),
    Screen("readiness", ("7",), ready=_shows("readiness", "WHY NOT")),
    Screen("builds", ("8",), ready=_shows("builds", "v142")),
    Screen("filtered", ("slash", *"mailer")),
    Screen("zoomed", ("z",)),
    Screen("diff", ("d",), ready=_card_shows("version")),
    Screen("versions", ("D",), ready=_card_shows("v142")),
    Screen("palette", ("ctrl+p", *"ro")),
    Screen("help", ("question_mark",)),
    Screen("command", ("colon", *"deploy prod")),
    Screen("refused", ("A",), target="production/cron", ready=_card_shows("ended already")),
    Screen("abort", ("A",), ready=_card_shows("abort")),
    Screen(
        "rollback-live",
        target="production/cron",
        journal=roll_back_cron,
        begin=_live_card,
        ready=_card_shows("2 of 4 hosts"),
    ),
    Screen("deploy-live", begin=_live_card, ready=_card_shows("2 of 4 hosts")),
    Screen("logs-filtered", ("slash", *"orders"), begin=_some_logs, ready=_shows("logs", "/orders/")),
    Screen("stats", ("colon", *"stats", "enter"), ready=_card_shows("change failure rate")),
    Screen("ways-on", ("p",), target="preprod/web", ready=_card_shows("resume")),
)


@pytest.mark.parametrize(("screen", "size"), [(screen, size) for screen in SCREENS for size in SIZES], ids=str)
async def test_it_looks_as_it_did(make_acme: MakeAcme, acme: Qd, screen: Screen, size: tuple[int, int]) -> None:
    screen.journal(acme.state)
    await compare(make_acme(target=screen.target), screen, size)


@pytest.mark.skipif(UPDATE, reason="the pictures are being written")
async def test_another_target_in_the_cursor_is_noticed(make_acme: MakeAcme) -> None:
    with pytest.raises(AssertionError, match=r"overview\.80x24\.txt(.|\n)*overview\.80x24\.dark\.styles"):
        await compare(make_acme(target="dev/api"), Screen("overview"), (80, 24))
