"""One node of the Swarm that tests start, and the ways to its engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

TLS_PORT: Final = 2376
_PATIENCE: Final = httpx.Timeout(15, connect=5)
"""Who listens takes a connection at once; a machine that is lost does not, and a busy one answers late."""


@dataclass(frozen=True, slots=True)
class Node:
    """One manager. ``index`` counts from 0, as in ``Swarm.nodes``; ``address`` can be reached from this machine."""

    index: int
    hostname: str
    socket: Path
    address: str

    @property
    def docker(self) -> str:
        return f"unix://{self.socket}"

    @property
    def over_tls(self) -> str:
        """The same engine for whoever has ``Swarm.certificates``."""
        return f"tcp://{self.address}:{TLS_PORT}"

    @property
    def over_ssh(self) -> str:
        """The same, by an sshd of this machine that is called as the node is."""
        return f"ssh://{self.hostname}{self.socket}"

    def get(self, port: int, path: str = "/version") -> str | None:
        """What is answered there over HTTP, without white space at its ends; None when nothing good is."""
        try:
            answer = httpx.get(f"http://{self.address}:{port}{path}", timeout=_PATIENCE, trust_env=False)
        except httpx.HTTPError:
            return None
        return answer.text.strip() if answer.is_success else None
