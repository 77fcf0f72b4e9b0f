"""Foreign text in a Markdown document: a version, a reason or a log line can't end a table, open a code block, or become HTML. Pure."""

import re
from collections.abc import Iterable, Sequence

from quarterdeck.backends.text_cleaning import clean

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~#$&!]")
_LINKS = re.compile(r"(?i)\b(https?|ftp|mailto)(:)|\b(www)(\.)")
_FENCE = re.compile(r"`+")


def inline(text: str) -> str:
    """On one line, without any meaning to Markdown, a table or HTML; addresses become no links."""
    text = " ".join(clean(text).split())
    text = _SPECIAL.sub(lambda found: _entity(found[0]), text)
    return _LINKS.sub(lambda found: f"{found[1] or found[3]}\\{found[2] or found[4]}", text)


def _entity(character: str) -> str:
    """HTML's own three as entities: a renderer that knows no backslash before them is still harmless."""
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(character, f"\\{character}")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Cells are escaped already; an empty one is a dash."""
    lines = [f"| {' | '.join(headers)} |", f"| {' | '.join('---' for _ in headers)} |"]
    return [*lines, *(f"| {' | '.join(cell or '-' for cell in cells)} |" for cells in rows)]


def block(lines: Iterable[str], kind: str = "text") -> list[str]:
    """A code block whose fence is longer than any run of backticks in it. Each line is cleaned, and stays one line."""
    cleaned = [" ".join(clean(line).splitlines()) for line in lines]
    longest = max((len(run) for line in cleaned for run in _FENCE.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{kind}", *cleaned, fence]
