"""The keys of `flags`, and what only the whole file shows of them. What is made of them is loaded only where there are any."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.kinds import COMMAND, HOST_PATH, NAME, SOME_TEXT, SOME_TIME
from quarterdeck.config.model import Host, Strategy
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.parts import ENV, SECRET
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Key, Keys, ListOf, MapOf, Scalar
from quarterdeck.config.web_servers import login_is_kept, web_url

if TYPE_CHECKING:
    from quarterdeck.config.flags import Flag


def _file(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise Unfit("it must begin with / or ~/")
    return scalars.host_path(text)


FILE = Scalar(HOST_PATH.expected, _file, HOST_PATH.json)


def _made(name: str) -> Callable[..., Any]:
    def make(**found: Any) -> Any:
        from quarterdeck.config import flags

        return getattr(flags, name)(**found)

    return make


_TIMEOUT = Key("timeout", SOME_TIME, "How long reading it may take, and setting it.", default="10s")


def _differ(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if values.get("on", "on") != values.get("off", "off"):
        return True
    problems.add(node.key("on" if "on" in node.entries else "off"), "`on` and `off` are the same variant")
    return False


def _token_is_kept(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    return login_is_kept(node, values, problems, ("token",), "`token` says")


FLAGD = Keys(
    "a flag of flagd",
    (
        Key(
            "hosts",
            ListOf(NAME, "a list of hosts", least=1, distinct=True),
            "The hosts that have the file, reached over SSH. Without it: the machine that qd runs on.",
        ),
        Key("file", FILE, "The file of flag definitions, in JSON.", required=True),
        Key("flag", SOME_TEXT, "The flag's key in there.", required=True),
        Key("on", SOME_TEXT, "The variant of those who get it.", default="on"),
        Key("off", SOME_TEXT, "The variant of all others.", default="off"),
        Key("bucket", SOME_TEXT, "The property by which somebody keeps to one of them.", default="targetingKey"),
        _TIMEOUT,
    ),
    make=_made("FlagdFlag"),
    check=_differ,
)
UNLEASH = Keys(
    "a flag of Unleash",
    (
        Key("url", web_url("https://unleash.example.com"), "The server's URL, without /api.", required=True),
        Key("project", SOME_TEXT, "The flag's project.", default="default"),
        Key("flag", SOME_TEXT, "The flag's name.", required=True),
        Key("environment", SOME_TEXT, "The environment of Unleash.", required=True),
        Key("token", SECRET, "Where a token of the admin API is found.", required=True),
        Key("stickiness", SOME_TEXT, "That of a strategy that is made, where there is none.", default="default"),
        _TIMEOUT,
    ),
    make=_made("UnleashFlag"),
    check=_token_is_kept,
)
FLAG_COMMANDS = Keys(
    "a flag by commands",
    (
        Key("read", COMMAND, "Prints how many percent get it, on its last line. Run here.", required=True),
        Key("set", COMMAND, "Sets it to a percentage, which it gets as $1 and in QD_PERCENT.", required=True),
        Key("env", ENV, "Variables of their environment."),
        _TIMEOUT,
    ),
    make=_made("CommandFlag"),
)
FLAG = Keys(
    "a feature flag",
    (
        Key("flagd", FLAGD, "In a file that flagd, or another provider of OpenFeature, reads."),
        Key("unleash", UNLEASH, "At an Unleash server, by its admin API."),
        Key("command", FLAG_COMMANDS, "Read and set by two commands."),
    ),
    make=lambda **found: next(iter(found.values())),
    one_of=("flagd", "unleash", "command"),
)
FLAGS = MapOf(FLAG, "a mapping of names to feature flags", NAME, json_key=scalars.NAME)


def flags_of(
    values: Mapping[str, Any], node: Node | None, hosts: Mapping[str, Host], problems: Problems
) -> "dict[str, Flag]":
    """Each with its name. ``values`` and ``node``: what stands under `flags`. A host that is none, or an engine, is a problem."""
    for entry in node.entries.values() if isinstance(node, MappingNode) else ():
        for name in _listed(entry.value, "flagd", "hosts"):
            host = hosts.get(name.text)
            if host is None:
                problems.add(name, f"there is no host `{name.text}`", nearest=problems.nearest(name.text, hosts))
            elif not host.ssh:
                problems.add(name, f"`{name.text}` is a Docker engine: the file is pushed over SSH")
    return {name: msgspec.structs.replace(flag, name=name) for name, flag in values.items()}


class FlagUses:
    """Which target drives which flag. ``known``: the flags that are declared; ``analyses``: what is measured, by name."""

    def __init__(self, known: Collection[str], analyses: Mapping[str, Any], problems: Problems) -> None:
        self._known = known
        self._analyses = analyses
        self._problems = problems
        self._driven: dict[str, str] = {}  # flag → target

    def check(self, strategy: Strategy, target: str, at: Node, measurable: Callable[[Any], str]) -> None:
        """``at``: the strategy's node; ``measurable``: why the target can't tell what these metrics need, empty: it can."""
        if strategy.kind != "flag":
            return
        use = at.value("use") if isinstance(at, MappingNode) else at
        if strategy.flag not in self._known:
            near = self._problems.nearest(strategy.flag, self._known)
            self._problems.add(use, f"there is no flag `{strategy.flag}`", nearest=near)
        elif (other := self._driven.setdefault(strategy.flag, target)) != target:
            words = f"`{strategy.flag}` is the flag of {other} already: each target needs one of its own"
            self._problems.add(use, f"{words}, or both would decide who gets it")
        for name in _listed(at, "safeguards"):
            metrics = self._analyses.get(name.text)
            if name.text not in self._analyses:
                near = self._problems.nearest(name.text, self._analyses)
                self._problems.add(name, f"there is no analysis `{name.text}`", nearest=near)
            elif metrics and any(metric.compare is not None for metric in metrics):
                words = f"`{name.text}` compares with the release before, which no host runs while the flag goes up"
                self._problems.add(name, words)
            elif metrics and (words := measurable(metrics)):
                self._problems.add(name, f"`{name.text}` {words}")


def _listed(node: Node, *keys: str) -> list[ScalarNode]:
    """The scalars of the list below these keys."""
    found = node.value(*keys) if isinstance(node, MappingNode) else node
    return [item for item in found.items if isinstance(item, ScalarNode)] if isinstance(found, SequenceNode) else []
