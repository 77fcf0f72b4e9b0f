"""The version that a build makes, by the fleet file's template. Pure."""

import msgspec

from quarterdeck.backends.builds.contract import Build
from quarterdeck.config.builds import Builds, version_of

_SHORT = {"gitlab": 8}  # as $CI_COMMIT_SHORT_SHA is; elsewhere git's own 7


def with_version(builds: Builds, build: Build) -> Build:
    places = {**build.places, "short_sha": build.commit[: _SHORT.get(builds.system, 7)]}
    return msgspec.structs.replace(build, version=version_of(builds.version, places))
