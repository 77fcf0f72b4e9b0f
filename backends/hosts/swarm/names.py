"""The names and labels that Quarterdeck gives to what it makes in a Swarm, beside those of engines. Pure.

Only what carries ``TARGET`` with the target's name is ever changed or removed."""

import hashlib
from typing import Final

from quarterdeck.backends.hosts.docker import names as on_engines
from quarterdeck.backends.hosts.docker.names import slug, tag
from quarterdeck.config.release import Release

_PREFIX: Final = "dev.quarterdeck."
NONCE: Final = f"{_PREFIX}nonce"  # of the last change of a service: by it is told whether a change was made
LEAVING: Final = f"{_PREFIX}leaving"  # the service is being removed: nobody goes on with it
SOURCE: Final = f"{_PREFIX}source"  # of a Swarm secret: its name among the target's secrets
FINGERPRINT: Final = f"{_PREFIX}fingerprint"  # of a Swarm secret's value: salt and scrypt
REGISTER: Final = f"{_PREFIX}register"  # on the config that keeps what the target's hosts remember

_SERVICE: Final = "_-"  # beside letters and digits, in a service's name: it is a name in DNS
_OBJECT: Final = "_.-"  # in a config's, and a secret's
LONGEST: Final = 63  # characters of a service's name
_LONGEST_OBJECT: Final = 64  # of a config's, and a secret's


def live_name(release: Release) -> str:
    """The name of the service that goes from release to release."""
    return _short(on_engines.live_name(release), LONGEST, _SERVICE)


def kept_service(live: str, release_id: str) -> str:
    """The name of the service that holds a release while it waits, or runs beside another: unlike the live name of any service."""
    return _short(f"{live}-{tag(release_id).lower()}", LONGEST, _SERVICE)


def hook(live: str, nonce: str) -> str:
    """The name of the service of one hook."""
    return f"{_short(f'{live}-hook', LONGEST - 1 - len(nonce), _SERVICE)}-{nonce}"


def register(target: str) -> str:
    return _short(f"quarterdeck.{slug(target)}", _LONGEST_OBJECT)


def config(live: str, content_sha256: str) -> str:
    """A file of a release. Immutable, so it is named by what it holds: the same file of another release is the same config."""
    return _short(f"{live}.{content_sha256[:16]}", _LONGEST_OBJECT)


def secret(live: str, source: str, nonce: str) -> str:
    return f"{_short(f'{live}.{source}', _LONGEST_OBJECT - 1 - len(nonce))}.{nonce}"


def _short(name: str, longest: int, marks: str = _OBJECT) -> str:
    """``name`` in what a Swarm takes, different for different names."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in marks) else "-" for c in name).strip("-_.")
    if allowed == name and len(name) <= longest:
        return name
    end = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{allowed[: longest - 9].rstrip('-_.')}-{end}"
