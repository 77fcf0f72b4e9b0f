"""The keys of notifications.

The address of most services is their password: whatever is not clearly without one is refused, and shown by no error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from quarterdeck.config import scalars
from quarterdeck.config.kinds import NAME
from quarterdeck.config.model import CanaryStep, Notice, SecretReference
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode
from quarterdeck.config.notifications import EVENTS, PLACEHOLDERS, Destination
from quarterdeck.config.parts import SECRET
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Either, Key, Keys, ListOf, Scalar, Schema, Shape

OPEN = (
    "json",
    "jsons",
    "form",
    "forms",
    "xml",
    "xmls",
)  # services whose address holds a login only where one is written into it
_HARMLESS = frozenset({"method", "verify", "rto", "cto", "format", "overflow", "redirect", "retry", "wait"})
_PATTERN = rf"(?:{'|'.join(OPEN)})://[^@#\s]+"
NEVER_HERE = "this file never holds a login, so say where the URL is found: to: {env: NAME}, or another reference"


class OpenUrl(Shape, frozen=True):
    """A URL of a service that needs no login, with none in it. No error shows it: it may hold one."""

    @property
    def expected(self) -> str:
        return "a URL without a login such as jsons://hooks.example.com/deploys"

    def read(self, node: Node, problems: Problems) -> Any:
        if isinstance(node, ScalarNode) and re.fullmatch(_PATTERN, node.text) and _is_plain(node.text):
            return node.text
        problems.hide(node)
        told = f"expected {self.expected}, found another value: {NEVER_HERE}"
        return problems.add(node, told, expected=self.expected)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return {"type": "string", "pattern": f"^{_PATTERN}$"}


def _is_plain(text: str) -> bool:
    """Whether nothing in it may be a login: neither a user nor a header (``?+Name=…``) nor a parameter that is not known."""
    try:
        parts = urlsplit(text)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    names = [pair.partition("=")[0] for pair in parts.query.split("&") if pair]
    return known and all(name in _HARMLESS for name in names)


class _Template(Scalar, frozen=True):
    """Its names in {{…}} are looked at where it stands."""

    def value_of(self, node: ScalarNode) -> str:
        from quarterdeck.config.metric_templates import placeholders

        text = scalars.some_text(node.text)
        placeholders(text, PLACEHOLDERS)
        return text


class _NoticeText(Scalar, frozen=True):
    """The body alone, for all who are to be told."""

    def value_of(self, node: ScalarNode) -> Notice:
        return Notice(body=_TEMPLATE.value_of(node))


def _told_of_something(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if values.get("on") != () or "name" in values:
        return True
    problems.add(
        node.value("on"), "it is never told anything: `on` is empty, and without a `name` no step tells it either"
    )
    return False


def untold(steps: Iterable[CanaryStep], destinations: Sequence[Destination]) -> Iterable[tuple[str, str | None]]:
    """Why a step tells nobody, in words, and the name that was probably meant."""
    from quarterdeck.config.problems import nearest

    names = [one.name for one in destinations if one.name]
    for step in steps:
        if not isinstance(step, Notice):
            continue
        if not destinations:
            yield "a step `notify` has nobody to tell: the fleet file's own `notify` says where messages go", None
        for name in step.to or ():
            if destinations and name not in names:
                yield f"no destination in `notify` has the name `{name}`", nearest(name, names)


def _destination(to: str | SecretReference, **found: Any) -> Destination:
    where: dict[str, Any] = {"secret": to} if isinstance(to, SecretReference) else {"url": to}
    return Destination(**where, **found)


_TEMPLATE = _Template("text, in which {{target}} and others are filled in", scalars.some_text)
_NAMES = ListOf(NAME, "a list of names", least=1, distinct=True)


DESTINATION = Keys(
    "a notification",
    (
        Key("name", NAME, "What steps `notify` of a canary call it."),
        Key(
            "to",
            Either(OpenUrl(), SECRET),
            "The service's URL, in Apprise's form: where it is found, or itself where it holds no login.",
            required=True,
        ),
        Key(
            "on",
            ListOf(Choice(EVENTS), "a list of events such as [failed, waiting]", distinct=True),
            "What is told. Without it: failed, rolled_back, waiting, override and unready. []: only what steps tell it.",
        ),
        Key("environments", _NAMES, "Only what happens in these."),
        Key("services", _NAMES, "Only what happens to these."),
        Key("title", _TEMPLATE, "The title; {{target}}, {{event}} and others are filled in."),
        Key("body", _TEMPLATE, "The text below it; {{outcome}}, {{reason}} and others are filled in."),
    ),
    make=_destination,
    secret=True,
    check=_told_of_something,
    refused=dict.fromkeys(
        ("to_env", "to_file", "to_command"), "is written `to: {env: NAME}`, or with file, command, sops or age"
    ),
)
NOTICE = Either(
    _NoticeText(_TEMPLATE.expected, str, _TEMPLATE.json),
    Keys(
        "a notice",
        (
            Key("to", _NAMES, "Whom, by the names in `notify`. Without it: all who are told of this target."),
            Key("title", _TEMPLATE, "The title. Without it: that of each."),
            Key("body", _TEMPLATE, "The text below it. Without it: that of each."),
        ),
        make=Notice,
    ),
)
NOTIFY = ListOf(DESTINATION, "a list such as [{to: {env: SLACK_URL}, on: [failed, waiting]}]")
