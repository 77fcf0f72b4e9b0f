"""A line that somebody types: text, cursor, completion by Tab, older lines by the arrows. Pure but for its own state."""

from collections.abc import Callable, Sequence

import msgspec

Complete = Callable[[str], Sequence[str]]
"""From what stands before the cursor to the words that its last word may become."""

LONGEST = 4000  # characters: a reason or a command is shorter


class Editing(msgspec.Struct):
    """``at``: the cursor, from 0 to the end. ``candidates``: what Tab offers now; ``history``: oldest first."""

    text: str = ""
    at: int = 0
    complete: Complete | None = None
    history: Sequence[str] = ()
    candidates: tuple[str, ...] = ()
    _recalled: int = 0  # how many lines back
    _draft: str = ""
    _cycle: int = msgspec.field(default=-1)

    def __post_init__(self) -> None:
        self.at = len(self.text)

    def set(self, text: str) -> None:
        self.text = text
        self.at = len(text)
        self._settled()

    def _settled(self) -> None:
        self.candidates, self._cycle = (), -1

    def insert(self, text: str) -> None:
        """Typed or pasted; what can't be shown becomes a space, so that a pasted line break starts nothing."""
        clean = "".join(c if c.isprintable() else " " for c in text)[: max(LONGEST - len(self.text), 0)]
        self.text = self.text[: self.at] + clean + self.text[self.at :]
        self.at += len(clean)
        self._settled()

    def key(self, key: str) -> bool:
        """Whether ``key`` (Textual's name) edited the line or moved in it."""
        match key:
            case "left" | "ctrl+b":
                self.at = max(self.at - 1, 0)
            case "right" | "ctrl+f":
                self.at = min(self.at + 1, len(self.text))
            case "home" | "ctrl+a":
                self.at = 0
            case "end" | "ctrl+e":
                self.at = len(self.text)
            case "backspace" | "ctrl+h":
                self._remove(max(self.at - 1, 0), self.at)
            case "delete" | "ctrl+d":
                self._remove(self.at, self.at + 1)
            case "ctrl+w":
                self._remove(self._word_start(), self.at)
            case "ctrl+u":
                self._remove(0, self.at)
            case "ctrl+k":
                self._remove(self.at, len(self.text))
            case "up" | "ctrl+p":
                self._recall(1)
            case "down" | "ctrl+n":
                self._recall(-1)
            case "tab":
                self._tab(1)
            case "shift+tab":
                self._tab(-1)
            case _:
                return False
        return True

    def _remove(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.at = start
        self._settled()

    def _word_start(self) -> int:
        before = self.text[: self.at].rstrip()
        return before.rfind(" ") + 1

    def _recall(self, by: int) -> None:
        wanted = max(0, min(self._recalled + by, len(self.history)))
        if wanted == self._recalled:
            return
        if self._recalled == 0:
            self._draft = self.text
        self._recalled = wanted
        self.set(self._draft if wanted == 0 else self.history[-wanted])

    def _tab(self, by: int) -> None:
        if self.complete is None:
            return
        if self.candidates:  # again: the next one
            self._cycle = (self._cycle + by) % len(self.candidates)
            self._put(self.candidates[self._cycle])
            return
        found = tuple(self.complete(self.text[: self.at]))
        if len(found) == 1:
            self._put(found[0] + " ")
            self._settled()
        elif found:
            common = _common(found)
            if len(common) > len(self.text[: self.at].rpartition(" ")[2]):  # what only holds the word has none of it
                self._put(common)
            self.candidates, self._cycle = found, -1 if by > 0 else 0

    def _put(self, word: str) -> None:
        """In the place of the word that ends at the cursor."""
        start = self.text[: self.at].rfind(" ") + 1
        self.text = self.text[:start] + word + self.text[self.at :]
        self.at = start + len(word)


def _common(words: Sequence[str]) -> str:
    """What all of them begin with."""
    least, most = min(words), max(words)
    end = 0
    while end < min(len(least), len(most)) and least[end] == most[end]:
        end += 1
    return least[:end]
