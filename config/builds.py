"""What the fleet file says of a service's builds and of its repository, as frozen values. Nothing here asks anybody."""

import re
from collections.abc import Mapping

import msgspec

from quarterdeck.config.model import SecretReference

PLACES = ("number", "sha", "short_sha", "tag", "branch")
"""What ``{…}`` may name in the version of a build."""
SYSTEMS = ("github", "gitlab", "circleci", "jenkins")


class Builds(msgspec.Struct, frozen=True):
    """Where a service is built. ``system`` is one of SYSTEMS; ``project`` is what that calls it: owner/name (GitHub), group/project
    (GitLab), gh/owner/name (CircleCI), the URL of the job (Jenkins).

    ``url`` is the base of one that runs elsewhere than in public (GitHub Enterprise, one's own GitLab, CircleCI server); empty: the public
    one. ``workflow`` names one of several (a file of GitHub's, a workflow of CircleCI's); ``branch`` leaves out the builds of others.
    ``version`` is a template over PLACES: which version came of a build. ``username`` goes with a token of Jenkins'.
    ``timeout``: seconds that a question may take.
    """

    system: str
    project: str
    url: str = ""
    workflow: str = ""
    branch: str = ""
    token: SecretReference | None = None
    username: str = ""
    version: str = "{number}"
    timeout: float = 10.0


class Repository(msgspec.Struct, frozen=True):
    """Where the source of a service is: ``git`` is https://…, ssh://…, file://…, user@host:path, or an absolute path."""

    git: str


def version_of(template: str, places: Mapping[str, str]) -> str:
    """The version that a build of these ``places`` made; empty where one that the template names is not known of it."""
    wanted = re.findall(r"\{([^{}]*)\}", template)
    if not all(places.get(name) for name in wanted):
        return ""
    return re.sub(r"\{([^{}]*)\}", lambda found: places[found[1]], template)


def places_in(template: str, version: str) -> dict[str, str]:
    """What a version says of its build, read back by the template: {"number": "812"}; empty where it is not of that form."""
    kinds = {"number": "[0-9]+", "sha": "[0-9a-f]{40,64}", "short_sha": "[0-9a-f]{7,12}"}
    pattern, seen = "", set()
    for text, name in re.findall(r"([^{}]+)|\{([^{}]*)\}", template):
        if text:
            pattern += re.escape(text)
        elif name in seen:
            pattern += f"(?P={name})"
        else:
            pattern += f"(?P<{name}>{kinds.get(name, '.+?')})"
            seen.add(name)
    found = re.fullmatch(pattern, version)
    return found.groupdict() if found is not None else {}
