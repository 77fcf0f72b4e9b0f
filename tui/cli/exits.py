"""Exit statuses, and the one place that turns what went wrong into a sentence and a status.

Pipelines depend on these numbers: a change is a breaking change and goes in the changelog.
"""

from enum import IntEnum

import msgspec


class Exit(IntEnum):
    DONE = 0
    FAULT = 1  # a check found faults (doctor, audit verify), or something failed without a change to any host
    USAGE = 2
    TAKEN_BACK = 3
    NOT_TAKEN_BACK = 4
    REFUSED = 5
    UNREACHABLE = 6
    WAITING = 7
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.FAULT: "a check found faults, or something failed and no host was changed",
    Exit.USAGE: "wrong usage, or a fault in the fleet file",
    Exit.TAKEN_BACK: "failed and taken back, or aborted",
    Exit.NOT_TAKEN_BACK: "failed and not wholly taken back",
    Exit.REFUSED: "refused by policy, a role, a lock, or for want of a confirmation",
    Exit.UNREACHABLE: "hosts unreachable, nothing changed",
    Exit.WAITING: "still waiting for a person when --timeout was over",
    Exit.INTERRUPTED: "interrupted: a rollout that had begun goes on",
}


class UsageError(Exception):
    """The command line makes no sense; the sentence says what does."""


class MissingConfirmation(Exception):
    """Something would have to be asked, and nobody is there to answer. The sentence names the flag."""


class Interrupted(Exception):
    """Ctrl-C while a rollout was followed: it goes on, and the sentence says how to follow it."""


class Explanation(msgspec.Struct, frozen=True):
    """``text``: the sentence for standard error. ``status``: what qd exits with. ``places``: above it, where the faults are."""

    text: str
    status: Exit
    places: str = ""


def explain(error: BaseException) -> Explanation:
    """What the operator is told of ``error``. Anything unknown is a fault of ours, said without a traceback."""
    for rule in (_of_ours, _of_config, _of_rollouts, _of_history, _of_backends, _of_the_system):
        found = rule(error)
        if found is not None:
            return found
    return Explanation(
        f"qd itself failed ({_named(error)}); run it again with --debug and report what it prints", Exit.FAULT
    )


def _of_ours(error: BaseException) -> Explanation | None:
    match error:
        case UsageError():
            return Explanation(str(error), Exit.USAGE)
        case MissingConfirmation():
            return Explanation(str(error), Exit.REFUSED)
        case Interrupted():
            return Explanation(str(error), Exit.INTERRUPTED)
        case KeyboardInterrupt():
            return Explanation("interrupted; nothing was begun", Exit.INTERRUPTED)
        case BaseExceptionGroup() if len(error.exceptions) > 0:
            return explain(error.exceptions[0])  # of parallel tasks: the first one says enough
    return None


def _of_config(error: BaseException) -> Explanation | None:
    from quarterdeck.config.locate import NoFleetFile
    from quarterdeck.config.names import UnknownName
    from quarterdeck.config.problems import FleetFileErrors, SettingsFaults, render

    if isinstance(error, NoFleetFile):
        hint = "qd init writes a first one, qd demo starts a fleet to try everything on"
        return Explanation(f"{error}; {hint}", Exit.USAGE)
    if isinstance(error, UnknownName):
        return Explanation(str(error), Exit.USAGE)
    if not isinstance(error, FleetFileErrors):
        return None
    count = len(error.problems)
    if isinstance(error, SettingsFaults):
        text = (
            f"the settings have {count} fault{'s' if count > 1 else ''}; the control room opens with the defaults there"
        )
        return Explanation(text, Exit.USAGE, render(error.problems))
    first = error.problems[0]
    if count == 1 and not first.text and str(first.file) in first.message:  # it is not there, or can't be read at all
        return Explanation(f"{first.message}; nothing was changed", Exit.USAGE)
    text = "the fleet file can't be used" if count == 1 else f"the fleet file has {count} faults"
    return Explanation(f"{text}; nothing was changed", Exit.USAGE, render(error.problems))


def _of_rollouts(error: BaseException) -> Explanation | None:
    from quarterdeck.rollouts.refusals import Refused, UnknownPart, UnknownTarget

    match error:
        case UnknownTarget() | UnknownPart():
            return Explanation(str(error), Exit.USAGE)
        case Refused():
            return Explanation(str(error), Exit.REFUSED)
    return None


def _of_history(error: BaseException) -> Explanation | None:
    from quarterdeck.history import errors

    if not isinstance(error, errors.JournalError):
        return None
    status = Exit.FAULT
    match error:
        case errors.UnknownRollout() | errors.JournalOnNetwork() | errors.JournalMissing():
            status = Exit.USAGE
        case (
            errors.JournalBusy()
            | errors.TargetBusy()
            | errors.RequestRefused()
            | errors.EpochLost()
            | errors.LockHeld()
        ):
            status = Exit.REFUSED
    return Explanation(str(error), status)


def _of_backends(error: BaseException) -> Explanation | None:
    from quarterdeck.backends import errors

    if not isinstance(error, errors.BackendError):
        return None
    if error.partly:
        return Explanation(str(error), Exit.NOT_TAKEN_BACK)
    match error:
        case errors.Unreachable():
            return Explanation(str(error), Exit.UNREACHABLE)
        case errors.Fenced() | errors.HostLockBusy():
            return Explanation(str(error), Exit.REFUSED)
    return Explanation(str(error), Exit.FAULT)


def _of_the_system(error: BaseException) -> Explanation | None:
    match error:
        case FileNotFoundError():
            return Explanation(f"there is no file {error.filename}", Exit.USAGE)
        case PermissionError():
            return Explanation(f"no permission for {error.filename}; nothing was changed", Exit.FAULT)
        case OSError() if error.strerror:
            place = f"{error.filename}: " if error.filename else ""
            return Explanation(f"{place}{error.strerror[0].lower()}{error.strerror[1:]}", Exit.FAULT)
    return None


def _named(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
