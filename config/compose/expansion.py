"""Turns a node of a compose file into what it stands for: merge keys `<<` are spread, variables are filled in.

A new tree is made; every node keeps the place where it is written.
"""

import msgspec

from quarterdeck.config.compose.interpolation import interpolate
from quarterdeck.config.compose.variables import Environment
from quarterdeck.config.nodes import Entry, MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit

MERGE = "<<"


class Expansion(msgspec.Struct):
    """``environment`` says what variables stand for. An aliased node is expanded once."""

    environment: Environment
    problems: Problems
    done: dict[int, Node] = msgspec.field(default_factory=dict)

    def merged(self, node: Node) -> Node:
        """``node`` with the merge keys of this one mapping spread: its own keys win, then the first that is merged."""
        if not isinstance(node, MappingNode) or MERGE not in node.entries:
            return node
        entries = {name: entry for name, entry in node.entries.items() if name != MERGE}
        value = node.entries[MERGE].value
        for one in value.items if isinstance(value, SequenceNode) else (value,):
            below = self.merged(one)
            if not isinstance(below, MappingNode):
                self.problems.add(one, "a merge key `<<` takes a mapping, or a list of mappings")
                continue
            for name, entry in below.entries.items():
                entries.setdefault(name, entry)
        return MappingNode(node.source, node.line, node.column, entries)

    def whole(self, node: Node) -> Node:
        """``node`` with everything below it."""
        known = self.done.get(id(node))
        if known is None:
            known = self.done[id(node)] = self._whole(node)
        return known

    def _whole(self, node: Node) -> Node:
        match node:
            case ScalarNode():
                return self.scalar(node)
            case SequenceNode():
                items = tuple(self.whole(item) for item in node.items)
                return SequenceNode(node.source, node.line, node.column, items)
            case MappingNode():
                spread = self.merged(node)
                entries = spread.entries if isinstance(spread, MappingNode) else {}
                return MappingNode(
                    node.source,
                    node.line,
                    node.column,
                    {name: Entry(entry.key, self.whole(entry.value)) for name, entry in entries.items()},
                )
            case _:
                return node

    def scalar(self, node: ScalarNode) -> ScalarNode:
        """``node`` with its variables filled in; what is written stays what an error shows, for a value may be secret."""
        if "$" not in node.text:
            return node
        try:
            text = interpolate(node.text, self.environment.lookup)
        except Unfit as unfit:
            self.problems.add(node, f"the variables can't be filled in: {unfit}")
            text = node.text
        return ScalarNode(node.source, node.line, node.column, text, plain=False, written=node.text)
