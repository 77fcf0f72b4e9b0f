"""What all sources of metrics have in common: the words for a release in a query, and measuring several releases side by side within one
deadline. Measures nothing itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from quarterdeck.backends.errors import BackendError, SourceFailed, SourceTimedOut
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.config.metric_templates import filled, placeholders
from quarterdeck.config.scalars import Unfit

MEASURE = "measure"  # the action of every error
LEFT = "Nothing is known of the release by this"


def words_of(subject: Subject) -> dict[str, str]:
    """What may stand in ``{{…}}``, by name."""
    release = subject.release
    environment, _, service = release.target.partition("/")
    return {
        "release": release.id,
        "version": release.version,
        "target": release.target,
        "environment": environment,
        "service": service,
        "address": subject.address,
    }


def written_for(source: str, text: str, subject: Subject, written: Callable[[str], str]) -> str:
    """``text`` for one release. Raises ``SourceFailed`` where it names what there is not, or an address that the release has not."""
    values = words_of(subject)
    try:
        for name in placeholders(text):
            if not values[name]:
                raise Unfit(f"{subject.release.id} has no {name} of its own to be put in the place of {{{{{name}}}}}")
        return filled(text, values, written)
    except Unfit as unfit:
        raise SourceFailed(source, MEASURE, str(unfit), left=LEFT) from None


async def side_by_side(
    source: str,
    subjects: Sequence[Subject],
    one: Callable[[Subject], Awaitable[Measurement]],
    *,
    deadline: float | None,
) -> tuple[Measurement, ...]:
    """``one`` of each subject at the same time. Raises the first ``BackendError``, when all have ended; ``SourceTimedOut`` at the deadline
    (seconds; None: somebody else's), when all have been cancelled."""

    async def caught(subject: Subject) -> Measurement | BackendError:
        try:
            return await one(subject)
        except BackendError as error:
            return error

    try:
        async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
            tasks = [group.create_task(caught(subject)) for subject in subjects]
    except TimeoutError:
        raise SourceTimedOut(source, MEASURE, f"no answer within {deadline:g} s", left=LEFT) from None
    found = [task.result() for task in tasks]
    for outcome in found:
        if isinstance(outcome, BackendError):
            raise outcome
    return tuple(outcome for outcome in found if isinstance(outcome, Measurement))


async def on_each_host(
    source: str, subject: Subject, one: Callable[[Subject], Awaitable[Measurement]]
) -> tuple[Measurement, ...]:
    """``one`` of the release on each of its hosts, at the same time. Raises ``SourceFailed`` where it runs on none, and what ``one``
    raises."""
    if not subject.hosts:
        raise SourceFailed(source, MEASURE, f"{subject.release.id} runs on no host", left=LEFT)
    alone = [msgspec.structs.replace(subject, hosts=(host,)) for host in subject.hosts]
    return await side_by_side(source, alone, one, deadline=None)


def of_host(source: str, host: str, error: BackendError) -> SourceFailed:
    """A host that can't be asked, as the error of the source that asked it."""
    return SourceFailed(f"{source} of {host}", error.action, error.problem, left=LEFT, advice=error.advice)
