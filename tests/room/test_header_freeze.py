"""What is frozen stands in the header, in as many words as there is room for."""

from datetime import UTC, datetime

from quarterdeck.rollouts.freezes import Frozen
from quarterdeck.tui.room.freezing import header_span
from quarterdeck.tui.room.rows import cells

UNTIL = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
FROZEN = [("production", Frozen((), UNTIL))]


def test_it_is_named_whole_where_there_is_room() -> None:
    assert header_span(FROZEN, wide=False).text == "freeze: production"
    assert header_span(FROZEN, wide=True).text == "freeze: production until Mon 07:00Z"
    assert header_span([*FROZEN, *FROZEN], wide=False).text == "freeze: production +1"


def test_it_is_shortened_and_not_left_out_where_there_is_none() -> None:
    assert header_span(FROZEN, wide=False, room=17).text == "# PROD"
    assert header_span([*FROZEN, *FROZEN], wide=True, room=20).text == "# PROD +1"
    assert cells(header_span(FROZEN, wide=False, room=18).text) == 18
    assert header_span([], wide=False, room=3).text == "freeze: none"
