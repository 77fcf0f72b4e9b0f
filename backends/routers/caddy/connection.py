"""The routers contract on Caddy: one object of its configuration, read and replaced over its admin API."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError, RouterRefused, Unreachable
from quarterdeck.backends.routers.caddy.rendering import PERCENT, object_id, parse, render
from quarterdeck.backends.routers.contract import Ability, RouterFinding, RouterVerdict, Server
from quarterdeck.backends.routers.http import request
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.backends.routers.whole import UNCHANGED, Plan, WholeConnection, Written
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.routers import CaddyRouter, Routed

SETUP: Final = "put the object that docs/routers.md shows for this service into Caddy's configuration"


class CaddyConnection(WholeConnection):
    """Made by ``open_router``."""

    share_step = PERCENT
    abilities = frozenset(
        {Ability.CHECKS, Ability.IN_FLIGHT, Ability.RUNNING_READ_BACK, Ability.RESCUE, Ability.PERSISTENT}
    )

    def __init__(self, router: CaddyRouter, routed: Routed, reach: Reach) -> None:
        super().__init__(routed, reach)
        self._router = router
        self._path = f"/id/{object_id(routed)}"

    async def _ask(self, path: str, action: str, deadline: float, *, method: str = "GET", body: bytes = b"") -> Any:
        """What it answers, of JSON. Raises ``RouterRefused`` with Caddy's words."""
        headers = (("Content-Type", "application/json"),) if body else ()
        status, answer = await request(
            self._reach,
            self._router.admin,
            path,
            action,
            method=method,
            body=body,
            headers=headers,
            deadline=deadline,
        )
        if status == 200 and not answer:
            return None
        try:
            found = msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise RouterRefused(
                self.host,
                action,
                f"what {self._router.admin} answers is not Caddy's (http {status})",
                left=UNCHANGED,
                advice="does its admin API listen there?",
            ) from None
        if status != 200:
            said = found.get("error") if isinstance(found, dict) else found
            advice = SETUP if status == 404 or "unknown object" in str(said) else "see Caddy's own log"
            raise RouterRefused(
                self.host,
                action,
                f"Caddy says: {clean(str(said))[-400:]} (http {status})",
                left=UNCHANGED,
                advice=advice,
            )
        return found

    async def _written(self, action: str, deadline: float) -> Written:
        found = await self._ask(self._path, action, deadline)
        written = parse(self._routed, found) if isinstance(found, dict) else None
        if written is None:
            raise RouterRefused(
                self.host,
                action,
                f"the object {object_id(self._routed)} there is not Quarterdeck's",
                left=UNCHANGED,
                advice=SETUP,
            )
        return written

    async def _write(self, plan: Plan, action: str, deadline: float) -> None:
        body = msgspec.json.encode(render(self._routed, plan))
        await self._ask(self._path, action, deadline, method="PATCH", body=body)

    async def _in_flight(self, _action: str, _deadline: float) -> Mapping[Server, int]:
        found = await self._ask("/reverse_proxy/upstreams", _action, _deadline)
        counts: dict[Server, int] = {}
        for one in found if isinstance(found, list) else ():
            try:
                counts[Server.parse(one["address"])] = int(one["num_requests"])
            except (KeyError, TypeError, ValueError):
                continue  # of somebody else's part of the configuration
        return counts

    async def _waiting(self, servers: Sequence[Server], action: str, deadline: float) -> int | None:
        counts = await self._in_flight(action, deadline)
        return sum(counts.get(server, 0) for server in servers)

    async def examine(self, *, deadline: float = 20.0) -> list[RouterFinding]:
        subject = f"router {self._router.name}/{self._routed.service}"
        try:
            written = await self._written("examine the router", deadline)
        except BackendError as error:
            problem = f"{error.host}: {error.problem}"
            lost = isinstance(error, Unreachable)
            return [RouterFinding(subject, RouterVerdict.FAIL, problem, error.advice, unreachable=lost)]
        if written.problems:
            return [
                RouterFinding(subject, RouterVerdict.WARN, problem, "the next change puts it right")
                for problem in written.problems
            ]
        return [RouterFinding(subject, RouterVerdict.OK, f"Caddy, {object_id(self._routed)}")]
