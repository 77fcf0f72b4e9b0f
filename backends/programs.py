"""Starting a program of this machine whose words may hold a secret, and ending it with all that it started.

Nobody sees its stderr, it has no terminal to ask on, and nothing of it is left when whoever waits has gone.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path


async def start(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    stderr: int = asyncio.subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Started in ``folder`` (None: where qd is) with its stdout as a pipe, in ``environment`` (None: that of qd). ``stderr``: a pipe only
    of a program that holds no secret. Raises ``OSError`` when it can't be."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *arguments,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=environment,
            start_new_session=True,  # no terminal to ask on, and a group that can be ended together
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would end the program that it has just started, and leave what that one started already.
        with contextlib.suppress(OSError):
            await end(await starting)
        raise


async def end(process: asyncio.subprocess.Process) -> None:
    """Kills the program and its group, and waits for it for a little while."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Not for ever: a grandchild that left the group keeps the output open, and wait() waits for that too.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2.0):
            await process.wait()
