"""From the manifest that a host keeps beside a release back to the release. Pure; never trusts what does not fit its own digest."""

from collections.abc import Mapping

from quarterdeck.config.release import Release, release_from_json


def release_in(manifest: Mapping[str, object]) -> Release:
    """The release that the manifest describes. Raises ``ValueError`` when it is none, or not the one that its id and digest say."""
    release = release_from_json(manifest.get("release", manifest))
    for key, found in (("digest", release.digest), ("id", release.id)):
        if manifest.get(key, found) != found:
            raise ValueError(f"the manifest's {key} is {manifest[key]!r}, its release's is {found!r}")
    return release
