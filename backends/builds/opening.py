"""From what the fleet file says of a service's builds to the system that tells of them. What that needs is loaded when it is used."""

from pathlib import Path

from quarterdeck.backends.builds.contract import BuildsOf
from quarterdeck.config.builds import Builds


def open_builds(builds: Builds, directory: Path) -> BuildsOf:
    """Connects to nothing yet. ``directory``: the fleet file's."""
    match builds.system:
        case "github":
            from quarterdeck.backends.builds.github import GitHubBuilds

            return GitHubBuilds(builds, directory)
        case "gitlab":
            from quarterdeck.backends.builds.gitlab import GitLabBuilds

            return GitLabBuilds(builds, directory)
        case "circleci":
            from quarterdeck.backends.builds.circleci import CircleCiBuilds

            return CircleCiBuilds(builds, directory)
        case "jenkins":
            from quarterdeck.backends.builds.jenkins import JenkinsBuilds

            return JenkinsBuilds(builds, directory)
        case system:
            raise ValueError(system)
