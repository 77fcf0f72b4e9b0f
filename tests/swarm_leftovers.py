"""What swarms of tests leave that were killed together with their watchdog is found again, and ended, by whoever comes next."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from tests.engine import hold_net

SCRIPT: Final = Path(__file__).with_name("swarm.sh")


def directory_of(net: int) -> Path:
    """Short, as its sockets' paths must be, and found again by whoever comes after a run that was killed together with its watchdog."""
    return Path(f"/run/qdt{net}")


def remove_leftovers() -> list[int]:
    """Ends swarms that nobody holds any more; gives the numbers of their networks."""
    names = os.listdir("/run") + (os.listdir("/run/netns") if Path("/run/netns").is_dir() else [])
    found = {int(match[1]) for name in names if (match := re.fullmatch(r"qdt(\d+)(?:-.+)?", name))}
    removed = []
    for net in sorted(found):
        held = hold_net(net)
        if held is None:
            continue
        with held:
            subprocess.run(
                ["sh", str(SCRIPT), "down", str(directory_of(net)), str(net)],
                check=True,
                stdin=subprocess.DEVNULL,
                timeout=60,
            )
        removed.append(net)
    return removed
