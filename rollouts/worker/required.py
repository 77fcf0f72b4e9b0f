"""What an environment requires of a deploy (`require`), asked where it is asked for: the journal, the hosts as they were just seen, the
registry, the sources of secrets. Changes nothing."""

from collections.abc import Collection, Sequence
from pathlib import Path

from quarterdeck.config.registries import RegistryLogins
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.plans.plan import HostNow
from quarterdeck.rollouts.way_back.ahead import BackFrom, back_from, back_to_nothing, without_copy
from quarterdeck.rollouts.way_back.old_secrets import old_secrets
from quarterdeck.rollouts.worker.fetchable import has_registry, why_not_fetchable

LOOKED_BACK = 1000  # releases of the target, where none of them is good


async def way_back(
    reader: Journal,
    target: str,
    release: str,
    hosts: Sequence[HostNow],
    moved: Collection[str],
    *,
    base: Path,
    logins: RegistryLogins,
) -> BackFrom:
    """From ``release``, once it is on ``moved``, those of ``hosts`` that a deploy changes. A source that does not answer within
    some seconds is one that can't be read."""
    those = [host for host in hosts if host.host in moved]
    row = reader.last_good(target, other_than=release)
    if row is None:
        rows = reader.releases(target, limit=LOOKED_BACK)
        was_good = any(one.last_good is not None for one in rows if one.id != release)
        return back_to_nothing(those, [one.id for one in rows], was_good=was_good)
    fetchable, fault = has_registry(row.release), ""
    lacking = [host for host in those if host.host in without_copy(row.id, those) and host.current is not None]
    if lacking and fetchable:
        fault = await why_not_fetchable(row.release, lacking, logins)
    secrets = await old_secrets(row.release, base)
    return back_from(row.id, row.release.version, those, fetchable=fetchable, fetch_fault=fault, secrets=secrets.states)
