"""``qd releases TARGET --available``: the versions that can be deployed, released or not."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.times import age, size

if TYPE_CHECKING:
    from quarterdeck.rollouts.offered import Offered
    from quarterdeck.tui.cli.session import Session


def run_available(session: "Session", arguments: argparse.Namespace) -> int:
    """Raises BackendError where the place can't be asked."""
    if arguments.target is None:
        raise UsageError("say of which target: qd releases TARGET --available")
    target = session.target(arguments.target)
    released = {}
    for row in reversed(session.journal.releases(target.name, limit=1000)):
        released[row.release.version] = row
    found = asyncio.run(_ask(session, target.name, arguments.limit))
    values = [
        {
            "version": one.version,
            "digest": one.digest or None,
            "size": one.size,
            "created": one.created,
            "release": released[one.version].id if one.version in released else None,
            "verdict": str(released[one.version].verdict) if one.version in released else None,
        }
        for one in found
    ]
    session.printer.document({"fleet": session.fleet.name, "target": target.name, "available": values})
    if not found:
        where = target.artifact.image or target.artifact.tarball
        session.printer.line(f"{where}: no version was found, or they can't be listed there")
        return Exit.DONE
    session.printer.table(
        ("VERSION", "RELEASED", "AGE", "SIZE", "DIGEST"),
        [
            (
                one.version,
                str(released[one.version].verdict) if one.version in released else "not yet",
                age(one.created),
                size(one.size) if one.size is not None else "-",
                one.digest[:12] or "-",
            )
            for one in found
        ],
        ["" if one.version in released else "bold" for one in found],
    )
    return Exit.DONE


async def _ask(session: "Session", target: str, limit: int) -> "list[Offered]":
    from quarterdeck.rollouts.offered import offered_details, offered_versions

    artifact = session.fleet.targets[target].artifact
    names = await offered_versions(session.fleet, artifact, limit=limit)
    details = await offered_details(session.fleet, artifact, names)
    # A registry lists no times: where they are known by now, they count. Those of one moment stay in their order.
    return sorted((details[name] for name in names), key=lambda one: one.created or "", reverse=True)
