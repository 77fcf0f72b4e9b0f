"""Reads a fleet file into nodes, refusing what could surprise: tags, merge keys, bombs, control characters.

It builds on the parser's events only: no object of YAML's is constructed, nothing is executed, expanded or changed.
"""

import os
import re
import stat
from pathlib import Path

import msgspec
import yaml

from quarterdeck.config.nodes import LINE_BREAK, Entry, MappingNode, Node, ScalarNode, SequenceNode, Source
from quarterdeck.config.problems import Problems

LARGEST_FILE = 5_000_000  # bytes
DEEPEST = 40
MOST_ALIASES = 100
MOST_NODES = 200_000  # with every alias counted as what it stands for

# Control characters, line breaks that only YAML sees, marks that reorder what a reviewer reads, and half characters.
_FORBIDDEN = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
# The same, of a file that holds nothing else: compiled in a fraction of the time.
_FORBIDDEN_IN_ASCII = "[^\t\n\r\x20-\x7e]"


class _Refused(Exception):
    """The rest of the file can't be read. ``line`` and ``column`` count from 0, as YAML's marks do."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def read_node(path: Path, problems: Problems, included: Node | None = None, *, merge: bool = False) -> Node | None:
    """The only document of the file ``path``; None when it can't be read. What is wrong is added to ``problems``.

    ``included`` is the node that names the file, when another file includes it. ``merge``: merge keys are kept as the
    keys `<<`, for whoever spreads them; else they are refused.
    """
    problems.reading(path)
    data = read_bytes(path, LARGEST_FILE)
    if isinstance(data, str):
        if included is None:
            problems.add_at(Source(path, Path()), 1, 1, data)
        else:
            problems.add(included, data, expected="a path, relative to this file")
        return None
    root = path.absolute().parent if included is None else included.source.root
    source = Source(path, root)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
        line = len(LINE_BREAK.findall(before.decode("utf-8", "replace"))) + 1
        column = len(before[start:].decode("utf-8", "replace")) + 1
        problems.add_at(source, line, column, "this is not UTF-8 text", expected="a file in UTF-8")
        return None
    return node_of(Source(path, root, tuple(LINE_BREAK.split(text))), text, problems, merge=merge)


def node_of(source: Source, text: str, problems: Problems, *, merge: bool = False) -> Node | None:
    """The only document in ``text``, which ``source`` is made of; None when it can't be read."""
    forbidden = _forbidden_in(text)
    if forbidden:
        before_it = LINE_BREAK.split(text[: forbidden.start()])
        problems.add_at(source, len(before_it), len(before_it[-1]) + 1, _forbidden_message(forbidden.group()))
        return None
    return _compose(source, text, problems, merge)


def read_bytes(path: Path, most: int) -> bytes | str:
    """What is in the ordinary file ``path``, at most ``most`` bytes; a sentence when it can't be had. Never blocks."""
    try:
        # Not blocking, so that a named pipe can be opened and then refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"there is no file {path}"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not valid"
        return f"{path} can't be read: {reason}"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return f"{path} is not an ordinary file"
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    finally:
        os.close(descriptor)
    return f"{path} is larger than {most // 1_000_000} MB" if len(data) > most else data


def can_stand(text: str) -> bool:
    """Whether a fleet file may hold ``text``: nothing in it is unseen, or changes how the rest is read."""
    return _forbidden_in(text) is None


def _forbidden_in(text: str) -> re.Match[str] | None:
    return re.search(_FORBIDDEN_IN_ASCII if text.isascii() else _FORBIDDEN, text)


def _forbidden_message(character: str) -> str:
    name = "a NUL character" if character == "\0" else f"the character U+{ord(character):04X}"
    return f"{name} is not allowed here: it can't be seen, or changes how the file is read"


class _Open(msgspec.Struct):
    """A list or mapping whose end has not come yet."""

    line: int
    column: int
    mapping: bool
    anchor: str | None
    nodes_before: int
    items: list[Node] = msgspec.field(default_factory=list)
    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    key: Node | None = None


