"""What a drill is refused for when the hosts have been asked. Pure."""

from collections.abc import Sequence

from quarterdeck.config.model import Hooks
from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.plans.plan import HostNow
from quarterdeck.rollouts.worker.armed import CannotBegin, unreachable


def only_practised(last: Rollout) -> str | None:
    """The release that a drill, the last rollout to begin, put on hosts and has not taken away everywhere: nobody leaves it for what it is,
    so it is not judged, and no hook of it is undone."""
    whole = last.state in (RolloutState.SUCCEEDED, RolloutState.ROLLED_BACK)
    return last.to_release if last.kind is RolloutKind.DRILL and not whole else None


def refuse_unless_whole(target: str, hosts: Sequence[HostNow], runs: str | None) -> None:
    """Raises ``CannotBegin`` where a host can't be asked, or does not run the release that is recorded, as it was started."""
    lost = [host for host in hosts if host.error is not None]
    if lost:
        raise unreachable(lost, len(hosts))
    for host in hosts:
        if host.current == runs and host.running is not False and host.as_started:
            continue
        told = f"runs {host.current or 'nothing'}" if host.current != runs else "is not as it was started"
        why = f"{host.host} {told}, where {runs} is recorded: a drill needs a target that is whole"
        raise CannotBegin("policy", f"{why}; nothing was changed; see: qd status {target}")


def refuse_hooks(target: str, hooks: Hooks) -> None:
    """What a rollback would run to undo them touches more than the hosts' releases, and a drill runs none of it. Raises ``CannotBegin``."""
    for hook in hooks.every:
        if hook.on_rollback is None and hook.reversible:
            continue
        undone = f"is undone by {hook.on_rollback!r}" if hook.on_rollback is not None else "can't be undone"
        raise CannotBegin(
            "policy",
            f"hook {hook.run!r} {undone} when this release is rolled back, and a drill runs no hooks; nothing was changed; "
            f"to practise all the rest: qd drill {target} --skip-hooks",
        )
