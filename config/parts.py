"""What a service is made of (artifact, unit, health, strategy, …): the keys of each part, a sentence for each key."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config import scalars
from quarterdeck.config.kinds import (
    ADDRESS,
    BOOLEAN,
    COMMAND,
    DURATION,
    IMAGE,
    MODE,
    NAME,
    OWN_VARIABLE,
    PORT,
    RELEASE_PATH,
    SOME_TEXT,
    SOME_TIME,
    STATUS,
    TEXT,
    UNIT_NAME,
    URL_PATH,
    VARIABLE,
)
from quarterdeck.config.locations import LocalFileText, Location, SecretFile
from quarterdeck.config.model import (
    Artifact,
    CommandCheck,
    Commands,
    ConfigFile,
    Health,
    HttpCheck,
    Runner,
    SecretReference,
    TcpCheck,
)
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Either, Key, Keys, MapOf, Scalar

LATER = "is not supported by this version"


def later(*names: str) -> dict[str, str]:
    """Keys that the design knows and this version does not."""
    return dict.fromkeys(names, LATER)


def _secret(**found: str) -> SecretReference:
    kind, source = next(iter(found.items()))
    return SecretReference(kind, source)


SECRET = Keys(
    "a secret",
    (
        Key("env", VARIABLE, "The variable of the worker's own environment that holds the value."),
        Key("file", SecretFile("the path of a file"), "The file that holds the value; relative to the fleet file."),
        Key("command", COMMAND, "A command whose output is the value, such as a call of a vault's client."),
        Key(
            "sops", SecretFile("FILE#key", fragment=True), "A file encrypted with sops and the key in it, as FILE#key."
        ),
        Key("age", SecretFile("the path of a file"), "A file encrypted with age that holds the value."),
    ),
    make=_secret,
    secret=True,
    one_of=("env", "file", "command", "sops", "age"),
)
ENV = MapOf(TEXT, "a mapping of variables to their values", OWN_VARIABLE, scalars.VARIABLE)
SECRETS = MapOf(SECRET, "a mapping of variables to where their values are found", OWN_VARIABLE, scalars.VARIABLE)


def _file(**found: Any) -> ConfigFile:
    return ConfigFile(path="", content=found.pop("text", found.pop("content", "")), **found)


FILE = Keys(
    "a file",
    (
        Key("content", Scalar("text", scalars.any_text), "The text of the file."),
        Key("from", LocalFileText(), "A file beside the fleet file that holds the text.", field="text"),
        Key("mode", MODE, "The permissions of the file.", default="0644"),
    ),
    make=_file,
    one_of=("content", "from"),
)
FILES = MapOf(FILE, "a mapping of paths below the release's directory to files", RELEASE_PATH)


def _checksum(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    tarball = values.get("tarball", "")
    if "image" in node.entries and "tarball" not in node.entries and "sha256" in node.entries:
        problems.add(node.key("sha256"), "`sha256` is for a tarball: an image is known by its digest")
        return False
    if "image_on" in node.entries and "image" not in node.entries:
        problems.add(node.key("image_on"), "`image_on` is for an image: a tarball is found by its path or URL")
        return False
    if "://" not in tarball or "sha256" in node.entries:
        return True
    problems.add(node.key("tarball"), "`sha256` is missing: what comes over the network needs a checksum")
    return False


ARTIFACT = Keys(
    "an artifact",
    (
        Key(
            "tarball",
            Location("a path or a URL of https, http or sftp"),
            "Where the tarball is: a path, relative to the fleet file, or a URL; {version} stands for the version.",
        ),
        Key("image", IMAGE, "The repository of a container's images, without a tag: the version is the tag."),
        Key(
            "image_on",
            NAME,
            "The Docker host whose engine has the images, where no registry does: they are saved there and loaded where they are missing.",
        ),
        Key(
            "sha256",
            Location("64 hex digits, or a path or a URL of a checksum file", checksum=True),
            "Its checksum: 64 hex digits, or a path or URL in the format of sha256sum; only a path may do without.",
        ),
    ),
    make=Artifact,
    one_of=("tarball", "image"),
    check=_checksum,
)


UNIT = Either(
    Scalar(
        UNIT_NAME.expected,
        lambda text: Runner(unit=scalars.matching(scalars.UNIT)(text)),
        UNIT_NAME.json,
    ),
    Keys(
        "a unit",
        (
            Key("name", UNIT_NAME, "The unit that is restarted when the release changes.", required=True, field="unit"),
            Key(
                "user",
                BOOLEAN,
                "Whether it is a unit of the login user's own systemd.",
                default="false",
                field="user_unit",
            ),
        ),
        make=Runner,
    ),
)
COMMANDS = Keys(
    "the commands",
    (
        Key("start", COMMAND, "Starts the service in the background, in the release's directory.", required=True),
        Key("stop", COMMAND, "Stops the service and waits until it has stopped.", required=True),
        Key("restart", COMMAND, "Restarts the service. Without it: stop, then start."),
        Key("status", COMMAND, "Says with exit status 0 that the service runs."),
    ),
    make=Commands,
)

HTTP = Keys(
    "an HTTP check",
    (
        Key("port", PORT, "The port that is asked.", required=True),
        Key("path", URL_PATH, "The path that is asked for.", default="/"),
        Key("status", STATUS, "The status of a healthy answer.", default="200"),
        Key("host", ADDRESS, "The address that is asked, as seen from where the check is made.", default="127.0.0.1"),
        Key("contains", SOME_TEXT, "Text that a healthy answer contains; {version} and {release} are filled in."),
    ),
    make=HttpCheck,
)
TCP = Keys(
    "a TCP check",
    (
        Key("port", PORT, "The port that must accept a connection.", required=True),
        Key("host", ADDRESS, "The address, as seen from where the check is made.", default="127.0.0.1"),
    ),
    make=TcpCheck,
)
COMMAND_CHECK = Keys(
    "a command check",
    (
        Key(
            "run",
            COMMAND,
            "The command, run on the host, for a container within it; exit status 0 is healthy.",
            required=True,
        ),
    ),
    make=CommandCheck,
)


def _can_pass(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    least, most = (values.get(name, HEALTH.default(name)) for name in ("min_healthy_time", "healthy_deadline"))
    if least < most:
        return True
    where = node.value("min_healthy_time") if "min_healthy_time" in node.entries else node.value("healthy_deadline")
    problems.add(where, f"min_healthy_time ({least:g}s) must be shorter than healthy_deadline ({most:g}s)")
    return False


HEALTH = Keys(
    "a health gate",
    (
        Key("http", HTTP, "An HTTP request that must be answered as said."),
        Key(
            "tcp",
            Either(Scalar(PORT.expected, lambda text: TcpCheck(int(PORT.make(text))), PORT.json), TCP),
            "A port that must accept a connection.",
        ),
        Key(
            "command",
            Either(
                Scalar(COMMAND.expected, lambda text: CommandCheck(scalars.some_text(text)), COMMAND.json),
                COMMAND_CHECK,
            ),
            "A command that must end with exit status 0, on the host or in the container: an execution each time.",
        ),
        Key("interval", SOME_TIME, "The time between two checks.", default="2s"),
        Key("timeout", SOME_TIME, "How long a single check may take.", default="5s"),
        Key("min_healthy_time", DURATION, "How long a deploy must stay healthy to count.", default="0"),
        Key(
            "healthy_deadline", SOME_TIME, "When a host must be healthy at the latest, after its switch.", default="2m"
        ),
        Key(
            "from",
            Choice(("host", "bastion")),
            "Where HTTP and TCP checks are made: on the host, through the SSH connection, or here, to the host's address.",
            default="host",
            field="made_from",
        ),
    ),
    make=Health,
    some_of=("http", "tcp", "command"),
    check=_can_pass,
)
