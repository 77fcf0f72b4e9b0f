"""Who acts, and which process is meant. Advisory: on a shared bastion any member of the group can rewrite the journal."""

import os
import pwd
from pathlib import Path

from quarterdeck.history.clock import boot_id
from quarterdeck.history.records import Operator

NO_LOGIN = 4294967295  # what the kernel says of a process that belongs to no login session


def current_operator() -> Operator:
    """The unix user of this process, the login behind sudo when it is another, and the machine, with the address of SSH."""
    uid = os.getuid()
    login = _login_uid(uid)
    machine = os.uname().nodename.split(".", 1)[0]
    address = os.environ.get("SSH_CONNECTION", "").split(" ", 1)[0]
    return Operator(
        name=_name_of(uid),
        uid=uid,
        login=_name_of(login) if login is not None and login != uid else None,
        where=f"{machine} from {address}" if address else machine,
    )


def process_identity(pid: int) -> tuple[int, str]:
    """Start time in clock ticks since boot, and the boot: with them a pid means one process only.

    Raises ``ProcessLookupError`` when there is no such process.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        raise ProcessLookupError(pid) from None
    # The command's name is in parentheses and may hold anything, parentheses too: count from the last one.
    fields = line.rpartition(")")[2].split()
    return int(fields[19]), boot_id()


def _login_uid(uid: int) -> int | None:
    """The uid that logged in: the kernel's audit record, else what sudo says (which only sudo's own children should)."""
    try:
        login = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        login = NO_LOGIN
    if login != NO_LOGIN and login != 0:
        return login
    asked = os.environ.get("SUDO_UID", "")
    if asked.isdecimal() and len(asked) < 11 and int(asked) != uid:
        return int(asked)
    return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
