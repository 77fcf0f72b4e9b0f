"""The keys of `builds` and `source`, and what only the whole file shows of them. Their values are loaded only where there are any."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quarterdeck.config import scalars
from quarterdeck.config.kinds import SOME_TEXT, SOME_TIME
from quarterdeck.config.locations import PATH_SCHEMA, local_path
from quarterdeck.config.model import Environment, Target
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode
from quarterdeck.config.parts import SECRET
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Fields, FromText, Key, Keys, Scalar, Schema

if TYPE_CHECKING:
    from quarterdeck.config.builds import Builds, Repository

_PART = r"[A-Za-z0-9_.-]+"
_GITHUB = rf"{_PART}/{_PART}"
_GITLAB = rf"{_PART}(/{_PART})+|[0-9]+"
_CIRCLECI = rf"{_PART}/{_PART}/{_PART}"
_URL = r"https?://[^\s/?#]+(/[^\s?#]*)?"
_SYSTEMS = ("github", "gitlab", "circleci", "jenkins")
_PLACES = ("number", "sha", "short_sha", "tag", "branch")


def _pattern(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _version(text: str) -> str:
    """Raises ``Unfit`` for one that every build would share."""
    scalars.fill(scalars.one_line(text), dict.fromkeys(_PLACES, "1"))
    if not re.search(r"\{(number|sha|short_sha|tag)\}", text):
        raise Unfit(
            "it has none of {number}, {sha}, {short_sha} and {tag}, so that it would be the same for every build"
        )
    return text


URL = Scalar("a URL such as https://ci.example.com", scalars.matching(_URL), _pattern(_URL))


def _systems_own(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """What another system knows has no meaning here; a URL holds no login."""
    system = next((name for name in _SYSTEMS if name in node.entries), "")
    fine = True
    for name, known in (
        ("workflow", ("github", "circleci")),
        ("url", ("github", "gitlab", "circleci")),
        ("username", ("jenkins",)),
    ):
        if system and name in node.entries and system not in known:
            words = " and ".join(known)
            problems.add(node.key(name), f"`{name}` has no meaning beside `{system}`: it is for {words}")
            fine = False
    for name in ("url", "jenkins"):
        if "@" in urlsplit(values.get(name, "")).netloc:
            problems.hide(node.value(name))
            problems.add(
                node.value(name), "this URL has a login: `token` says where one is found, this file never holds it"
            )
            fine = False
    if system == "github" and "workflow" not in node.entries and "{number}" in values.get("version", "{number}"):
        told = "GitHub counts runs within each workflow: say with `workflow` which one {number} is of, or give `version` as {sha}"
        problems.add(node.key("github"), told)
        fine = False
    if system == "jenkins" and ("username" in node.entries) != ("token" in node.entries):
        problems.add(node, "Jenkins wants both `username` and `token`, an API token of that user, or neither")
        fine = False
    return fine


def _builds(**found: Any) -> "Builds":
    from quarterdeck.config.builds import Builds

    system = next(name for name in _SYSTEMS if name in found)
    project = found.pop(system).rstrip("/")
    return Builds(system, project, **found)


GITHUB = Scalar("a repository such as acme/api", scalars.matching(_GITHUB), _pattern(_GITHUB))
GITLAB = Scalar(
    "a project such as group/project",
    scalars.matching(_GITLAB),
    {"anyOf": [{"type": "integer", "minimum": 1}, _pattern(_GITLAB)]},
)
CIRCLECI = Scalar("a project such as gh/acme/api", scalars.matching(_CIRCLECI), _pattern(_CIRCLECI))
JENKINS = Scalar("the URL of a job such as https://ci.example.com/job/api", scalars.matching(_URL), _pattern(_URL))
VERSION = Scalar(
    "a version with {number}, {sha}, {short_sha}, {tag} or {branch} in it",
    _version,
    {"type": "string", "minLength": 1},
)
BUILDS = Keys(
    "builds",
    (
        Key("github", GITHUB, "The repository whose GitHub Actions build it."),
        Key("gitlab", GITLAB, "The project whose GitLab pipelines build it, by its path or number."),
        Key(
            "circleci",
            CIRCLECI,
            "The project whose CircleCI pipelines build it: gh/OWNER/NAME, bb/OWNER/NAME or circleci/ORGANISATION/PROJECT.",
        ),
        Key("jenkins", JENKINS, "The Jenkins job that builds it; of a multibranch pipeline that of one branch."),
        Key(
            "url",
            URL,
            "A server of one's own: https://github.example.com/api/v3, https://gitlab.example.com, https://circleci.example.com.",
        ),
        Key(
            "workflow",
            SOME_TEXT,
            "The one of several that makes the artifact: a file such as build.yml (GitHub), a workflow's name (CircleCI).",
        ),
        Key("branch", SOME_TEXT, "Only builds of this branch. `--build latest` needs it, where a project has several."),
        Key("token", SECRET, "Where a token is found that may read builds."),
        Key("username", SOME_TEXT, "The user of Jenkins whose API token it is."),
        Key(
            "version",
            VERSION,
            "Which version a build makes; {number}, {sha}, {short_sha}, {tag} and {branch} are filled in.",
            default="{number}",
        ),
        Key("timeout", SOME_TIME, "How long the server may take to answer.", default="10s"),
    ),
    make=_builds,
    one_of=_SYSTEMS,
    check=_systems_own,
)


class _Repository(FromText, frozen=True):
    """A path (made absolute) or an address that git fetches from without a program of anybody's choice in between."""

    expected: str = "a path, or a URL such as https://git.example.com/acme/api.git or git@git.example.com:acme/api.git"

    def read(self, node: Node, problems: Problems) -> Any:
        if isinstance(node, ScalarNode) and re.match(r"https?://[^/]*@|[a-z+]+://[^/@]*:[^/]*@", node.text):
            problems.hide(node)
            told = "this URL has a login: git's credential helpers know logins, this file never holds one"
            return problems.add(node, told, expected=self.expected)
        return super().read(node, problems)

    def value_of(self, node: ScalarNode) -> str:
        text = scalars.one_line(node.text)
        if text.startswith("-") or "::" in text or re.search(r"[\s\x00-\x1f\x7f]", text):
            raise Unfit("it is neither a path nor an address of a repository")
        scheme, separator, _ = text.partition("://")
        if separator:
            return _repository_url(scheme.lower(), text)
        if re.match(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*@[^/:]+:", text):
            host = text.partition("@")[2].partition(":")[0]
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", host):
                raise Unfit("its host is no name of a host")
            return text
        return str(local_path(node, text))

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(PATH_SCHEMA)


def _repository_url(scheme: str, text: str) -> str:
    if scheme not in ("https", "ssh", "file"):
        raise Unfit("a URL of a repository begins with https://, ssh:// or file://")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise Unfit("it is not a valid URL") from None
    if scheme != "file" and not re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9a-f:.]*:[0-9a-f:.]*", parts.hostname or ""
    ):
        raise Unfit("its host is no name of a host")
    return text


def _made_repository(**found: Any) -> "Repository":
    from quarterdeck.config.builds import Repository

    return Repository(**found)


SOURCE = Keys(
    "a source",
    (
        Key(
            "git",
            _Repository(),
            "The repository that it is built from, as for git clone, or a path relative to this file.",
            required=True,
        ),
    ),
    make=_made_repository,
)


def of_services(services: Mapping[str, Fields], key: str) -> dict[str, Any]:
    """What stands under ``key`` (builds, source) of each service that has it, by its name."""
    return {name: service.values[key] for name, service in services.items() if key in service.values}


def check_required(
    environments: Mapping[str, Environment],
    targets: Mapping[str, Target],
    services: Mapping[str, Fields],
    node_of: Callable[[str], Node],
    problems: Problems,
) -> None:
    """A service that goes where a passing build is required says where it is built. ``node_of``: an environment's key."""
    for target in targets.values():
        environment = environments[target.environment]
        service = services[target.service]
        if environment.require.build and not service.has("builds"):
            problems.add(
                node_of(environment.name),
                f"{environment.name} requires a passing build, and nothing says where `{target.service}` is built: add `builds` to it",
            )
