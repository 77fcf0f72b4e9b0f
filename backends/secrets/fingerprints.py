"""Tells whether a secret has changed without keeping it: a salted scrypt hash, about 10 ms for each guess."""

import asyncio
import hashlib
import hmac
import os
import re
from collections.abc import Mapping

_SALT_BYTES = 16
_FORM = re.compile(r"([0-9a-f]{32}):([0-9a-f]{64})")


def fingerprint(value: str, salt: bytes | None = None) -> str:
    """``<salt>:<hash>`` in hex. Blocks for about 10 ms: for many, or in an event loop, use ``fingerprints``."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    # RFC 7914; N is far below what passwords need: a release has many secrets, and these are not chosen by people.
    digest = hashlib.scrypt(value.encode("utf-8", "surrogateescape"), salt=salt, n=2**12, r=8, p=1, dklen=32)
    return f"{salt.hex()}:{digest.hex()}"


def same(value: str, known: str) -> bool:
    """Whether ``known`` is a fingerprint of ``value``. False for what is no fingerprint."""
    match = _FORM.fullmatch(known)
    if match is None:
        return False
    return hmac.compare_digest(fingerprint(value, bytes.fromhex(match[1])), known)


async def fingerprints(values: Mapping[str, str]) -> dict[str, str]:
    """One for each name, computed off the event loop."""
    return await asyncio.to_thread(lambda: {name: fingerprint(value) for name, value in values.items()})
