"""How the nodes log in to the registry that they fetch a release's image from: the managers hand on what a request brings along."""

import base64
import json

from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.config.release import Release


async def registry_header(auth: Auth, release: Release) -> dict[str, str]:
    """Empty where nothing is known of that registry: then the nodes go by what the service already has."""
    repository, _, _ = release.artifact.location.partition("@")
    credentials = await auth(repository)
    if not credentials:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode()}
