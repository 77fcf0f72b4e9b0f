"""A fleet on this machine to try everything on: embedded SSH hosts, real processes, artifacts of several versions; and where this machine
has a Docker engine, a container on it.

Needs no root, no Docker and no sshd (Linux only: it reads /proc and uses 127.0.0.0/8). It must never listen on anything
but loopback, never let anybody in but the playground's own key, never touch a directory, a process or anything on an engine
that is not its own.
"""

from quarterdeck.backends.playground.layout import Playground, PlaygroundError, PlaygroundHost
from quarterdeck.backends.playground.lifecycle import default_directory, describe, is_running, start, stop
from quarterdeck.backends.playground.versions import BadVersions, bad_versions

__all__ = [
    "BadVersions",
    "Playground",
    "PlaygroundError",
    "PlaygroundHost",
    "bad_versions",
    "default_directory",
    "describe",
    "is_running",
    "start",
    "stop",
]
