"""The one description of the fleet file: every key, what may stand there, one sentence about it.

The loader reads by it and the JSON Schema is made from it; there is no second list of keys.
"""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config import scalars
from quarterdeck.config.analysis_reading import ANALYSES
from quarterdeck.config.approval_reading import APPROVALS
from quarterdeck.config.build_reading import BUILDS, SOURCE
from quarterdeck.config.compose.shapes import ByForm
from quarterdeck.config.containers import CONTAINER
from quarterdeck.config.drill_reading import DRILLS
from quarterdeck.config.flag_reading import FLAGS
from quarterdeck.config.freeze_reading import is_a_span
from quarterdeck.config.freezes import Freeze
from quarterdeck.config.hooks import HOOKS
from quarterdeck.config.kinds import (
    BOOLEAN,
    COUNT,
    DOCKER_ADDRESS,
    DURATION,
    FEW,
    HOST_PATH,
    IP,
    LABEL,
    LOG_PATH,
    MOMENT,
    NAME,
    NODE_ADDRESS,
    PERSON,
    REGISTRY,
    SHARE,
    SOME_TEXT,
    SOME_TIME,
    SSH_ADDRESS,
    TEXT,
    UNIT_NAME,
    ZONE,
)
from quarterdeck.config.locations import LocalPath, LocalText
from quarterdeck.config.model import (
    Keep,
    Logs,
    OnUnreachable,
    Operators,
    RegistryLogin,
    Requirements,
    RollbackPolicy,
)
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.notify_reading import NOTIFY
from quarterdeck.config.parts import ARTIFACT, COMMANDS, ENV, FILES, HEALTH, SECRET, SECRETS, UNIT, later
from quarterdeck.config.problems import Problems
from quarterdeck.config.router_keys import ROUTED, ROUTERS
from quarterdeck.config.shapes import Choice, Key, Keys, ListOf, MapOf, Scalar
from quarterdeck.config.slots import SLOTS
from quarterdeck.config.strategies import STRATEGY

ELSEWHERE = "may stand in the main file only, not in an included one"
ON_UNREACHABLE = Choice(tuple(OnUnreachable), OnUnreachable)


KEEP = Keys(
    "what is kept",
    (
        Key("releases", COUNT, "How many old releases stay on each host.", default="5"),
        Key("warm", FEW, "How many containers of old releases stay stopped, ready to be started again.", default="1"),
    ),
    make=Keep,
)
LOGS = Keys(
    "the logs",
    (
        Key("journal", UNIT_NAME, "The systemd unit whose journal holds the logs."),
        Key(
            "files",
            ListOf(LOG_PATH, "a list of absolute paths such as [/srv/web/shared/log/*.log]", least=1),
            "Log files on the hosts; * stands for any text, {environment}, {service} and {slot} are filled in.",
        ),
    ),
    make=Logs,
    some_of=("journal", "files"),
)
ROLLBACK = Keys(
    "the rollback policy",
    (
        Key("automatic", BOOLEAN, "Whether a deploy that fails takes itself back.", default="true"),
        Key("max_unavailable", SHARE, "How many hosts go back at once.", default="100%"),
        Key(
            "on_unreachable",
            ON_UNREACHABLE,
            "What a rollback does about a host that can't be reached.",
            default="continue",
        ),
    ),
    make=RollbackPolicy,
)

_SERVICE_KEYS = (
    Key("artifact", ARTIFACT, "What is shipped."),
    Key(
        "path",
        HOST_PATH,
        "The service's directory on the hosts (releases/, shared/, current); {environment}, {service} are filled in.",
    ),
    Key("unit", UNIT, "The systemd unit that runs the service."),
    Key("commands", COMMANDS, "Shell commands that run the service where no unit does."),
    Key(
        "slots",
        SLOTS,
        "Ports of two instances that can run beside each other on a host; `unit` is a template then, such as api@.service.",
    ),
    Key(
        "container",
        CONTAINER,
        "How the container is made, with Compose's keys, or where a compose file says it; instead of path and unit.",
    ),
    Key("env", ENV, "Variables of the service; they come over those of the environment, key by key."),
    Key("files", FILES, "Configuration files that become part of each release."),
    Key("secrets", SECRETS, "Variables whose values are found elsewhere; this file never holds them."),
    Key("health", HEALTH, "How one knows that the service is well."),
    Key("strategy", STRATEGY, "How the hosts are moved to a new release.", default="rolling"),
    Key("router", ROUTED, "The router in front of the service, and what it calls the service there."),
    Key("rollback", ROLLBACK, "How the hosts are moved back."),
    Key("on_unreachable", ON_UNREACHABLE, "What a deploy does about a host that can't be reached.", default="stop"),
    Key(
        "on_orphan",
        Choice(("resume", "hold", "roll_back")),
        "What becomes of a deploy whose worker died.",
        default="hold",
    ),
    Key(
        "progress_deadline",
        SOME_TIME,
        "A deploy that gets no step done for so long is taken back; longer than any hook or health gate may take.",
        default="10m",
    ),
    Key("hooks", HOOKS, "Commands around the switch."),
    Key("keep", KEEP, "How much of the past stays on the hosts."),
    Key("logs", LOGS, "Where the service's logs are."),
)
_OF_THE_SERVICE = "can't stand here: it is said once, of the service as a whole"
OVERRIDE = Keys(
    "a service in an environment",
    _SERVICE_KEYS,
    refused={
        "source": _OF_THE_SERVICE,
        "builds": _OF_THE_SERVICE,
        "environments": "can't stand here: this is within one environment already",
    },
)
SERVICE = Keys(
    "a service",
    (
        *_SERVICE_KEYS,
        Key("source", SOURCE, "Where its source is, for the commits between two releases."),
        Key("builds", BUILDS, "Which CI system builds it: `qd builds`, and deploys from a build."),
        Key(
            "environments",
            MapOf(OVERRIDE, "a mapping of environments to what is different there", NAME, null=True),
            "What differs in an environment (env, secrets, files are merged key by key); null: it is not there.",
        ),
    ),
)


