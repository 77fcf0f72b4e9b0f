"""Telling through Apprise, in a process of its own: its library takes a while to load, and a service that never answers can be ended with
that process, whatever it waits in. No URL gets into a command line, an error or a log."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from quarterdeck.backends import programs
from quarterdeck.backends.errors import NotTold
from quarterdeck.backends.notify.contract import Delivery
from quarterdeck.backends.secrets.masking import Masker
from quarterdeck.backends.text_cleaning import clean

SEND: Final = "send the notification"  # the action of every error
LEFT: Final = "The rollout is not touched by this"
_MODULE: Final = "quarterdeck.backends.notify.sending"
_SHOWN: Final = 300  # characters of what Apprise said
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,30}):/")


def service_of(url: str) -> str:
    """The service that a URL leads to, by its scheme: all of it that may be shown. Empty where it has none."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


class ThroughApprise:
    """A ``Notifier``."""

    async def tell(self, deliveries: Sequence[Delivery], *, deadline: float) -> tuple[NotTold | None, ...]:
        if not deliveries:
            return ()
        answers: dict[int, Mapping[str, Any]] = {}
        try:
            async with asyncio.timeout(deadline):
                ended = await _sent(_task(deliveries, deadline), answers)
        except TimeoutError:
            ended = f"no answer within {deadline:g} s: it may have arrived or not"
        return tuple(_outcome(delivery, answers.get(id), ended) for id, delivery in enumerate(deliveries))


def _task(deliveries: Sequence[Delivery], deadline: float) -> bytes:
    places: dict[str, list[dict[str, Any]]] = {}
    for id, delivery in enumerate(deliveries):
        message = delivery.message
        places.setdefault(delivery.url, []).append(
            {"id": id, "title": message.title, "body": message.body, "tone": message.tone}
        )
    listed = [{"url": url, "messages": messages} for url, messages in places.items()]
    return json.dumps({"deadline": deadline, "places": listed}).encode()


async def _sent(task: bytes, answers: dict[int, Mapping[str, Any]]) -> str:
    """Runs the process to its end, and fills ``answers`` in by id as they come. Why there may be no more of them, in words."""
    try:
        # -P: nothing that lies in the operator's directory is imported.
        process = await programs.start([sys.executable, "-P", "-m", _MODULE], stdin=asyncio.subprocess.PIPE)
    except OSError as error:
        return f"it can't be started: {error.strerror or 'input/output error'}"
    assert process.stdin is not None
    assert process.stdout is not None
    ended = False
    try:
        try:
            process.stdin.write(task)
            await process.stdin.drain()
            process.stdin.close()
        except ConnectionError:
            pass  # it has ended already: its status says how
        while line := await process.stdout.readline():
            answer = json.loads(line)
            answers[int(answer["id"])] = answer
        status = await process.wait()
        ended = True
    except ValueError:
        return "what it said is no answer"
    finally:
        if not ended:
            await asyncio.shield(programs.end(process))
    return f"the process that sends ended with {status}"


def _outcome(delivery: Delivery, answer: Mapping[str, Any] | None, ended: str) -> NotTold | None:
    if answer is not None and answer["sent"]:
        return None
    said = str(answer["why"]) if answer is not None else ended
    masked = " ".join(clean(Masker(parts_of(delivery.url)).mask(said)).split())
    return NotTold(delivery.to, SEND, masked[:_SHOWN] or "the service did not take it", left=LEFT)


def parts_of(url: str) -> list[str]:
    """What must not be shown of a URL: itself, and all of its parts but the scheme; a token is mostly one of them."""
    rest = url.partition("://")[2] or url
    pieces = [piece for piece in re.split(r"[/?&=#@:,+ ]", rest) if piece]
    return [url, rest, *pieces, *(unquote(piece) for piece in pieces)]
