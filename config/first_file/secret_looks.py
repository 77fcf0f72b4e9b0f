"""Whether a variable looks as if it held a secret. In doubt it does: a reference to a variable costs nothing, a password in a
file that is kept in git costs much."""

import itertools
import re

_NAMES = re.compile(
    r"(?i)(^|_)(pass|passw(or)?d|pwd|passphrase|secrets?|tokens?|credentials?|salt|pepper|dsn|auth|keys?|webhook|apikey"
    r"|cookie|jwt|certificate|cert)(_|[0-9]*$)|passw(or)?d|secret|apikey|api_?key|private_?key|access_?key|auth_?token"
)
_HARMLESS = re.compile(r"(?i)(_|^)(key_?prefix|auth_?(url|host|method|enabled)|token_?(ttl|url)|secret_?(path|name))$")
_FULL = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@"  # a password in a URL
    r"|-----BEGIN "
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|\b(AKIA|ASIA)[A-Z0-9]{12,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_|\bglpat-|\bxox[abprs]-|\b[sr]k[-_](live|test|proj|ant)"
    r"|\bAIza[A-Za-z0-9_-]{20,}|\bSG\.[A-Za-z0-9_-]{16,}|\bhooks\.slack\.com/"
    r"|(?i:[?&;](password|passwd|pwd|token|secret|key|sig)=)|(?i:\b(password|pwd)=[^;\s]+;?)"
)
_RANDOM = re.compile(r"[A-Za-z0-9+/=_-]{20,}")


def looks_secret(name: str, value: str = "") -> bool:
    """By the name of the variable, or by its value."""
    if _HARMLESS.search(name) and not _FULL.search(value):
        return False
    if _NAMES.search(name):
        return True
    return bool(_FULL.search(value)) or _looks_random(value)


def without_secrets(sentence: str) -> str:
    """``sentence`` with what it quotes of somebody's file masked where that looks as if it held a secret."""
    return re.sub(r"`([^`]*)`", lambda found: "`…`" if _quotes_a_secret(found[1]) else found[0], sentence)


def _quotes_a_secret(text: str) -> bool:
    name, sign, value = re.sub(r"[=:]", "=", text, count=1).partition("=")
    words = re.findall(r"[A-Za-z0-9_]+", name)
    return looks_secret("", text) or (bool(sign and value and words) and looks_secret(words[-1], value))


def _looks_random(value: str) -> bool:
    """Long, without spaces, and letters mixed with digits, as nobody writes who means a word."""
    if not _RANDOM.fullmatch(value):
        return False
    changes = sum(
        1
        for before, after in itertools.pairwise(value)
        if _kind(before) != _kind(after) and "other" not in (_kind(before), _kind(after))
    )
    return changes >= len(value) / 4


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if character.isalpha():
        return "upper" if character.isupper() else "lower"
    return "other"
