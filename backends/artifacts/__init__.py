"""Artifacts: from a version's name to bytes that were checked. Listed, resolved to a SHA-256, fetched into a cache.

Nothing is unpacked here, and no client of a protocol is imported before a URL asks for it.
"""

from quarterdeck.backends.artifacts.cache import CacheBounds
from quarterdeck.backends.artifacts.fetching import fetch
from quarterdeck.backends.artifacts.location import check_version
from quarterdeck.backends.artifacts.over_ssh import over_ssh
from quarterdeck.backends.artifacts.places import SftpConnect
from quarterdeck.backends.artifacts.resolving import available, resolve
from quarterdeck.backends.artifacts.tar_safety import ArchiveSummary, check, check_archive

__all__ = [
    "ArchiveSummary",
    "CacheBounds",
    "SftpConnect",
    "available",
    "check",
    "check_archive",
    "check_version",
    "fetch",
    "over_ssh",
    "resolve",
]
