"""What a release's own container has said since a mark. The mark is the container's id, and where its log was read to."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.hosts.docker.logs import Lines, path_of
from quarterdeck.backends.hosts.docker.looking import inspect, look

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.config.release import Release

_LONGEST: Final = 2000  # characters of a line


async def new_lines_of(engine: "Engine", release: "Release", mark: str, *, lines: int, deadline: float) -> NewLines:
    """Raises ``CommandFailed`` where there is no container of the release."""
    action = f"read the log of {release.id}"
    try:
        async with asyncio.timeout(deadline):
            return await _read(engine, release, mark, lines, action, deadline)
    except TimeoutError:
        raise CommandTimedOut(
            engine.host, action, f"no answer within {round(deadline, 1):g} s", exit_status=None
        ) from None


async def _read(engine: "Engine", release: "Release", mark: str, lines: int, action: str, deadline: float) -> NewLines:
    seen = await look(engine, release.target, action, deadline=deadline)
    one = seen.of(release)
    body = await inspect(engine, action, one.id, deadline=deadline) if one is not None else None
    if one is None or body is None:
        raise CommandFailed(engine.host, action, "there is no container of it", exit_status=None)
    read = Lines(1, "")
    if mark:
        container, _, until = mark.partition(" ")
        # All that another container has said since: the one of then was made anew.
        read.go_on(until if container == one.id else "- 0")

    def begin(client: "docker.APIClient") -> Iterator[None]:
        return read.read(client, path_of(one.id), bool(body["Config"]["Tty"]), False)

    texts: list[str] = []
    dropped = 0
    async with aclosing(engine.stream(action, begin)) as tokens:
        async for _ in tokens:
            batch = read.taken(engine.host)
            if batch is not None:
                room = lines - len(texts)
                texts.extend(text[:_LONGEST] for text in batch.texts[:room])
                dropped += batch.dropped + max(0, len(batch.texts) - room)
    end = f"{one.id} {read.mark}"
    return NewLines(end, texts, dropped) if mark else NewLines(end)
