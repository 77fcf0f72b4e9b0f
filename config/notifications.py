"""What the fleet file says of notifications, as frozen values: where each goes, about what, in which words. Sends nothing."""

import msgspec

from quarterdeck.config.model import SecretReference

EVENTS = (
    "started",
    "waiting",
    "override",
    "rolling_back",
    "succeeded",
    "rolled_back",
    "failed",
    "cancelled",
    "superseded",
    "unready",
)
"""What there is to be told of a rollout, in the order in which it may happen, and of a target when none is under way."""

USUAL = ("failed", "rolled_back", "waiting", "override", "unready")

PLACEHOLDERS = (
    "event",
    "state",
    "outcome",
    "reason",
    "by",
    "rollout",
    "kind",
    "version",
    "release",
    "target",
    "environment",
    "service",
    "fleet",
    "time",
)
"""What ``{{…}}`` may name in a title or a body."""

TITLE = "{{target}}: {{event}}"
BODY = "{{outcome}}\n{{kind}} of {{version}} by {{by}}, rollout {{rollout}} of fleet {{fleet}}\n{{reason}}"


class Destination(msgspec.Struct, frozen=True):
    """Where notifications go. ``number``: its place in the fleet file's list, from 1: what it is called wherever it is spoken of.
    ``name``: what a canary's steps call it; empty: they can't.

    Exactly one of ``url`` (which holds no login) and ``secret`` is set; the value of ``secret`` is a URL of Apprise's. ``environments``,
    ``services``: None: all of them.
    """

    number: int = 0
    url: str = ""
    secret: SecretReference | None = None
    on: tuple[str, ...] = USUAL
    environments: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    title: str = TITLE
    body: str = BODY
    name: str = ""

    def is_about(self, environment: str, service: str) -> bool:
        """Whether anything of that target is told there."""
        return (self.environments is None or environment in self.environments) and (
            self.services is None or service in self.services
        )
