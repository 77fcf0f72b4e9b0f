"""What every kind of host remembers of a release, and the names that a release may have there. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.release import Release, to_json

_RELEASE_ID = re.compile(r"[A-Za-z0-9_+~@=,%][A-Za-z0-9._+~@=,:%-]{0,200}\Z")


def check_release_id(host: str, action: str, release_id: str) -> None:
    """Raises ``BackendError`` where it could be anything else than one name on the host."""
    if not _RELEASE_ID.match(release_id):
        raise BackendError(host, action, f"{release_id!r} can't be the name of a release's directory")


def manifest(release: Release) -> dict[str, Any]:
    """Enough for another bastion to adopt the release."""
    return {"format": 1, "id": release.id, "digest": release.digest, "release": to_json(release)}


def parse_manifest(text: str) -> Mapping[str, object] | None:
    """The manifest as written on a host; None where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # a broken host's may be anything
        return None
    return found if isinstance(found, dict) else None
