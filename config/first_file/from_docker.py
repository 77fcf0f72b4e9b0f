"""Docker's contexts: each becomes a host, by its name. Addresses and certificates stay in Docker's own files."""

import json
import re
from pathlib import Path

from quarterdeck.config.first_file.draft import CannotBegin, Draft, FoundHost, Said
from quarterdeck.config.first_file.naming import free_name
from quarterdeck.config.source import read_bytes

LARGEST = 1_000_000  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # as docker takes it


def read_contexts(directory: Path) -> Draft:
    """The contexts in ``directory``, Docker's own (~/.docker). Raises ``CannotBegin`` where there are none."""
    left: list[Said] = []
    found: dict[str, FoundHost] = {}
    for path in sorted((directory / "contexts" / "meta").glob("*/meta.json")):
        name, address, swarm, refused = _read(path)
        if refused:
            left.append(Said(str(path), f"context {name}" if name else "the context", refused))
            continue
        host = free_name(name, found)
        found[host] = FoundHost(host, docker=f"context://{name}", comment=address, says_swarm=swarm)
    if not found:
        more = "; ".join(f"{said.what}: {said.why}" for said in left)
        raise CannotBegin(
            f"{directory} has no Docker context that a host could be{f' ({more})' if more else ''};"
            " docker context create makes one"
        )
    return Draft(origins=("Docker's contexts",), hosts=tuple(found.values()), left=tuple(left))


def _read(path: Path) -> tuple[str, str, bool, str]:
    """Name, address, whether stacks go to a Swarm there (written by Docker before 23), and why it is not taken over."""
    data = read_bytes(path, LARGEST)
    if isinstance(data, str):
        return "", "", False, data
    try:
        meta = json.loads(data)
        name, address = meta["Name"], meta["Endpoints"]["docker"]["Host"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "", False, "it is not as Docker writes it, or has no endpoint of an engine"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "", "", False, "its name can't be said in a fleet file"
    if not isinstance(address, str) or not address:
        return name, "", False, "it names no engine; Docker's own default is unix:///var/run/docker.sock"
    if address.startswith(("npipe:", "fd:")):
        return name, "", False, f"{address.partition(':')[0]}: is not reached by Quarterdeck"
    known = meta.get("Metadata")
    swarm = isinstance(known, dict) and known.get("StackOrchestrator") == "swarm"
    return name, re.sub(r"//[^@/]*:[^@/]*@", "//…@", address), swarm, ""
