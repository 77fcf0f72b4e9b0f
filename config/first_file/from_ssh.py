"""An SSH configuration: each `Host` that is a name, not a pattern, becomes a host. Its jump hosts, users and keys stay where
they are: the fleet file names it, and the configuration is read each time that it is reached."""

import glob
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quarterdeck.config.first_file.draft import CannotBegin, Draft, FoundHost, Said
from quarterdeck.config.first_file.naming import free_name
from quarterdeck.config.scalars import Unfit, ssh_address
from quarterdeck.config.source import read_bytes

LARGEST = 1_000_000  # bytes
DEEPEST = 16  # files that include one another, as in OpenSSH
_GIT = re.compile(r"(^|\.)(github|gitlab|bitbucket|codeberg|sr\.ht|ssh\.dev\.azure|gitea)(\.|$)|(^|[.-])git([.-]|$)")


class _Block(msgspec.Struct):
    """One `Host` with its names and those of its settings that matter here, in small letters."""

    place: str
    names: tuple[str, ...]
    settings: dict[str, str] = msgspec.field(default_factory=dict)


def read_ssh_config(path: Path) -> Draft:
    """The hosts of ``path`` and of what it includes. Raises ``CannotBegin``."""
    left: list[Said] = []
    blocks: list[_Block] = []
    _read(path, blocks, left, 0)
    found: dict[str, FoundHost] = {}
    seen: set[str] = set()
    for block in blocks:
        for name in _names(block, left):
            if name in seen:
                continue  # its first block said it; OpenSSH adds the others' settings to it
            seen.add(name)
            refused = _why_not(name, block)
            if refused:
                left.append(Said(block.place, f"Host {name}", refused))
                continue
            host = free_name(name, found)
            found[host] = FoundHost(host, ssh=name, comment=_comment(block))
    return Draft(origins=(_shown(path),), hosts=tuple(found.values()), left=tuple(left))


def _names(block: _Block, left: list[Said]) -> tuple[str, ...]:
    names = tuple(name for name in block.names if not re.search(r"[*?!]", name))
    address = block.settings.get("hostname", "")
    if len(names) > 1 and address and "%h" not in address:
        left.append(Said(block.place, f"Host {' '.join(names[1:])}", f"other names of {names[0]}, which is taken over"))
        return names[:1]
    return names


def _why_not(name: str, block: _Block) -> str:
    address = block.settings.get("hostname", name)
    if block.settings.get("user") == "git" or _GIT.search(address.casefold()):
        return "it is a git server, not a host to deploy to"
    try:
        ssh_address(name)
    except Unfit:
        return "its name can't be said in a fleet file"
    return ""


def _comment(block: _Block) -> str:
    address, user = block.settings.get("hostname", ""), block.settings.get("user", "")
    where = f"{user}@{address}" if user and address else address or (f"as {user}" if user else "")
    by = block.settings.get("proxyjump", "")
    return where + (f" by way of {by}" if by and by.casefold() != "none" else "")


def _read(path: Path, blocks: list[_Block], left: list[Said], depth: int) -> None:
    data = read_bytes(path, LARGEST)
    if isinstance(data, str):
        if depth == 0:
            raise CannotBegin(f"no hosts can be taken over: {data}")
        left.append(Said(_shown(path), "the whole file", data))
        return
    current: _Block | None = None
    for number, keyword, words in _lines(data.decode("utf-8", "replace")):
        place = f"{_shown(path)}:{number}"
        if keyword == "include":
            for pattern in words:
                try:
                    found = _included(path, pattern)
                except (RuntimeError, ValueError):
                    left.append(Said(place, f"Include {pattern}", "there is no such home directory, or no such path"))
                    continue
                for included in found:
                    if depth >= DEEPEST:
                        left.append(Said(place, f"Include {pattern}", f"more than {DEEPEST} files include one another"))
                        return
                    _read(included, blocks, left, depth + 1)
        elif keyword == "host":
            current = _Block(place, words)
            blocks.append(current)
        elif keyword == "match":
            current = None
            left.append(
                Said(place, f"Match {' '.join(words)}", "it names no host; it still holds for those that it fits")
            )
        elif current is not None and words:
            current.settings.setdefault(keyword, words[0])


def _included(path: Path, pattern: str) -> list[Path]:
    """Relative ones begin in ~/.ssh, as for OpenSSH; beside ``path`` where that is somewhere else."""
    expanded = Path(pattern).expanduser()
    return [Path(one) for one in sorted(glob.glob(str(expanded if expanded.is_absolute() else path.parent / expanded)))]


def _lines(text: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Number, keyword in small letters and words of each line that says something."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        keyword, _, rest = re.sub(r"\s*=\s*|\s+", " ", stripped, count=1).partition(" ")
        try:
            words = tuple(shlex.split(rest, comments=True))
        except ValueError:
            words = tuple(rest.split())
        yield number, keyword.casefold(), words


def _shown(path: Path) -> str:
    """As a person writes it."""
    try:
        return f"~/{path.absolute().relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
