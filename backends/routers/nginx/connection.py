"""The routers contract on nginx: a file is written, tested, loaded and read back; where nothing comes of it, the old one is put back."""

from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.errors import BackendError, NotPermitted, NotReadBack, RouterRefused, Unreachable
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.routers.contract import Ability, RouterFinding, RouterVerdict, Server
from quarterdeck.backends.routers.http import request
from quarterdeck.backends.routers.nginx.rendering import generation, parse, render
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.backends.routers.whole import UNCHANGED, Plan, WholeConnection, Written
from quarterdeck.config.routers import NginxRouter, Routed

SETUP: Final = "put the files that docs/routers.md shows for this service into place"

_READ: Final = """
if [ -e {file} ]; then cat {file} && echo qd-read; else echo qd-missing; fi
"""
# Old workers answer for a moment after new ones have begun: it is over when each is gone or has been told to go.
_WRITE: Final = """umask 022
old=$(pgrep -P "$(cat {pid})" -f 'worker process' 2>/dev/null)
test_it() {{
{test}
}}
reload_it() {{
{reload}
}}
back() {{ mv -f {file}.qd-old {file}; echo "qd-$1"; printf '%s\\n' "$said"; exit 0; }}
{{ cp -p {file} {file}.qd-old && printf '%s' {text} >{file}.qd-new && sync {file}.qd-new && mv -f {file}.qd-new {file}; }} \
|| {{ rm -f {file}.qd-new; echo "qd-unwritable $(id -un)"; exit 0; }}
if [ {load} = yes ]; then
  said=$(test_it 2>&1) || back refused
  said=$(reload_it 2>&1) || back unloaded
  for process in $old; do
    while case "$(tr '\\0' ' ' <"/proc/$process/cmdline")" in *'shutting down'*) false ;; *'worker process'*) true ;; *) false ;; esac
    do sleep 0.02; done 2>/dev/null
  done
fi
rm -f {file}.qd-old
echo qd-done
"""
_LEAVING: Final = """
if master=$(cat {pid}); then pgrep -c -P "$master" -f 'worker process is shutting down' || [ $? = 1 ]; else exit 1; fi
"""
_LOOK: Final = """
nginx -v 2>&1 || /usr/sbin/nginx -v 2>&1
if [ -w {directory} ] && [ -x {directory} ]; then :; else echo "unwritable $(id -un)"; fi
command -v pgrep >/dev/null || echo "without pgrep"
[ -r {pid} ] || echo "without pid"
test_it() {{
{test}
}}
said=$(test_it 2>&1) || {{ echo "refused $(printf '%s\n' "$said" | grep -m 1 emerg || printf '%s\n' "$said" | tail -n 1)"; }}
echo end
"""