_SWARM = ByForm(
    "the address of a manager, or a list of them",
    scalar=Scalar(DOCKER_ADDRESS.expected, lambda text: (scalars.docker_address(text),), DOCKER_ADDRESS.json),
    sequence=ListOf(
        DOCKER_ADDRESS, "a list of managers such as [ssh://10.0.3.11, ssh://10.0.3.12]", least=1, distinct=True
    ),
)
_ENGINES = ("docker", "swarm", "nodes")


def _of_its_kind(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """`nodes` beside a swarm only, `tls` beside an address over tcp:// only."""
    right = True
    if "nodes" in node.entries and "swarm" not in node.entries:
        problems.add(node.key("nodes"), "`nodes` is for a swarm only: say where its managers are by `swarm`")
        right = False
    if "tls" not in node.entries:
        return right
    addresses = [values.get("docker", ""), *values.get("swarm", ()), values.get("nodes", "")]
    if any(address.startswith("tcp://") for address in addresses):
        return right
    if any(key in node.entries and key not in values for key in _ENGINES):
        return False  # reported
    problems.add(node.key("tls"), "`tls` is for an engine that is reached over tcp:// only")
    return False


HOST = Keys(
    "a host",
    (
        Key(
            "ssh",
            SSH_ADDRESS,
            "What you would give to ssh: a name of your ~/.ssh/config, or [user@]address[:port].",
        ),
        Key("docker", DOCKER_ADDRESS, "Where the Docker engine of a host for containers listens."),
        Key(
            "swarm",
            _SWARM,
            "Where the engine of a manager of a Docker Swarm listens, which is one host as a whole; or of several, in turn.",
        ),
        Key(
            "nodes",
            NODE_ADDRESS,
            "Where the engine of each of a swarm's nodes listens. Without it: as the managers, at the node's address.",
        ),
        Key(
            "tls",
            LocalPath("the path of a directory"),
            "The directory with ca.pem, cert.pem and key.pem for tcp://, relative to this file.",
        ),
        Key(
            "address",
            IP,
            "Its IP address as routers reach it. Without it: the one by which it is reached from here.",
        ),
        Key("labels", MapOf(TEXT, "a mapping of labels to text", LABEL), "Anything worth knowing about the host."),
    ),
    one_of=("ssh", "docker", "swarm"),
    check=_of_its_kind,
)
FREEZE = Keys(
    "a freeze",
    (
        Key(
            "from",
            MOMENT,
            "When it begins: a time of every week, or of one day; without a time when the day begins.",
            required=True,
            field="begins",
        ),
        Key("to", MOMENT, "When it ends; without a time when the day is over.", required=True, field="ends"),
        Key("zone", ZONE, "The time zone of both, also across daylight-saving changes.", default="UTC"),
        Key("reason", SOME_TEXT, "Why, for whoever is refused."),
    ),
    make=Freeze,
    check=is_a_span,
)
REQUIRE = Keys(
    "what is required",
    (
        Key(
            "rollback_ready",
            BOOLEAN,
            "Whether the way back must be open: a copy of the last good release where hosts move, or in its registry, and its secrets.",
            default="false",
        ),
        Key(
            "max_drill_age",
            SOME_TIME,
            "How long ago the rollback may have been practised with success (`qd drill`), where there is something to go back to.",
        ),
        Key(
            "build",
            Choice(("passed",)),
            "Whether the build that made the version must have passed, by the CI system's own word.",
        ),
    ),
    make=Requirements,
    some_of=("rollback_ready", "max_drill_age", "build"),
    refused=later("signed"),
)
ENVIRONMENT = Keys(
    "an environment",
    (
        Key(
            "hosts",
            ListOf(NAME, "a list of hosts", least=1, distinct=True),
            "Its hosts, in their order.",
            required=True,
        ),
        Key("after", NAME, "Only a release that succeeded in this environment may come here."),
        Key("soak", DURATION, "How long it must have run there before.", default="0"),
        Key("approvals", APPROVALS, "Who must agree before a deploy begins here; a rollback never waits."),
        Key(
            "freezes",
            ListOf(FREEZE, "a list of freezes such as [{from: Fri 16:00, to: Mon 08:00}]"),
            "When no release goes out here; a rollback always may.",
        ),
        Key(
            "max_parallel",
            COUNT,
            "How many deploys may be under way here at once, of all services; others wait for their turn, a rollback never.",
        ),
        Key("require", REQUIRE, "What must hold before a deploy begins here; a rollback needs none of it."),
        Key(
            "drills",
            DRILLS,
            "Whether rollbacks may be practised here: `allowed` or `refused`, or when. Without it: everywhere but in production.",
        ),
        Key("env", ENV, "Variables of every service in this environment."),
        Key("secrets", SECRETS, "Secrets of every service in this environment."),
    ),
)
OPERATORS = Keys(
    "the operators",
    (
        Key("view", ListOf(PERSON, "a list of users and @groups"), "Who may look. Without it: everybody."),
        Key(
            "deploy",
            ListOf(PERSON, "a list of users and @groups"),
            "Who may deploy and roll back. Without it: everybody.",
        ),
        Key(
            "approve",
            ListOf(PERSON, "a list of users and @groups"),
            "Who may agree to deploys, where `approvals` of an environment does not say it. Without it: everybody.",
        ),
    ),
    make=Operators,
)
SSH = Keys(
    "ssh",
    (
        Key("config", ListOf(LocalPath(), "a list of files"), "SSH configuration files, instead of ~/.ssh/config."),
        Key(
            "known_hosts",
            ListOf(LocalPath(), "a list of files"),
            "Files of known host keys, instead of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.",
        ),
    ),
)
REGISTRY_LOGIN = Keys(
    "a registry login",
    (
        Key("username", SOME_TEXT, "The user; what goes with a token the registry says.", required=True),
        Key("password", SECRET, "Where its password or token is found; this file never holds it.", required=True),
    ),
    make=RegistryLogin,
)

_PART_KEYS = (
    Key(
        "include",
        ListOf(LocalPath(), "a list of files", distinct=True),
        "Further files with hosts, environments, services.",
    ),
    Key("hosts", MapOf(HOST, "a mapping of names to hosts", NAME, json_key=scalars.NAME), "The machines."),
    Key(
        "environments",
        MapOf(ENVIRONMENT, "a mapping of names to environments", NAME, json_key=scalars.NAME),
        "The environments, in the order in which they are shown.",
    ),
    Key("services", MapOf(SERVICE, "a mapping of names to services", NAME, json_key=scalars.NAME), "The services."),
)
FLEET = Keys(
    "a fleet file",
    (
        Key("fleet", NAME, "The fleet's name.", required=True),
        Key(
            "state",
            LocalPath("the path of a directory"),
            "The directory of the journal. Without it: quarterdeck/<fleet> in $XDG_STATE_HOME, or in ~/.local/state.",
        ),
        Key(
            "previews",
            LocalPath("the path of a directory"),
            "The directory of the files that `qd env clone` writes. Without it: previews/ in the directory of the journal.",
        ),
        Key("operators", OPERATORS, "Who may do what: unix users and @groups of this machine."),
        Key("ssh", SSH, "Which SSH files are used."),
        Key(
            "registries",
            MapOf(REGISTRY_LOGIN, "a mapping of registries to their logins", REGISTRY, json_key=scalars.REGISTRY_PART),
            "Logins of image registries, or of a part of one; for all others Docker's own are used, as `docker login` left them.",
        ),
        Key(
            "runbooks",
            MapOf(
                LocalText("the path of a Markdown file"),
                "a mapping of services to Markdown files",
                NAME,
                json_key=scalars.NAME,
            ),
            "What to do when a service is ill: shown beside its rollback card, and by `:runbook`.",
        ),
        Key("routers", ROUTERS, "The routers in front of services: HAProxy, nginx, Caddy."),
        Key("analyses", ANALYSES, "What is measured in steps `analysis` and in a `bake`, by name."),
        Key("flags", FLAGS, "Feature flags that the strategy `flag` sets, by name."),
        Key(
            "notify",
            NOTIFY,
            "Who is told when something happens: Slack, PagerDuty, mail and all else that Apprise knows.",
        ),
        *_PART_KEYS,
    ),
)
PART = Keys(
    "an included file",
    _PART_KEYS,
    refused={
        **dict.fromkeys(
            (
                "fleet",
                "state",
                "previews",
                "operators",
                "ssh",
                "registries",
                "runbooks",
                "routers",
                "analyses",
                "flags",
                "notify",
            ),
            ELSEWHERE,
        ),
    },
)
