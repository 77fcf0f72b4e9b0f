"""Loads msgspec quickly, before anything else imports it. Changes nothing about what it can do.

msgspec takes from typing_extensions what Python's own typing has had since 3.11. Where that module is installed (Textual needs it), it
loads inspect, ast, dis and tokenize with it: a third of the time that msgspec takes to load, at every start of ``qd``.
"""

import sys
from typing import Any, Final

_NOT_NEEDED: Final = "typing_extensions"


def load_msgspec() -> None:
    modules: dict[str, Any] = sys.modules
    if "msgspec" in modules or _NOT_NEEDED in modules:
        return
    modules[_NOT_NEEDED] = None  # an import of it fails, and msgspec looks in typing
    try:
        import msgspec  # noqa: F401
    finally:
        del modules[_NOT_NEEDED]