class NginxConnection(WholeConnection):
    """Made by ``open_router``."""

    share_step = 1

    def __init__(self, router: NginxRouter, routed: Routed, reach: Reach) -> None:
        super().__init__(routed, reach)
        self._router = router
        self._file = f"{router.upstreams.rstrip('/')}/{routed.service}.conf"
        self.abilities = frozenset(
            {Ability.AFFINITY, Ability.RESCUE, Ability.PERSISTENT}
            | ({Ability.RUNNING_READ_BACK} if router.status else set())
        )

    async def _written(self, action: str, deadline: float) -> Written:
        outcome = await self._reach.run(_READ.format(file=quote(self._file)), action, deadline=deadline)
        text, _, mark = outcome.output.rstrip("\n").rpartition("\n")
        if mark != "qd-read":
            missing = mark == "qd-missing"
            problem = (
                f"there is no {self._file}" if missing else f"{self._file} can't be read: {outcome.output.strip()}"
            )
            raise RouterRefused(self.host, action, problem, left=UNCHANGED, advice=SETUP)
        written = parse(self._routed, text + "\n", self._file)
        if written is None:
            raise RouterRefused(
                self.host,
                action,
                f"{self._file} is not a file of Quarterdeck's",
                left=UNCHANGED,
                advice=f"move it away, then {SETUP}",
            )
        if self._router.status and await self._running(action, deadline) != generation(self._routed, written.plan):
            problem = f"nginx runs something else than {self._file} says"
            return Written(written.plan, (*written.problems, problem))
        return written

    async def _running(self, action: str, deadline: float) -> str:
        """Which generation nginx says that it runs."""
        target = f"/qd/{self._routed.service}"
        status, body = await request(self._reach, self._router.status, target, action, deadline=deadline)
        if status != 200:
            raise RouterRefused(
                self.host,
                action,
                f"http {status} from {self._router.status}{target}",
                left=UNCHANGED,
                advice=SETUP,
            )
        return body.decode("utf-8", "replace").strip()

    async def _write(self, plan: Plan, action: str, deadline: float) -> None:
        now = await self._reach.run(_READ.format(file=quote(self._file)), action, deadline=deadline)
        text = render(self._routed, plan)
        _, _, traffic = text.partition("\n")
        # The first line alone says who is still waited for: for that, nothing is loaded anew.
        load = traffic not in now.output or await self._stale(plan, action, deadline)
        script = _WRITE.format(
            file=quote(self._file),
            text=quote(text),
            pid=quote(self._router.pid),
            load="yes" if load else "no",
            test=self._router.test,
            reload=self._router.reload,
        )
        outcome = await self._reach.run(script, action, deadline=deadline)
        self._judge(outcome.output, action)

    async def _stale(self, plan: Plan, action: str, deadline: float) -> bool:
        return bool(self._router.status) and await self._running(action, deadline) != generation(self._routed, plan)

    def _judge(self, output: str, action: str) -> None:
        lines = output.strip().splitlines() or [""]
        said = " ".join(lines[1:])[-400:]
        left = f"{self._file} is as it was, and nginx runs what it ran"
        match lines[0].partition(" ")[0]:
            case "qd-done":
                return
            case "qd-unwritable":
                user = lines[0].partition(" ")[2]
                raise NotPermitted(
                    self.host,
                    action,
                    f"{user} can't write {self._file}",
                    left=left,
                    advice=f"on the router's host: sudo install -d -o {user} {self._router.upstreams}, or is its disk full?",
                )
            case "qd-refused":
                raise RouterRefused(
                    self.host, action, f"nginx's test fails: {said}", left=left, advice="see: nginx -t, there"
                )
            case "qd-unloaded":
                raise RouterRefused(
                    self.host,
                    action,
                    f"{self._router.reload!r} failed: {said}",
                    left=left,
                    advice="is nginx running, and may the login reload it? See docs/routers.md",
                )
        raise NotReadBack(
            self.host,
            action,
            f"the host's shell said: {output.strip()[-400:]}",
            left="What nginx does now is not known",
        )

    async def _waiting(self, servers: Sequence[Server], action: str, deadline: float) -> int | None:  # noqa: ARG002 # nginx tells of all or none
        """Workers of before the last reload end with their last request."""
        outcome = await self._reach.run(_LEAVING.format(pid=quote(self._router.pid)), action, deadline=deadline)
        return 0 if outcome.output.strip() == "0" else None

    async def examine(self, *, deadline: float = 20.0) -> list[RouterFinding]:
        subject = f"router {self._router.name}/{self._routed.service}"
        action = "examine the router"
        found: list[RouterFinding] = []
        try:
            script = _LOOK.format(
                directory=quote(self._router.upstreams), pid=quote(self._router.pid), test=self._router.test
            )
            outcome = await self._reach.run(script, action, deadline=deadline)
            found += self._findings(subject, outcome.output.splitlines())
            written = await self._written(action, deadline)
            found += [
                RouterFinding(subject, RouterVerdict.WARN, problem, "the next change puts it right")
                for problem in written.problems
            ]
        except BackendError as error:
            problem = f"{error.host}: {error.problem}"
            lost = isinstance(error, Unreachable)
            found.append(RouterFinding(subject, RouterVerdict.FAIL, problem, error.advice, unreachable=lost))
        if found:
            return found
        version = outcome.output.splitlines()[0].rpartition("/")[2]
        told = ", tells what it runs" if self._router.status else ""
        return [RouterFinding(subject, RouterVerdict.OK, f"nginx {version}, {self._file}{told}")]

    def _findings(self, subject: str, lines: Sequence[str]) -> list[RouterFinding]:
        found = []
        for line in lines:
            what, _, rest = line.partition(" ")
            if what == "unwritable":
                sentence = f"{rest} can't write {self._router.upstreams}"
                fix = f"on the router's host: sudo install -d -o {rest} {self._router.upstreams}"
                found.append(RouterFinding(subject, RouterVerdict.FAIL, sentence, fix))
            elif what == "refused":
                sentence = f"{self._router.test!r} fails there: {rest}"
                fix = "put nginx's configuration right, or let the login run it (sudoers, see docs/routers.md)"
                found.append(RouterFinding(subject, RouterVerdict.FAIL, sentence, fix))
            elif what == "without":
                sentence = (
                    "there is no pgrep, so nobody knows when old workers are done"
                    if rest == "pgrep"
                    else f"{self._router.pid} can't be read, so nobody knows when old workers are done"
                )
                fix = "install procps there" if rest == "pgrep" else "name nginx's pid file in the router's `pid`"
                found.append(RouterFinding(subject, RouterVerdict.FAIL, sentence, fix))
        if "end" not in lines:
            found.append(
                RouterFinding(subject, RouterVerdict.FAIL, "no command can be run there", "let the key run commands")
            )
        return found
