"""The doctor's questions to HAProxy: may we in, may we change anything, is everything there, does it outlive a restart. Changes nothing."""

from typing import Final

from quarterdeck.backends.errors import BackendError, RouterRefused, Unreachable
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.routers.contract import RouterFinding, RouterVerdict, Slot
from quarterdeck.backends.routers.haproxy.names import OLDEST, backend_name, files_of, rules_map, share_map
from quarterdeck.backends.routers.haproxy.requests import RING
from quarterdeck.backends.routers.haproxy.runtime import SETUP, Runtime
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.config.routers import HaproxyRouter, Routed

_ACTION: Final = "examine the router"
_CHECKED: Final = 2  # in srv_check_state: a check is configured
_LOOK: Final = """
if [ -d {files} ] && [ -w {files} ] && [ -x {files} ]; then echo writable; else echo "unwritable $(id -un)"; fi
cd "$(readlink /proc/{pid}/cwd 2>/dev/null || echo /)" || cd /
for file in $(tr '\\0' '\\n' </proc/{pid}/cmdline | sed -n '/^-f$/{{n;p;}}'); do
  [ ! -d "$file" ] || file="$file/*.cfg"
  cat $file 2>/dev/null || echo unreadable
done | sed 's/#.*//' | grep -E 'unreadable|server-state'
echo end
"""


async def examine(
    runtime: Runtime, reach: Reach, router: HaproxyRouter, routed: Routed, *, deadline: float
) -> list[RouterFinding]:
    """What is wrong, or one finding that says that nothing is."""
    subject = f"router {router.name}/{routed.service}"
    try:
        found, told = await _socket_findings(runtime, subject, router, routed, deadline)
        found += await _file_findings(reach, subject, router, told.get("Pid", ""), deadline)
    except BackendError as error:
        found = [
            RouterFinding(
                subject,
                RouterVerdict.FAIL,
                f"{error.host}: {error.problem}",
                error.advice,
                unreachable=isinstance(error, Unreachable),
            )
        ]
        told = {}
    if found:
        return found
    keeps = ", keeps it over a restart" if router.files else ""
    return [RouterFinding(subject, RouterVerdict.OK, f"HAProxy {told['Version']}, level admin, maps, two slots{keeps}")]


async def _socket_findings(
    runtime: Runtime, subject: str, router: HaproxyRouter, routed: Routed, deadline: float
) -> tuple[list[RouterFinding], dict[str, str]]:
    found: list[RouterFinding] = []

    def fail(sentence: str, fix: str) -> None:
        found.append(RouterFinding(subject, RouterVerdict.FAIL, sentence, fix))

    answer = await runtime.ask("show info", _ACTION, deadline=deadline)
    told = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    version = told.get("Version", "")
    if not version:
        raise RouterRefused(runtime.host, _ACTION, f"what answers at {router.socket} is not HAProxy", advice=SETUP)
    if _numbers(version) < OLDEST:
        fail(f"HAProxy {version} is too old", "update it to HAProxy 2.6 or newer")
    level = (await runtime.ask("show cli level", _ACTION, deadline=deadline)).strip()
    if level != "admin":
        fail(
            f"the socket {router.socket} has level {level}, so no server can be moved",
            f"in haproxy.cfg: stats socket {router.socket} mode 660 group haproxy level admin expose-fd listeners",
        )
    maps = await runtime.ask("show map", _ACTION, deadline=deadline)
    for path in (share_map(router, routed), rules_map(router, routed)):
        if f"({path})" not in maps:
            fail(f"HAProxy has no map {path}", SETUP)
    rings = await runtime.ask("show events", _ACTION, deadline=deadline)
    if not any(line.split(":")[0].strip() == RING for line in rings.splitlines()):
        words = f"HAProxy has no ring {RING}, so that nothing tells how long the requests of each slot took"
        found.append(RouterFinding(subject, RouterVerdict.WARN, words, SETUP))
    for slot in Slot:
        name = backend_name(routed, slot)
        try:
            state = await runtime.ask(f"show servers state {name}", _ACTION, deadline=deadline)
        except RouterRefused:
            state = ""
        servers = [line.split() for line in state.splitlines() if line[:1].isdigit() and len(line.split()) > 14]
        if not servers:
            fail(f"HAProxy has no backend {name} with servers", SETUP)
        elif not all(int(server[13]) & _CHECKED for server in servers):
            fail(
                f"HAProxy does not check the servers of {name}",
                "write `check` behind its server-template in haproxy.cfg",
            )
    return found, told


async def _file_findings(
    reach: Reach, subject: str, router: HaproxyRouter, pid: str, deadline: float
) -> list[RouterFinding]:
    """Whether what is set outlives a restart. A key that opens the socket and runs no command is allowed, and told of."""
    if not router.files:
        return [
            RouterFinding(
                subject,
                RouterVerdict.WARN,
                "a reload of HAProxy forgets shares, rules and servers: the router has no `files`",
                "name the directory of the maps in the router's `files`",
            )
        ]
    files = files_of(router)
    try:
        outcome = await reach.run(
            _LOOK.format(files=quote(files), pid=pid if pid.isdigit() else "0"), _ACTION, deadline=deadline
        )
    except BackendError:
        outcome = None
    lines = outcome.output.split("\n") if outcome is not None else []
    if "end" not in lines:
        return [
            RouterFinding(
                subject,
                RouterVerdict.WARN,
                f"no command can be run there, so {files} is not written, and a reload forgets shares, rules and servers",
                "let the key run commands, or have HAProxy's unit save its state before each reload",
            )
        ]
    found: list[RouterFinding] = []
    for line in lines:
        if line.startswith("unwritable"):
            user = line.partition(" ")[2]
            found.append(
                RouterFinding(
                    subject,
                    RouterVerdict.FAIL,
                    f"{user} can't write {files}, so a reload of HAProxy forgets shares, rules and servers",
                    f"on the router's host: sudo install -d -o {user} -g haproxy {files}",
                )
            )
    configuration = "\n".join(lines)
    if "unreadable" in lines or "server-state" not in configuration:
        loads = "can't be read here" if "unreadable" in lines else "does not say"
        found.append(
            RouterFinding(
                subject,
                RouterVerdict.WARN,
                f"haproxy.cfg {loads} whether HAProxy loads its servers' state when it starts",
                f"global: server-state-base {files}; defaults: load-server-state-from-file local",
            )
        )
    elif "load-server-state-from-file local" not in configuration or f"server-state-base {files}" not in configuration:
        found.append(
            RouterFinding(
                subject,
                RouterVerdict.FAIL,
                f"HAProxy does not load its servers' state from {files}: after a reload no server is in service",
                f"global: server-state-base {files}; defaults: load-server-state-from-file local",
            )
        )
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
