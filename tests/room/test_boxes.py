"""Where panes lie: at every size of a terminal they stay on the screen and never cover each other."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.tui.room.boxes import Box, frame, zoomed
from quarterdeck.tui.room.views import VIEWS

sizes = st.tuples(st.integers(60, 250), st.integers(16, 80))


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@settings(max_examples=400, deadline=None)
@given(size=sizes, view=st.sampled_from(sorted(VIEWS)))
def test_panes_stay_on_the_screen_and_never_overlap(size: tuple[int, int], view: str) -> None:
    width, height = size
    fixed = {name: box for name, box in frame(width, height).items() if name != "body"}
    boxes = {name: box for name, box in (fixed | VIEWS[view].layout(width, height)).items() if box.width and box.height}
    for name, box in boxes.items():
        assert min(box.x, box.y, box.width, box.height) >= 0, name
        assert box.x + box.width <= width, name
        assert box.y + box.height <= height, name
    for (first, one), (second, other) in combinations(boxes.items(), 2):
        assert not _overlap(one, other), (first, second)


@settings(max_examples=300, deadline=None)
@given(size=sizes)
def test_the_overview_has_what_counts_at_every_size_and_wastes_no_line(size: tuple[int, int]) -> None:
    width, height = size
    boxes = VIEWS["overview"].layout(width, height)
    body = frame(width, height)["body"]
    assert boxes["matrix"].height >= 5
    assert boxes["matrix"].width >= 60
    assert boxes["card"].height >= 2
    assert boxes["rollouts"].height >= 3
    covered = {y for box in boxes.values() for y in range(box.y, box.y + box.height)}
    assert covered == set(range(body.y, body.y + body.height))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 35), (200, 60), (250, 80)])
def test_larger_terminals_show_more(size: tuple[int, int]) -> None:
    width, height = size
    shown = set(VIEWS["overview"].layout(width, height))
    assert {"matrix", "card", "rollouts"} <= shown
    assert ("health" in shown) is (width >= 110 and height >= 30)
    assert ("diff" in shown) is (width >= 170 and height >= 45)
    assert zoomed(width, height, "matrix") == {"matrix": frame(width, height)["body"]}
