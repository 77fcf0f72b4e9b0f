"""The process that sends notifications, and ends: the only one that loads Apprise.

What to send comes on its standard input, so that no URL is in a command line; a line for each message that was taken, or was not, goes
to its standard output. It writes nothing else anywhere: Apprise's own words may hold a part of a URL, and go to whoever started it.
"""

import json
import logging
import os
import signal
import sys
import threading
from typing import Any

NICE = 5  # a rollout goes first
GRACE = 5.0  # seconds after the deadline at which it ends by itself, where nobody is left who would end it


def main() -> int:
    task = json.loads(sys.stdin.buffer.read())
    os.nice(NICE)
    signal.setitimer(signal.ITIMER_REAL, float(task["deadline"]) + GRACE)
    import apprise

    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(
        app_id="Quarterdeck",
        storage_mode="memory",  # writes nothing to the disk
        service_timeout=0,  # whoever started this has the only deadline
        allow_templates=False,
        interpret_emojis=False,  # what is sent is text, and stays that
        http_redirects=False,  # to nowhere else than where it was sent to
    )
    threads = [threading.Thread(target=_send, args=(apprise, asset, place), daemon=True) for place in task["places"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _send(apprise: Any, asset: Any, place: dict[str, Any]) -> None:
    """The messages to one URL, one after another."""
    service = apprise.Apprise(asset=asset)
    known = service.add(place["url"])
    for message in place["messages"]:
        if not known:
            _tell(message, sent=False, why="Apprise makes nothing of its URL")
            continue
        try:
            result = service.notify(
                body=message["body"],
                title=message["title"],
                notify_type=message["tone"],
                body_format="text",
                log_level=logging.WARNING,
            )
            words = [str(entry.message) for entry in result.logs()]
            _tell(message, sent=bool(result), why="; ".join(dict.fromkeys(words)))
        except Exception as error:  # of a service's own code: the other messages are sent all the same
            _tell(message, sent=False, why=f"Apprise failed ({type(error).__name__})")


_one_at_a_time = threading.Lock()


def _tell(message: dict[str, Any], *, sent: bool, why: str) -> None:
    with _one_at_a_time:
        sys.stdout.write(json.dumps({"id": message["id"], "sent": sent, "why": why[:2000]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    status = main()
    os._exit(status)  # no thread of a service's own keeps it
