"""A worker that dies: after so many changes the engine gets nothing more from it, and it no answer."""

import contextlib
import threading
from typing import Any

import requests

from quarterdeck.backends.hosts.docker.connection import DockerConnection


class Death:
    """``after`` changes of the engine (whatever is no GET), one at a time: the last one is made, and its answer is lost."""

    def __init__(self, connection: DockerConnection, after: int) -> None:
        self.left = after
        self.made: list[str] = []
        client: Any = connection.engine._open_client()
        asked = client.request
        changing = threading.Lock()

        def request(method: str, url: str, **more: Any) -> Any:
            changes = method.upper() not in ("GET", "HEAD")
            with changing if changes else contextlib.nullcontext():
                if self.left <= 0:
                    raise requests.exceptions.ConnectionError("this worker is dead")
                answer = asked(method, url, **more)
                if changes:
                    self.left -= 1
                    self.made.append(f"{method} {url.partition('/v1.')[2][3:]}")
                    if self.left == 0:
                        raise requests.exceptions.ConnectionError("this worker is dead")
            return answer

        client.request = request

    @property
    def happened(self) -> bool:
        return self.left <= 0
