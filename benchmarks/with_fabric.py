"""The unit of work with fabric, as small as it can fairly be written. Runs in fabric's own environment and imports nothing of the project
but the unit of work.

``python -m benchmarks.with_fabric SPEC ACTION VERSION``.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fabric import Config, Connection
from paramiko import HostKeys

from benchmarks import unit


def main() -> int:
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    action, version = sys.argv[2:4]
    command = unit.command(spec, action, version, sent_before=True)
    config = Config()  # read once for all hosts
    known = HostKeys(spec["known_hosts"])

    def one(address: str) -> None:
        connect = {"key_filename": spec["key"], "allow_agent": False, "look_for_keys": False}
        with Connection(address, spec["user"], spec["ssh_port"], config=config, connect_kwargs=connect) as connection:
            name = f"[{address}]:{spec['ssh_port']}"
            connection.client.get_host_keys().add(name, unit.HOST_KEY, known[name][unit.HOST_KEY])
            if action == "deploy":
                connection.put(unit.artifact(spec, version), unit.place_of_archive(spec, address))
            connection.run(command, hide=True, in_stream=False)

    with ThreadPoolExecutor(len(spec["addresses"])) as threads:
        list(threads.map(one, spec["addresses"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