class _Composer:
    def __init__(self, source: Source, problems: Problems, merge: bool) -> None:
        self.source = source
        self.problems = problems
        self.merge = merge
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}  # with the number of nodes; None while it is open
        self.aliases = 0
        self.nodes = 0
        self.documents = 0

    def take(self, event: yaml.Event) -> None:
        line, column = (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)
        match event:
            case yaml.ScalarEvent():
                self._begin(event, line, column)
                if event.anchor is not None:
                    self.anchors[event.anchor] = None
                plain = not event.style
                if not plain and (forbidden := _forbidden_in(event.value)):
                    self._add(line, column, _forbidden_message(forbidden.group()))
                self._end(ScalarNode(self.source, line + 1, column + 1, event.value, plain), event.anchor, 1)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line, column)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                before = self.nodes
                self._begin(event, line, column)
                if len(self.stack) >= DEEPEST:
                    raise _Refused(line, column, f"this is nested more than {DEEPEST} levels deep")
                mapping = isinstance(event, yaml.MappingStartEvent)
                self.stack.append(_Open(line, column, mapping, event.anchor, before))
                if event.anchor is not None:
                    self.anchors[event.anchor] = None
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self.stack.pop()
                place = (self.source, done.line + 1, done.column + 1)
                node = MappingNode(*place, done.entries) if done.mapping else SequenceNode(*place, tuple(done.items))
                self._end(node, done.anchor, self.nodes - done.nodes_before)
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise _Refused(line, column, "a second document begins here; a fleet file is one document")
                if event.tags:
                    self._add(line, column, "a %TAG directive is not allowed")
            case _:
                pass

    def _add(self, line: int, column: int, message: str, nearest: str | None = None) -> None:
        self.problems.add_at(self.source, line + 1, column + 1, message, nearest=nearest)

    def _count(self, nodes: int, line: int, column: int) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            raise _Refused(line, column, f"the file stands for more than {MOST_NODES} values, aliases counted in full")

    def _begin(self, event: yaml.NodeEvent, line: int, column: int) -> None:
        self._count(1, line, column)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._add(line, column, f"the tag {_short(str(tag))} is not allowed; write the value without it")
        if event.anchor is not None and event.anchor in self.anchors:
            self._add(line, column, f"the anchor `&{_short(event.anchor)}` is set a second time")

    def _alias(self, name: str, line: int, column: int) -> None:
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            raise _Refused(line, column, f"there are more than {MOST_ALIASES} aliases in this file")
        if name not in self.anchors:
            raise _Refused(line, column, f"the alias `*{_short(name)}` refers to an anchor that is not set before it")
        known = self.anchors[name]
        if known is None:
            raise _Refused(line, column, f"the alias `*{_short(name)}` refers to itself")
        node, size = known
        self._count(size, line, column)
        if self.stack and self.stack[-1].mapping and self.stack[-1].key is None:
            self._add(line, column, "an alias can't be a key; write the key out")
        self._place(node)

    def _end(self, node: Node, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = (node, size)
        self._place(node)

    def _place(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        inside = self.stack[-1]
        if not inside.mapping:
            inside.items.append(node)
        elif inside.key is None:
            inside.key = node
        else:
            self._entry(inside, inside.key, node)
            inside.key = None

    def _entry(self, inside: _Open, key: Node, value: Node) -> None:
        if not isinstance(key, ScalarNode):
            self.problems.add(key, "a key must be text, not a list or a mapping")
        elif key.plain and key.text == "<<" and not self.merge:
            self.problems.add(
                key, "a merge key `<<` is not allowed; write the values out, or use an alias for a whole value"
            )
        elif key.text in inside.entries:
            first = inside.entries[key.text].key
            self.problems.add(key, f"`{_short(key.text)}` is here twice; first in line {first.line}")
        else:
            inside.entries[key.text] = Entry(key, value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _hint(line: str, message: str) -> str:
    """What is most often behind a parser's complaint about this line."""
    if re.match(r" *\t", line):
        return "; indent with spaces, not with tabs"
    if "cannot start any token" in message or "scanning an alias" in message:
        return "; put text that begins with @, %, * or ` in quotes"
    if re.search(r"\{(version|release|environment|service)\}", line):
        return "; within { } or [ ], put text with {version} or the like in quotes"
    return ""


def _compose(source: Source, text: str, problems: Problems, merge: bool) -> Node | None:
    composer = _Composer(source, problems, merge)
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        for event in yaml.parse(text, Loader=loader):
            composer.take(event)
    except _Refused as refused:
        problems.add_at(source, refused.line + 1, refused.column + 1, str(refused))
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = _hint(source.line(line), message)
        # At the end of the file the parser points behind the last line: the last one with text says more.
        while line > 1 and not source.line(line).strip():
            line, column = line - 1, len(source.line(line - 1)) + 1
        problems.add_at(source, line, column, f"this is not YAML: {message}{hint}")
        return None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        problems.add_at(
            source, 1, 1, f"this is not YAML: {_short(str(error).splitlines()[0] if str(error) else 'unknown')}"
        )
        return None
    root = composer.root
    if root is None or (isinstance(root, ScalarNode) and root.plain and not root.text):
        problems.add_at(source, 1, 1, "the file is empty", expected="a fleet file")
        return None
    return root
