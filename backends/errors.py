"""The one family of errors that leaves a backend: each names the host, what was tried, what was left as it was, what
to do next. What a host said is kept whole and cut when it is told, so that a secret is masked before it could be cut in two."""

from collections.abc import Callable

THIS_MACHINE = "this machine"  # the ``host`` of what qd itself could not do; a sentence does not begin with it
_HEAD, _TAIL = 240, 360  # characters of a problem that are told; its end is what a host said last


class BackendError(Exception):
    """``host`` is the fleet file's name (or the place: a URL, ``THIS_MACHINE``); ``left`` and ``advice`` are whole
    sentences without a full stop. ``untouched``: the host itself has said that this execution changed nothing there. ``partly``: others,
    which were to do the same, did it."""

    untouched = False
    partly = False

    def __init__(self, host: str, action: str, problem: str, *, left: str = "", advice: str = "") -> None:
        super().__init__(host, action, problem)
        self.host = host
        self.action = action
        self.problem = problem
        self.left = left
        self.advice = advice

    def __str__(self) -> str:
        return self.told(lambda text: text)

    def told(self, mask: Callable[[str], str]) -> str:
        """The sentence, with ``mask`` applied to what was said before anything is cut off it."""
        problem = _shortened(mask(self.problem))
        tried = f"can't {self.action}" if self.host == THIS_MACHINE else f"{self.host}: {self.action}"
        parts = [f"{tried}: {problem}", *(_as_sentence(mask(p)) for p in (self.left, self.advice))]
        return ". ".join(part for part in parts if part)


def _shortened(text: str) -> str:
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} … {text[-_TAIL:]}"


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


class Unreachable(BackendError):
    """No connection, or it was lost: nothing is known of what the host did with the last command."""


class HostKeyRejected(Unreachable):
    """The host's key is unknown, changed or revoked. Never retried."""


class LoginRefused(Unreachable):
    """The host answered and refused every key."""


class Fenced(BackendError):
    """The host has seen a higher epoch: this worker is an old one and must stop without a further change. ``half_way``: a newer one
    has ended what this one had begun there."""

    def __init__(
        self,
        host: str,
        action: str,
        *,
        epoch: int,
        seen: int,
        holder: str = "",
        half_way: bool = False,
        left: str = "",
    ) -> None:
        what = "ended half-way" if half_way else "refused"
        by = f" ({holder})" if holder else ""
        super().__init__(host, action, f"{what}, epoch {epoch} is older than {seen} on the host{by}", left=left)
        self.half_way = half_way
        self.epoch = epoch
        self.seen = seen


class HostLockBusy(BackendError):
    """Another command held the target's lock on the host for longer than the deadline."""


class CommandFailed(BackendError):
    """A command ended with ``exit_status`` (None: no status came back, which is a failure too) and ``output``
    (cleaned, its last lines)."""

    def __init__(
        self,
        host: str,
        action: str,
        problem: str,
        *,
        exit_status: int | None,
        output: str = "",
        left: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(host, action, problem, left=left, advice=advice)
        self.exit_status = exit_status
        self.output = output


class CommandTimedOut(CommandFailed):
    """A command was ended at its deadline."""


class Unhealthy(CommandFailed):
    """What was started runs, and its health checks say that it is not well."""


class NoSpace(BackendError):
    """A disk is full or read-only."""


class NotPermitted(BackendError):
    """The login user may not do this on the host."""


class EngineRefused(BackendError):
    """A Docker engine answered and did not do it. ``status`` is HTTP's (404: no such thing, 409: its state forbids it, 500: it failed
    there), ``explanation`` the engine's own words (cleaned)."""

    def __init__(
        self, host: str, action: str, explanation: str, *, status: int, left: str = "", advice: str = ""
    ) -> None:
        super().__init__(host, action, explanation, left=left, advice=advice)
        self.status = status
        self.explanation = explanation


class RouterRefused(BackendError):
    """A router answered and did not do it, or what is asked would leave a service without a server."""


class FlagRefused(BackendError):
    """Where a feature flag is, somebody answered and did not do it, or there is nothing there that a share can be set in."""


class NotReadBack(BackendError):
    """A router, or a flag, took a change and then told of something else: nobody knows which of the two it does."""


class ArtifactMissing(BackendError):
    """The version does not exist where the fleet file says."""


class ArtifactRefused(BackendError):
    """Wrong checksum, not a tarball, or a member that leads out of the release's directory."""


class SecretUnavailable(BackendError):
    """A secret's reference does not resolve. The message never holds a value."""


class SourceFailed(BackendError):
    """A source of metrics can't measure: no connection, a refusal, an answer without sense. It says nothing of the release."""


class SourceTimedOut(SourceFailed):
    """It did not answer within its deadline."""


class NotTold(BackendError):
    """A notification that a service did not take, or about which nobody knows whether it did. It says nothing of the rollout."""


class BuildsUnknown(BackendError):
    """A CI system answered and did not tell of its builds: no such project, asked too often, an answer without sense."""


class CommitsUnknown(BackendError):
    """git is not there, or could not tell what was asked. It says nothing of a release, and holds nothing up."""
