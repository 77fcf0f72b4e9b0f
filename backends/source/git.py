"""git, as a program: what it may do, what it may ask, and how long it may take. No word of anybody else's is an option of it, none of its
transports runs a program of anybody's choice, and it has nobody to ask for a password."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from quarterdeck.backends import programs
from quarterdeck.backends.errors import THIS_MACHINE, CommitsUnknown
from quarterdeck.backends.text_cleaning import clean

LEFT: Final = "Nothing waits for it"
_MOST: Final = 4 * 1024 * 1024  # bytes of an answer
_MOST_SAID: Final = 64 * 1024
_SHOWN: Final = 300  # characters of what git said
# Of its own variables only those that say how it connects: one that is set by a hook of git's would lead it to another repository.
_KEPT: Final = ("GIT_SSH", "GIT_SSL_", "GIT_CONFIG_", "GIT_ASKPASS", "GIT_PROXY", "GIT_HTTP_", "GIT_EXEC_PATH")
_ALWAYS: Final = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "i18n.logOutputEncoding=UTF-8"),
    *("-c", "log.showSignature=false"),
    # One whose starter was killed ends by itself, when nothing comes any more.
    *("-c", "http.lowSpeedLimit=100"),
    *("-c", "http.lowSpeedTime=30"),
)


class GitEnded(CommitsUnknown):
    """It ended with ``exit_status`` other than 0."""

    def __init__(self, action: str, problem: str, *, exit_status: int, advice: str = "") -> None:
        super().__init__(THIS_MACHINE, action, problem, left=LEFT, advice=advice)
        self.exit_status = exit_status


async def git(arguments: Sequence[str], action: str, *, deadline: float, fetches: bool = False) -> str:
    """What it prints. ``action``: in words, for errors. ``fetches``: it may connect to where the repository is. It and its children end at
    the deadline (seconds). Raises CommitsUnknown, ``GitEnded`` where it says no."""
    try:
        async with asyncio.timeout(deadline):
            process = await programs.start(
                ["git", *_ALWAYS, *arguments],
                folder=Path("/"),
                environment=_environment(os.environ, fetches=fetches),
                stderr=asyncio.subprocess.PIPE,
            )
            finished = False
            try:
                assert process.stdout is not None
                assert process.stderr is not None
                output, said = await asyncio.gather(_read(process.stdout, _MOST), _read(process.stderr, _MOST_SAID))
                status = await process.wait() if len(output) <= _MOST else -1
                finished = len(output) <= _MOST
            finally:
                if not finished:
                    await programs.end(process)
    except TimeoutError:
        raise CommitsUnknown(
            THIS_MACHINE, action, f"git has not answered within {deadline:g} s", left=LEFT, advice="Try again later"
        ) from None
    except FileNotFoundError:
        raise CommitsUnknown(
            THIS_MACHINE, action, "git is not installed", left=LEFT, advice="Install git on this machine"
        ) from None
    except OSError as error:
        raise CommitsUnknown(THIS_MACHINE, action, f"git can't be started: {error.strerror}", left=LEFT) from None
    if len(output) > _MOST:
        raise CommitsUnknown(THIS_MACHINE, action, f"git says more than {_MOST} bytes", left=LEFT)
    if status != 0:
        words = _in_words(said)
        raise GitEnded(
            action, words or f"git ended with exit status {status}", exit_status=status, advice=_advice(words)
        )
    return output.decode("utf-8", "replace")


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """A little more than ``most`` bytes at most are kept; of stderr what comes behind them is read and left."""
    data = bytearray()
    while piece := await stream.read(65536):
        if len(data) <= most:
            data += piece
        if len(data) > most and most == _MOST:
            break
    return bytes(data[: most + 1])


def _environment(own: Mapping[str, str], *, fetches: bool) -> dict[str, str]:
    kept = {name: value for name, value in own.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    kept.pop("SSH_ASKPASS", None)  # a window that nobody sees
    ssh = own.get("GIT_SSH_COMMAND") or "ssh"
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file"
        if fetches
        else "none",  # ext:: is a shell command, http and git are not encrypted
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=10",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C.UTF-8",
    }


def _in_words(said: bytes) -> str:
    """The reason, of all that it says: its first line of an error."""
    lines = [" ".join(clean(line).split()) for line in said.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line]
    told = [line.partition(": ")[2] for line in lines if line.startswith(("fatal: ", "error: "))]
    remote = [
        line for line in lines if line.startswith(("remote: ", "ERROR: ", "ssh: ")) or "Permission denied" in line
    ]
    return "; ".join(dict.fromkeys([*remote[:1], *told[:1]] or lines[-1:]))[:_SHOWN].rstrip(".")


def _advice(words: str) -> str:
    if "terminal prompts disabled" in words or "Authentication failed" in words or "could not read Username" in words:
        return "Let one of git's credential helpers know the login: nobody is asked for it here"
    if "Permission denied" in words or "Host key verification failed" in words:
        return "Try it by hand as this user: git ls-remote, and the address"
    if "dubious ownership" in words:
        return "The repository belongs to another user: give its address by ssh:// or https://"
    return ""
