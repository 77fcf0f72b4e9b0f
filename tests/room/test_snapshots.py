"""Every screen at three sizes and in three looks, compared with the pictures that are kept. A new screen is one line in SCREENS."""

import pytest

from tests.room.conftest import MakeAcme
from tests.room.pictures import PICTURED_LOOKS, UPDATE, Screen, compare

SCREENS = (
    Screen("overview"),
    Screen("overview-failed", target="staging/search"),
)


@pytest.mark.parametrize("look", PICTURED_LOOKS)
@pytest.mark.parametrize(
    ("screen", "size"), [(screen, size) for screen in SCREENS for size in screen.sizes], ids=lambda value: str(value)
)
async def test_it_looks_as_it_did(make_acme: MakeAcme, screen: Screen, size: tuple[int, int], look: str) -> None:
    await compare(make_acme(target=screen.target, look=look), screen, size)


@pytest.mark.skipif(UPDATE, reason="the pictures are being written")
async def test_another_target_in_the_cursor_is_noticed(make_acme: MakeAcme) -> None:
    with pytest.raises(AssertionError, match=r"overview\.80x24\.txt(.|\n)*overview\.80x24\.dark\.styles"):
        await compare(make_acme(target="dev/api"), Screen("overview"), (80, 24))
