"""Images in OCI registries: a tag's digest, what there is of it, whether it still answers, and the logins that Docker keeps.

Only reads: nothing is pulled here, and nothing is ever written to a registry.
"""

from quarterdeck.backends.artifacts.registry.images import image_details, image_exists, image_tags, resolve_image
from quarterdeck.backends.artifacts.registry.logins import registry_auth
from quarterdeck.backends.artifacts.registry.manifests import ImageDetails
from quarterdeck.backends.artifacts.registry.reference import Repository, parse_repository

__all__ = [
    "ImageDetails",
    "Repository",
    "image_details",
    "image_exists",
    "image_tags",
    "parse_repository",
    "registry_auth",
    "resolve_image",
]
