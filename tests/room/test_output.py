"""What a command printed, as rows of the exec card: nothing is lost at the edge, and no line takes the card over. Pure."""

import pytest

from quarterdeck.tui.room.cards.output import MOST_ROWS, Output
from quarterdeck.tui.room.rows import Role, plain, width_of

WIDTH = 40


def filled(*lines: str, kept: int = 100, head: str = "") -> Output:
    output = Output(kept)
    for line in lines:
        output.add(head, line, Role.PLAIN)
    return output


@pytest.mark.parametrize("text", ["", "short", "x" * 39 + "|" + "y" * 60, "\u6f22" * 70])
@pytest.mark.parametrize("head", ["", "box-1      "])
def test_a_long_line_is_broken_and_whole(text: str, head: str) -> None:
    rows = filled(text, head=head).rows(WIDTH, None)
    assert all(width_of(row) <= WIDTH for row in rows)
    assert "".join(plain(row)[len(head) :] for row in rows) == text
    assert plain(rows[0]).startswith(head)
    assert not any("box" in plain(row) for row in rows[1:]), "the host is named once"


def test_cut_lines_are_moved_sideways_and_their_hosts_stay() -> None:
    output = filled("0123456789" * 9, "ab", head="box-1 ")
    assert [plain(row)[:12] for row in output.rows(WIDTH, 20)] == ["box-1 012345", "box-1 "]
    assert output.longest == 90


def test_rows_follow_what_is_added_and_forgotten_at_every_width() -> None:
    output = filled(kept=3)
    for shape in ((WIDTH, None), (20, None)):
        assert output.rows(*shape) == []
    for number in range(5):
        output.add("", f"{number}" * 30, Role.PLAIN)
    for width, shift in ((WIDTH, None), (20, None), (20, 25)):
        made_anew = filled(*(f"{number}" * 30 for number in (2, 3, 4)), kept=3)
        assert output.rows(width, shift) == made_anew.rows(width, shift)
    assert len(output) == 3


def test_no_line_takes_the_card_over() -> None:
    rows = filled("x" * 65_536).rows(WIDTH, None)
    assert len(rows) == MOST_ROWS + 1
    assert plain(rows[-1]) == ".."
