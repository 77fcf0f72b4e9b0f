"""The mappings that stand within a Compose service (health check, logging, …): their keys, a sentence for each. `deploy` has a file of
its own."""

from typing import Any

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import scalars
from quarterdeck.config.compose.mounts import MODE
from quarterdeck.config.compose.shapes import BOOLEAN, NUMBER_OR_TEXT, ByForm, Pairs
from quarterdeck.config.container import Device, Healthcheck, Logging, Ulimit
from quarterdeck.config.kinds import TEXT
from quarterdeck.config.locations import LocalPath
from quarterdeck.config.nodes import MappingNode, Node
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Key, Keys, ListOf, Scalar

LATER = "is not supported by this version"
WINDOWS = "is for Windows containers only"


def whole(least: int, most: int, expected: str) -> Scalar:
    return Scalar(expected, scalars.whole(least, most), NUMBER_OR_TEXT)


DURATION = Scalar("a duration such as 30s or 1m30s", scalars.duration, {"type": "string"})
CPUS = Scalar("a number of CPUs such as 0.5", scalars.cpus, NUMBER_OR_TEXT)
PIDS = whole(-1, scalars.LARGEST, "a number of processes, -1 for no limit")
SOME_TEXT = Scalar("text", fleet_scalars.some_text)
OPTIONS = Pairs("a mapping of options to text", bare=False)
LABELS = Pairs("a mapping or a list of labels")
RESOURCE_NAME = Scalar(
    "a name as an engine takes it: letters, digits, `_`, `.`, `-`", fleet_scalars.matching(scalars.RESOURCE)
)


def _command_line(text: str) -> tuple[str, ...]:
    return ("CMD-SHELL", fleet_scalars.some_text(text))


def _checked(node: Node, test: tuple[str, ...], problems: Problems) -> bool:
    if test and test[0] in ("CMD", "CMD-SHELL", "NONE") and (test[0] == "NONE" or len(test) > 1):
        return True
    problems.add(node, 'a test that is a list begins with "CMD", "CMD-SHELL" or "NONE", and then says what is run')
    return False


def _healthcheck(node: MappingNode, values: Any, problems: Problems) -> bool:
    return "test" not in values or _checked(node.value("test"), values["test"], problems)


def _make_healthcheck(**found: Any) -> Healthcheck:
    if found.pop("disable", False):
        return Healthcheck(("NONE",))
    return Healthcheck(**found)


HEALTHCHECK = Keys(
    "a healthcheck",
    (
        Key(
            "test",
            ByForm(
                'a command, or a list such as ["CMD", "curl", "-f", "http://localhost"]',
                scalar=Scalar("a command", _command_line, {"type": "string"}),
                sequence=ListOf(TEXT, 'a list such as ["CMD", "curl", "-f", "http://localhost"]', least=1),
            ),
            "The command that says whether the container is well. Without it: the image's own.",
        ),
        Key("interval", DURATION, "The time between two checks."),
        Key("timeout", DURATION, "How long one check may take."),
        Key("start_period", DURATION, "How long failures do not count after the start."),
        Key("start_interval", DURATION, "The time between two checks during the start period."),
        Key("retries", whole(0, 1_000_000, "a whole number"), "How many failures in a row make it unhealthy."),
        Key("disable", BOOLEAN, "Whether the image's own check is turned off.", default="false"),
    ),
    make=_make_healthcheck,
    check=_healthcheck,
    compose=True,
)


def _make_logging(driver: str = "", options: Any = None) -> Logging:
    return Logging(driver, options or {})


LOGGING = Keys(
    "the logging",
    (
        Key("driver", TEXT, "The engine's driver for logs. Without it: the engine's own default."),
        Key("options", OPTIONS, "Options for the driver."),
    ),
    make=_make_logging,
    compose=True,
)
_LIMIT = whole(-1, scalars.LARGEST, "a whole number, -1 for no limit")
ULIMIT = ByForm(
    "a limit such as 65535, or {soft: 1024, hard: 65535}",
    scalar=Scalar(_LIMIT.expected, lambda text: Ulimit(_LIMIT.make(text), _LIMIT.make(text)), NUMBER_OR_TEXT),
    mapping=Keys(
        "a ulimit",
        (
            Key("soft", _LIMIT, "What holds at first.", required=True),
            Key("hard", _LIMIT, "What the process may raise it to.", required=True),
        ),
        make=Ulimit,
        compose=True,
    ),
)


