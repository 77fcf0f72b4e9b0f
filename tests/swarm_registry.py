"""What an engine says of the registry that is to be there for it, at its own 127.0.0.1."""

from typing import Final

import docker
import docker.errors

_NOTHING: Final = "nothing:1"


def has_registry(client: docker.APIClient, registry: str) -> bool:
    """Whether it answers. Until it does, tasks with an image that is not there are rejected. Raises what the SDK does where the engine does
    not answer."""
    return _asked(client, registry) == 404


def is_refused(client: docker.APIClient, registry: str) -> bool:
    """Whether it answers, and lets the engine have nothing. Raises as ``has_registry``."""
    return _asked(client, registry) in (401, 403)


def _asked(client: docker.APIClient, registry: str) -> int:
    """A status of HTTP: the engine's own where nobody listens there, which is a 500."""
    try:
        client.inspect_distribution(f"{registry}/{_NOTHING}")
    except docker.errors.APIError as error:
        return error.status_code or 0
    return 200
