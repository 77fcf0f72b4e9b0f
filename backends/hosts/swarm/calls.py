"""Calls of the Swarm part of an engine's API, which the SDK's own functions wrap only in part: they know no version of an object to begin
with, and read registry credentials from files of this machine."""

import json
from collections.abc import Mapping
from typing import Any, Final

import docker
import docker.errors
import requests

from quarterdeck.backends.errors import EngineRefused

Body = Mapping[str, Any]

_TRANSIENT: Final = (
    "does not have a leader",  # an election is under way
    "code = unavailable",
    "code = canceled",
    "code = deadlineexceeded",
    "context deadline exceeded",
    "connection is closing",
    "transport is closing",
    "could not find any manager",
    "lost leadership",
    "raft: ",
    "error reading from server",
)
_MOVED: Final = "update out of sequence"
_NO_MANAGER: Final = "not a swarm manager"


def get(client: docker.APIClient, path: str, headers: Mapping[str, str] | None = None, /, **filters: list[str]) -> Any:
    """``filters`` as the API names them."""
    asked = {"filters": json.dumps(filters)} if filters else {}
    return _answer(client.get(_url(client, path), params=asked, headers=dict(headers or {})))


def post(
    client: docker.APIClient,
    path: str,
    body: Body,
    *,
    version: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """``version``: that of the object which is changed; another one has come in between: ``has_moved``."""
    asked = {} if version is None else {"version": str(version)}
    return _answer(client.post(_url(client, path), params=asked, json=dict(body), headers=dict(headers or {})))


def delete(client: docker.APIClient, path: str) -> None:
    _answer(client.delete(_url(client, path)))


def has_moved(error: EngineRefused) -> bool:
    """Whether a change was refused because the object is not as it was when it was read."""
    return _MOVED in error.explanation


def is_passing(error: EngineRefused) -> bool:
    """Whether a manager said that it can't answer just now: it has lost the others, or they choose a leader."""
    said = error.explanation.lower()
    return error.status >= 500 and "too large" not in said and any(sign in said for sign in _TRANSIENT)


def is_no_manager(error: EngineRefused) -> bool:
    """Whether it was said by a node that is a worker by now, or of no swarm any more: another manager is to be asked."""
    return error.status == 503 and _NO_MANAGER in error.explanation.lower()


def get_bytes(client: docker.APIClient, path: str, **asked: str) -> bytes:
    response = client.get(_url(client, path), params=asked)
    _judge(response)
    return bytes(response.content)


def _url(client: docker.APIClient, path: str) -> str:
    return f"{client.base_url}/v{client.api_version}{path}"


def _answer(response: requests.Response) -> Any:
    _judge(response)
    return response.json() if response.content else None


def _judge(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