def _device_path(text: str) -> str:
    if not text.startswith("/"):
        raise Unfit("only devices of the hosts' /dev are supported, no CDI names" if "=" in text else "")
    return text


def _permissions(text: str) -> str:
    if not text or set(text) - set("rwm"):
        raise Unfit
    return text


def _short_device(text: str) -> Device:
    source, *rest = text.split(":")
    target = rest[0] if rest else source
    if len(rest) > 2:
        raise Unfit
    return Device(_device_path(source), _device_path(target), _permissions(rest[1]) if len(rest) == 2 else "rwm")


def _long_device(source: str, target: str = "", permissions: str = "rwm") -> Device:
    return Device(source, target or source, permissions)


_DEVICE_PATH = Scalar("the absolute path of a device", _device_path)
DEVICE = ByForm(
    'a device such as "/dev/ttyUSB0:/dev/ttyUSB0:rwm", or its long form (source, target, permissions)',
    scalar=Scalar('a device such as "/dev/ttyUSB0:/dev/ttyUSB0:rwm"', _short_device, {"type": "string"}),
    mapping=Keys(
        "a device",
        (
            Key("source", _DEVICE_PATH, "The device on the hosts.", required=True),
            Key("target", _DEVICE_PATH, "Where it is in the container. Without it: at the same path."),
            Key("permissions", Scalar("some of the letters r, w, m", _permissions), "What may be done.", default="rwm"),
        ),
        make=_long_device,
        compose=True,
    ),
)


def _count(text: str) -> str:
    return "-1" if text == "all" else str(scalars.whole(-1, 1024)(text))


def _gpu(
    driver: str = "", count: str = "", device_ids: Any = (), capabilities: Any = (), options: Any = None
) -> dict[str, str]:
    found = {
        "driver": driver,
        "count": count if count or device_ids else "-1",
        "device_ids": ",".join(device_ids),
        "capabilities": ",".join(dict.fromkeys((*capabilities, *(() if capabilities else ("gpu",))))),
        "options": ",".join(f"{name}={value}" for name, value in (options or {}).items()),
    }
    return {name: value for name, value in found.items() if value}


def _ids_or_count(node: MappingNode, values: Any, problems: Problems) -> bool:
    if "count" in values and "device_ids" in values:
        problems.add(node.key("count"), "`count` and `device_ids` can't both say which devices are meant")
        return False
    return True


_NAMES = ListOf(SOME_TEXT, "a list of names")


def gpu_keys(title: str, needed: bool) -> Keys:
    return Keys(
        title,
        (
            Key("driver", TEXT, "The driver, such as nvidia."),
            Key("count", Scalar("a number, or all", _count, NUMBER_OR_TEXT), "How many. Without it: all."),
            Key("device_ids", _NAMES, "Which ones, by the driver's names."),
            Key("capabilities", _NAMES, "What they must be able to do, such as gpu or compute.", required=needed),
            Key("options", OPTIONS, "Options for the driver."),
        ),
        make=_gpu,
        check=_ids_or_count,
        compose=True,
    )


GPUS = ByForm(
    "all, or a list of devices (driver, count, device_ids, capabilities, options)",
    scalar=Choice(("all",), lambda _: ({"count": "-1", "capabilities": "gpu"},)),
    sequence=ListOf(gpu_keys("a gpu", needed=False), "a list of devices"),
)
BLKIO = Keys(
    "blkio_config",
    (Key("weight", whole(10, 1000, "a whole number from 10 to 1000"), "Its share of the disks."),),
    refused=dict.fromkeys(
        ("weight_device", "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"), LATER
    ),
    compose=True,
)


def only(word: str, why: str) -> Scalar:
    def read(text: str) -> str:
        if text != word:
            raise Unfit(why)
        return text

    return Scalar(f"`{word}`", read, {"enum": [word, int(word)] if word.isdigit() else [word]})


MOUNTED_FILE = (
    Key("source", SOME_TEXT, "Its name.", required=True),
    Key("target", SOME_TEXT, "Where it is in the container."),
    Key("uid", whole(0, 2**32 - 2, "a number of a user"), "Its owner."),
    Key("gid", whole(0, 2**32 - 2, "a number of a group"), "Its group."),
    Key("mode", MODE, "Its permissions."),
)
ENV_FILE = Keys(
    "an env_file",
    (
        Key("path", LocalPath("the path of a file"), "The file.", required=True),
        Key("required", BOOLEAN, "Whether it must be there.", default="true"),
        Key("format", Choice(("raw",)), "Values as they stand: no quotes, no variables."),
    ),
    compose=True,
)
