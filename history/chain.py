"""The form in which an event enters the audit chain. A change here would make every old journal look edited."""

import json
from json.encoder import encode_basestring as quoted  # what json.dumps(…, ensure_ascii=False) does with a string
from typing import Any

START = "0" * 64  # the hash before the first event


def plain(text: str) -> str:
    """Text that can be stored: what is no character (bytes of an argument that are not UTF-8) becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def to_text(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, characters as they are. What JSON does not know is stored as its text."""
    return plain(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str))


def from_text(text: str) -> Any:
    """The value of a stored JSON text."""
    return json.loads(text)


def link(
    previous: str,
    seq: int,
    time: str,
    uid: int,
    who: str,
    kind: str,
    target: str | None,
    rollout: int | None,
    host: str | None,
    body: str,
) -> str:
    """SHA-256 (hex) of the previous hash (its 64 hex digits) followed by the event's canonical JSON; ``body`` is JSON already."""
    content = (
        f'{{"body":{body},"host":{_text(host)},"kind":{quoted(kind)},"rollout":{"null" if rollout is None else rollout},'
        f'"seq":{seq},"target":{_text(target)},"time":{quoted(time)},"uid":{uid},"who":{quoted(who)}}}'
    )
    import hashlib  # OpenSSL with it: who only reads needs none

    return hashlib.sha256(f"{previous}{content}".encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)
