"""Builds the text that a host's shell reads: values, then the parts of an action. Pure; sends nothing."""

import re
import secrets
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from quarterdeck.backends.hosts.ssh.quoting import assign
from quarterdeck.config.release import Release

_PARTS: Final = {
    "facts": ("prelude", "layout", "gate", "service", "facts"),
    "stage": ("prelude", "gate", "service", "stage"),
    "switch": ("prelude", "layout", "gate", "overtaking", "service", "keeping", "switch"),
    "withdraw": ("prelude", "layout", "gate", "overtaking", "service", "withdraw"),
    "clear": ("prelude", "layout", "gate", "overtaking", "clear"),
    "hook": ("prelude", "gate", "overtaking", "service", "hook"),
    "finish": ("prelude", "layout", "gate", "overtaking", "finish", "finishing"),
    "check": ("prelude", "service", "check"),
    "health": ("prelude", "health"),
    "execute": ("execute",),
    "exec": ("prelude", "layout", "service", "slot_environment", "exec"),
    "vitals": ("vitals",),
    "logs": ("logs",),
    "new_lines": ("new_lines",),
    "figures": ("figures",),
    # The same of a service that has slots (see ``of_slots``): those without cost nothing more for them.
    "slot_facts": ("prelude", "layout", "gate", "service", "slots", "slot_facts", "facts"),
    "slot_switch": ("prelude", "layout", "gate", "overtaking", "service", "slots", "keeping", "slot_switch"),
    "slot_retire": ("prelude", "layout", "gate", "overtaking", "service", "slots", "slot_retire"),
    "slot_withdraw": ("prelude", "layout", "gate", "overtaking", "service", "slots", "slot_withdraw"),
    "slot_hook": ("prelude", "gate", "overtaking", "service", "slot_environment", "hook"),
    "slot_finish": ("prelude", "layout", "gate", "overtaking", "slots", "finish", "slot_finish"),
    "slot_check": ("prelude", "service", "slot_environment", "check"),
    "slot_new_lines": ("slot_lines", "new_lines"),
    "slot_figures": ("slot_figures", "figures"),
    "slot_of": ("slot_of",),
}
_DEFAULTS: Final = (
    "extra_env",
    "clock",
    "switch_comes",
    "secrets",
    "limit",
    "limit_lock",
    "verified",
    "status_tells",
    "surely",
    "terminal",
)


def of_slots(action: str, release: Release | None) -> str:
    """The script of ``action`` for a service that has slots, where ``release`` is one of such a service."""
    return f"slot_{action}" if release is not None and release.runner.slots is not None else action


COMMAND: Final = "exec sh"
"""What the login shell is given: the script itself comes on the standard input, so no login shell ever parses it."""

STREAMING_COMMAND: Final = (
    'exec sh -c \'eval "$(while IFS= read -r l; do test "$l" = "#payload" && break; printf "%s\\n" "$l"; done)"\''
)
"""For input that follows at once: takes the script line by line (a shell reads ahead in its own script, ``read`` does not)."""

TERMINAL_READY: Final = b"qd-terminal-ready\n"
TERMINAL_COMMAND: Final = STREAMING_COMMAND.replace(
    "exec sh -c '", "exec sh -c 'qd_tty=$(stty -g) && stty raw -echo && echo qd-terminal-ready && "
)
"""The same on a terminal, which must not show the script, nor cut its lines: it says when it can be sent."""

_PAYLOAD: Final = (
    "#payload"  # ends a script that input follows; with the call's mark, so that no value can have such a line
)

_FUNCTION: Final = re.compile(r"^(\w+\(\) \{) # .*$")  # its head, and what is said of it there

_HOME: Final = 'case $qd_path in "~/"*) qd_path=$HOME/${qd_path#??} ;; esac\n'  # the login user's home on the host


class Script(msgspec.Struct, frozen=True):
    """A script ready to be sent. ``ahead`` is the same for every call of an action, and does nothing by itself: it can be sent before
    it is known what will be asked. ``mark`` begins each line of the answer and is new for each call."""

    command: str
    ahead: bytes
    text: bytes
    mark: str


@cache
def _part(name: str) -> str:
    """A file of ``scripts/`` without its comments and indentation: some shells read their script one byte at a time."""
    text = files("quarterdeck.backends.hosts.ssh").joinpath("scripts", f"{name}.sh").read_text(encoding="utf-8")
    lines = (_FUNCTION.sub(r"\1", line.strip()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))


@cache
def _body(action: str) -> str:
    return "".join(_part(name) for name in _PARTS[action])


@cache
def ahead(action: str) -> bytes:
    """The constant part of an action's script, as one function: a shell that has read it waits for the rest."""
    return f"action() {{\n{_body(action)}}}\n".encode()


def waits(mark: str) -> bytes:
    """The line that a shell says when it has done what it was given, and waits for more."""
    return f"{mark} waits\n".encode()


def build(action: str, values: Mapping[str, str], *, extra: str = "", then: str = "") -> Script:
    """The script of ``action``: every value becomes a ``qd_`` variable, ``extra`` is shell text (functions) put before the parts.
    ``then``: the same shell is to wait for the values of that action afterwards (see ``ahead``), and says so (see ``waits``).

    What runs in it reads an empty standard input, but for actions that take a payload or end with their input.
    """
    mark = f"qd{secrets.token_hex(6)}"
    head = "".join(assign(f"qd_{name}", value) for name, value in values.items())
    if "path" in values:
        head += _HOME
    defaults = "".join(f"qd_{name}=\n" for name in _DEFAULTS if name not in values)
    values_set = f"qd_mark={mark}\n{defaults}{head}{extra}"
    if action == "execute":
        script = f"{values_set}{_body(action)}{_PAYLOAD}{mark}\n"
        command = STREAMING_COMMAND.replace(_PAYLOAD, _PAYLOAD + mark)
        return Script(command, b"", script.encode("utf-8", "surrogateescape"), mark)
    if action == "exec":
        # One function, as below. What runs in it has the rest of the standard input.
        script = f"main() {{\n{values_set}{_body(action)}}}\nmain\n{_PAYLOAD}{mark}\n"
        command = TERMINAL_COMMAND if values.get("terminal") else STREAMING_COMMAND
        return Script(command.replace(_PAYLOAD, _PAYLOAD + mark), b"", script.encode("utf-8", "surrogateescape"), mark)
    # What stage is sent comes after it has asked for it: nothing of it can be taken for the script.
    run = "main\n" if action in ("logs", "stage") else "main </dev/null\nexit $?\n"
    if then:
        run = f"(main </dev/null)\nprintf '%s waits\\n' {mark}\n{ahead(then).decode()}"
    # One function: a text that is cut short by a lost connection is run from no line of it.
    wrapped = f"main() {{\n{values_set}action\n}}\n{run}"
    return Script(COMMAND, ahead(action), wrapped.encode("utf-8", "surrogateescape"), mark)
