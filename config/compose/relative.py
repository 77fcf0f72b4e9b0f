"""Mounts of a compose file whose paths are relative: they mean a directory on the hosts, which the fleet file alone can name."""

import posixpath

import msgspec

from quarterdeck.config.compose import scalars
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.scalars import Unfit


def host_directory(text: str) -> str:
    """An absolute path on the hosts. Raises ``Unfit``."""
    if not text.startswith("/"):
        raise Unfit("it is a directory on the hosts, so it begins with /")
    return scalars.bind_source(text)


def rooted(service: Node, directory: str) -> Node:
    """``service``, merged and filled in, with the relative sources of its bind mounts below ``directory``."""
    if not isinstance(service, MappingNode) or "volumes" not in service.entries:
        return service
    entry = service.entries["volumes"]
    if not isinstance(entry.value, SequenceNode):
        return service
    items = tuple(_rooted(item, directory) for item in entry.value.items)
    volumes = entry._replace(value=msgspec.structs.replace(entry.value, items=items))
    return msgspec.structs.replace(service, entries={**service.entries, "volumes": volumes})


def _rooted(item: Node, directory: str) -> Node:
    if isinstance(item, ScalarNode):
        path, colon, rest = item.text.partition(":")
        return _with(item, f"{_below(directory, path)}:{rest}") if colon and _is_relative(path) else item
    if not isinstance(item, MappingNode) or "source" not in item.entries:
        return item
    kind, source = item.value("type"), item.entries["source"]
    written = source.value
    if not (isinstance(kind, ScalarNode) and kind.text == "bind" and isinstance(written, ScalarNode)):
        return item
    if written.text.startswith(("/", "~")) or not written.text:
        return item
    below = source._replace(value=_with(written, _below(directory, written.text)))
    return msgspec.structs.replace(item, entries={**item.entries, "source": below})


def _is_relative(source: str) -> bool:
    """As in the short form: a name without a slash or a leading dot is a volume's."""
    return bool(source) and not source.startswith(("/", "~")) and (source.startswith(".") or "/" in source)


def _below(directory: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(directory, source))


def _with(node: ScalarNode, text: str) -> ScalarNode:
    return msgspec.structs.replace(node, text=text, written=node.shown)
