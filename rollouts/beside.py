"""Whether two releases can run on a host at the same time. Pure."""

from quarterdeck.config.release import Release


def why_not_beside(new: Release, old: Release) -> str:
    """In words; empty: they can."""
    if new.container is None or old.container is None:
        if new.runner.slots is None or old.runner.slots is None:
            return "only one instance of it can run on a host: the service has no `slots`"
        return "" if new.runner.slots == old.runner.slots else "their `slots` differ"
    from quarterdeck.backends.hosts.docker.spec import can_run_beside

    return can_run_beside(new.container, old.container)
