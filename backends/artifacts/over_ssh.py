"""How sftp:// artifacts are reached: as hosts are, with the same configuration, host keys, logins and jump hosts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.backends.artifacts.places import SftpConnect
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    import asyncssh

    from quarterdeck.backends.hosts.ssh.connection import SshConnection


def over_ssh(ssh_config: Sequence[Path] = (), known_hosts: Sequence[Path] = ()) -> SftpConnect:
    """What ``resolve``, ``fetch`` and ``available`` take as ``connect``. Empty: the user's own files, as ssh does.

    The result raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``.
    """
    giving_back: set[asyncio.Task[None]] = set()

    async def connect(host: str) -> "asyncssh.SSHClientConnection":
        from quarterdeck.backends.hosts.ssh.backend import SshBackend

        opened = await SshBackend(ssh_config, known_hosts).connect(Host(host, host))
        task = asyncio.create_task(_give_back(opened))
        giving_back.add(task)
        task.add_done_callback(giving_back.discard)
        return opened.ssh

    return connect


async def _give_back(opened: "SshConnection") -> None:
    """Whoever fetched closes its connection; the jump hosts in front of it are closed then too."""
    await opened.ssh.wait_closed()
    await opened.close()
