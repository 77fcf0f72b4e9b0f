"""What a pane makes of a picture and its filter, made once for each of them: a pane is built with every key and every second, and a picture
may have thousands of targets. Says the same as making it anew."""

from collections.abc import Callable
from typing import Generic, TypeVar

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.tui.room.matching import EVERYTHING, Matcher

T = TypeVar("T")


class Once(Generic[T]):
    """``make`` must go by the picture and the filter alone: not by the time, and not by what is chosen."""

    def __init__(self, make: Callable[[Picture, Matcher], T]) -> None:
        self._make = make
        self._made: tuple[Picture, Matcher, T] | None = None

    def of(self, picture: Picture, find: Matcher = EVERYTHING) -> T:
        made = self._made
        if made is not None and made[0] is picture and made[1] == find:
            return made[2]
        found = self._make(picture, find)
        self._made = (picture, find, found)
        return found
