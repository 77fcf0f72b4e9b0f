"""URLs of servers that are asked over HTTP, perhaps with a login: what can be said of them before anybody asks."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from quarterdeck.config import scalars
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Scalar

_URL = r"https?://[^\s/?#]+(/[^\s?#]*)?"


def web_url(example: str) -> Scalar:
    """``https://host[:port][/path]``, or the same over http."""
    return Scalar(f"a URL such as {example}", scalars.matching(_URL), {"type": "string", "pattern": f"^(?:{_URL})$"})


def is_loopback(authority: str) -> bool:
    """Whether host[:port] is this machine by its very name: no name is looked up, which somebody else could answer."""
    import ipaddress  # only where an address is looked at: it takes longer to load than all else of a fleet file without one

    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def login_is_kept(
    node: MappingNode, values: Mapping[str, Any], problems: Problems, secrets: Collection[str], says: str
) -> bool:
    """Whether ``url`` holds no login, and takes none of ``secrets`` (keys of ``values``) over the network in the clear.

    ``says``: which keys say where a login is found, in words.
    """
    url = str(values.get("url", ""))
    if "@" in url:
        problems.hide(node.value("url"))
        problems.add(node.value("url"), f"this URL has a login: {says} where one is found, this file never holds it")
        return False
    given = [key for key in secrets if values.get(key) is not None]
    if given and url.startswith("http://") and not is_loopback(urlsplit(url).netloc):
        problems.add(
            node.value("url"),
            f"the {given[0]} would go over the network without encryption: use https, or this machine",
        )
        return False
    return True
