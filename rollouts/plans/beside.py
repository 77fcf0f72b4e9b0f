"""Whether two releases can run on a host at the same time. Pure."""

from quarterdeck.config.release import Release


def why_not_beside(new: Release, old: Release) -> str:
    """In words; empty: they can."""
    if new.container is None or old.container is None:
        if new.runner.slots is None:
            return "only one instance of it can run on a host: the service has no `slots`"
        version = old.version
        if old.runner.slots is None:
            return f"{version} was deployed without `slots`: the first release with them takes its place, by `strategy: rolling`"
        if new.runner.slots != old.runner.slots:
            return f"`slots` have other ports than those of {version}: such a release takes its place, by `strategy: rolling`"
        return ""
    from quarterdeck.backends.hosts.docker.spec import can_run_beside

    return can_run_beside(new.container, old.container)
