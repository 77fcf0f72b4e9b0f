"""One file on one machine, read whole and replaced whole: this machine's, or an SSH host's. Knows nothing of flags.

The same small script does it in both places. It replaces a file only as long as that is what was read, beside it and by a rename, so that
whoever watches it never sees half of it, and keeps its owner and permissions.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from quarterdeck.backends import programs
from quarterdeck.backends.errors import (
    BackendError,
    CommandFailed,
    CommandTimedOut,
    FlagRefused,
    NoSpace,
    NotPermitted,
    Unreachable,
)
from quarterdeck.backends.flags.contract import UNCHANGED, UNKNOWN
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.ssh.connection import SshConnection

_LARGEST: Final = 1024 * 1024  # bytes of a file

_READ: Final = """file=@FILE@
[ -f "$file" ] || exit 66
[ -r "$file" ] || exit 77
head -c @MOST@ "$file"
"""
# A connection that breaks in the middle ends the script before its last line, and that alone changes the file.
_REPLACE: Final = """set -f
file=@FILE@
[ -f "$file" ] || exit 66
file=$(readlink -f "$file") || exit 66
new="${file%/*}/.${file##*/}.qd-$$"
trap 'rm -f "$new" "$new.was"' EXIT
owner() { set -- $(ls -lnd "$1"); echo "$3:$4"; }
umask 077
cp -p "$file" "$new" || exit 77
[ "$(owner "$file")" = "$(owner "$new")" ] || exit 78
base64 -d >"$new" <<'QD_END' || exit 73
@NEW@
QD_END
base64 -d >"$new.was" <<'QD_END' || exit 73
@WAS@
QD_END
sync "$new" 2>/dev/null
cmp -s "$file" "$new.was" || exit 75
mv -f "$new" "$file" || exit 77
"""


class Ran(msgspec.Struct, frozen=True):
    status: int | None
    output: bytes
    errors: bytes


Run = Callable[[str, str], Awaitable[Ran]]
"""A script for ``sh``, and what it is for, in words. Raises ``BackendError``."""


class FlagFile:
    """``path`` is absolute, or ~/… for the home of whoever it is done as. ``host``: what errors call it."""

    def __init__(self, host: str, path: str, run: Run) -> None:
        self.host = host
        self._path = path
        self._run = run

    async def read(self) -> str:
        action = f"read {self._path}"
        ran = await self._run(_READ.replace("@MOST@", str(_LARGEST + 1)).replace("@FILE@", self._word), action)
        if ran.status != 0:
            raise self._refused(ran, action)
        if len(ran.output) > _LARGEST:
            raise FlagRefused(self.host, action, f"it has more than {_LARGEST} bytes", left=UNCHANGED)
        try:
            return ran.output.decode()
        except UnicodeDecodeError:
            raise FlagRefused(self.host, action, "it is no UTF-8 text", left=UNCHANGED) from None

    async def replace(self, was: str, new: str) -> None:
        """Refused where it is not ``was`` any more."""
        action = f"write {self._path}"
        script = _REPLACE.replace("@NEW@", _lines(new)).replace("@WAS@", _lines(was)).replace("@FILE@", self._word)
        ran = await self._run(script, action)
        if ran.status != 0:
            raise self._refused(ran, action)

    @property
    def _word(self) -> str:
        return '"$HOME"/' + quote(self._path[2:]) if self._path.startswith("~/") else quote(self._path)

    def _refused(self, ran: Ran, action: str) -> BackendError:
        said = clean(ran.errors.decode("utf-8", "replace")).strip()
        match ran.status:
            case 66:
                why, advice = f"there is no file {self._path}", "name the one that flagd reads in the fleet file"
                return FlagRefused(self.host, action, why, left=UNCHANGED, advice=advice)
            case 77:
                advice = "let the login user read that file, and write it and its directory"
                return NotPermitted(self.host, action, said or "not permitted", left=UNCHANGED, advice=advice)
            case 78:
                why = "its owner and group could not be kept: whoever reads it now might not be able to any more"
                return NotPermitted(
                    self.host, action, why, left=UNCHANGED, advice="let the login user own it, with its main group"
                )
            case 75:
                why = "somebody else has changed it in this very moment"
                return FlagRefused(self.host, action, why, left=UNCHANGED, advice="try it again")
            case 73:
                return NoSpace(self.host, action, said or "it can't be written", left=UNCHANGED)
        status = "no exit status came back" if ran.status is None else f"it ended with {ran.status}"
        why = f"{status}{': ' + said if said else ''}"
        return CommandFailed(self.host, action, why, exit_status=ran.status, left=UNKNOWN)


def here(host: str, path: str, *, deadline: float) -> FlagFile:
    """On the machine that qd runs on."""

    async def run(script: str, action: str) -> Ran:
        try:
            process = await programs.start(["/bin/sh"], stdin=asyncio.subprocess.PIPE)
        except OSError as error:
            raise BackendError(
                host, action, f"sh can't be started: {error.strerror or error}", left=UNCHANGED
            ) from None
        try:
            async with asyncio.timeout(deadline):
                output, _ = await process.communicate(f"exec 2>&1\n{script}".encode())
                status = process.returncode
        except TimeoutError:
            why = f"it did not end within {deadline:g} s and was ended"
            raise CommandTimedOut(host, action, why, exit_status=None, left=UNKNOWN) from None
        finally:
            if process.returncode is None:
                await asyncio.shield(programs.end(process))
        return Ran(status, output, output if status else b"")

    return FlagFile(host, path, run)


def there(host: str, path: str, connection: "SshConnection", *, deadline: float) -> FlagFile:
    """On a host that SSH reaches."""
    from quarterdeck.backends.hosts.ssh.channel import execute

    async def run(script: str, action: str) -> Ran:
        try:
            ended = await execute(
                connection.ssh, host, action, "exec /bin/sh", script.encode(), deadline=deadline, kill=True
            )
        except (Unreachable, CommandTimedOut) as error:
            error.left = UNKNOWN
            raise
        return Ran(ended.exit_status, ended.stdout, ended.stderr)

    return FlagFile(host, path, run)


def _lines(text: str) -> str:
    return base64.encodebytes(text.encode()).decode().strip()
