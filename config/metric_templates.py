"""``{{release}}`` and its kind in a metric or a notification: which names there are, and putting values in their place."""

import re
from collections.abc import Callable, Collection, Mapping

from quarterdeck.config.analyses import PLACEHOLDERS
from quarterdeck.config.problems import nearest
from quarterdeck.config.scalars import Unfit

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def placeholders(text: str, known: Collection[str] = PLACEHOLDERS) -> tuple[str, ...]:
    """The names in ``text``, each once. Raises ``Unfit`` for one that is not ``known``, with the nearest that is."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise Unfit(
                f"{{{{{name}}}}} can't be filled in, only {', '.join(known)}",
                nearest=f"{{{{{near}}}}}" if near else None,
            )
    return names


def filled(text: str, values: Mapping[str, str], written: Callable[[str], str]) -> str:
    """``text`` with the value of each name, in the form that ``written`` gives it. A value is never looked into for names."""
    return _PLACEHOLDER.sub(lambda found: written(values[found[1]]), text)
