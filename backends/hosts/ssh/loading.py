"""Loads asyncssh quickly, before anything else imports it. Changes nothing about what it can do for this program.

asyncssh looks for liboqs, which gives it sntrup761: a key exchange that ``algorithms`` does not offer (ML-KEM comes from
cryptography). Python looks for a library by starting ldconfig, and the compiler and the linker where they are installed:
eight processes, which take longer than the rest of the import.
"""

import ctypes.util
from typing import Final

_NOT_NEEDED: Final = ("oqs", "liboqs")


def load_asyncssh() -> None:
    find = ctypes.util.find_library

    def find_needed(name: str) -> str | None:
        return None if name in _NOT_NEEDED else find(name)

    ctypes.util.find_library = find_needed
    try:
        import asyncssh  # noqa: F401
    finally:
        ctypes.util.find_library = find
