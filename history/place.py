"""The state directory: its files and who may read them. Shared by a group when it is 2770, else for its owner alone."""

import contextlib
import os
import stat
from pathlib import Path

from quarterdeck.history.errors import JournalError, JournalMissing

JOURNAL = "history.db"


class Place:
    """An existing state directory. ``file_mode`` and ``directory_mode`` are for what is made in it, whatever the umask."""

    def __init__(self, state: Path) -> None:
        found = os.stat(state)
        self.state = state
        self.shared = bool(found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IWGRP)
        self.file_mode = 0o660 if self.shared else 0o600
        self.directory_mode = 0o2770 if self.shared else 0o700
        self._owner = found.st_uid
        self._group = found.st_gid

    @property
    def journal(self) -> Path:
        return self.state / JOURNAL

    @property
    def locks(self) -> Path:
        return self.state / "locks"

    @classmethod
    def prepare(cls, state: Path, *, create: bool) -> "Place":
        """The directory as found, or made with mode 0700. Raises ``JournalMissing`` and ``JournalError``."""
        try:
            if create and not state.exists():
                state.parent.mkdir(parents=True, exist_ok=True)
                _make_directory(state, 0o700)
            if not stat.S_ISDIR(os.stat(state).st_mode):
                raise JournalError(f"the state directory {state} is not a directory")
            return cls(state)
        except FileNotFoundError:
            raise JournalMissing(
                f"there is no journal in {state}", advice="It is made by the first deploy, or by `qd adopt`"
            ) from None
        except OSError as error:
            raise JournalError(
                f"the state directory {state} can't be used: {error.strerror}", advice=advice_for(state, error)
            ) from None

    def make_directory(self, path: Path) -> None:
        """Makes a directory with the right mode, or leaves the one that is there."""
        if not path.is_dir():
            _make_directory(path, self.directory_mode)
            self._give(path)

    def make_file(self, path: Path) -> None:
        """Makes an empty file that has the right mode from its first moment, or leaves the one that is there.

        Under its own name it is never opened: closing one of SQLite's files would drop the locks this process has on it.
        """
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            os.chmod(draft, self.file_mode)
            self._give(draft)
            with contextlib.suppress(FileExistsError):  # somebody else was quicker: theirs is as good
                os.link(draft, path)
        finally:
            os.unlink(draft)

    def _give(self, path: Path) -> None:
        """What root makes belongs to the directory's owner, who could not open it otherwise."""
        if os.geteuid() == 0 and (self._owner != 0 or self._group != 0):
            os.chown(path, self._owner, self._group)


def advice_for(state: Path, error: OSError) -> str:
    """Who may use the state directory, for somebody who may not; empty for other errors."""
    if not isinstance(error, PermissionError):
        return ""
    try:
        found = os.stat(state)
    except OSError:
        return "Nothing was changed; see who may read and write the directories above it"
    if found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IWGRP:
        return f"Nothing was changed; it is for the members of the group {_group_name(found.st_gid)}"
    return (
        f"Nothing was changed; it is for {_user_name(found.st_uid)} alone. `state` in the fleet file may name "
        "a directory that a group shares"
    )


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _make_directory(path: Path, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode & 0o777)
        os.chmod(path, mode)
