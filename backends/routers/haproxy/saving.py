"""Keeps what HAProxy was told over its next start: maps and servers' states, written beside each other into the files it reads then.

Each file is replaced whole, so that HAProxy never starts with half of one.
"""

from collections.abc import Mapping
from typing import Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.routers.contract import Slot
from quarterdeck.backends.routers.haproxy.names import backend_name, files_of, rules_map, share_map
from quarterdeck.backends.routers.haproxy.runtime import Runtime
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.config.routers import HaproxyRouter, Routed

_WRITE: Final = """umask 022
write() {
  if printf '%s' "$2" | cmp -s - "$1"; then return; fi
  printf '%s' "$2" >"$1.qd-new" && sync "$1.qd-new" && mv -f "$1.qd-new" "$1" || { rm -f "$1.qd-new"; exit 1; }
}
"""


async def contents(
    runtime: Runtime, router: HaproxyRouter, routed: Routed, action: str, *, deadline: float
) -> dict[str, str]:
    """What each file has to hold, by its path."""
    found: dict[str, str] = {}
    for path in (share_map(router, routed), rules_map(router, routed)):
        entries = await runtime.map(path, action, deadline=deadline)
        found[path] = "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))
    for slot in Slot:
        name = backend_name(routed, slot)
        state = await runtime.ask(f"show servers state {name}", action, deadline=deadline)
        found[f"{files_of(router)}/{name}"] = state.strip() + "\n"
    return found


async def save(runtime: Runtime, reach: Reach, router: HaproxyRouter, routed: Routed, *, deadline: float) -> str:
    """Why HAProxy would forget something when it starts again; empty: it would not. Raises nothing: what was set is set."""
    if not router.files:
        return f"{router.name} has no `files`, so HAProxy forgets it when it is reloaded"
    action = "write down what HAProxy was told"
    try:
        files = await contents(runtime, router, routed, action, deadline=deadline)
        outcome = await reach.run(script(files), action, deadline=deadline)
    except BackendError as error:
        return error.problem
    if outcome.exit_status:
        said = (outcome.output.strip().splitlines() or ["it says no reason"])[-1]
        return f"{files_of(router)} can't be written: {said}"
    return ""


def script(files: Mapping[str, str]) -> str:
    return _WRITE + "".join(f"write {quote(path)} {quote(text)}\n" for path, text in files.items())
