"""The inventory that pyinfra reads in its own environment, with what there is to do. ``QD_BENCHMARK_SPEC``, ``…_ACTION`` and ``…_VERSION``
say it."""

import json
import os
from pathlib import Path

from benchmarks import unit

_spec = json.loads(Path(os.environ["QD_BENCHMARK_SPEC"]).read_text())
_action, _version = os.environ["QD_BENCHMARK_ACTION"], os.environ["QD_BENCHMARK_VERSION"]

hosts = (
    [(address, {"archive": unit.place_of_archive(_spec, address)}) for address in _spec["addresses"]],
    {
        "ssh_user": _spec["user"],
        "ssh_port": _spec["ssh_port"],
        "ssh_key": _spec["key"],
        "ssh_known_hosts_file": _spec["known_hosts"],
        "ssh_strict_host_key_checking": "yes",
        "artifact": unit.artifact(_spec, _version) if _action == "deploy" else "",
        "command": unit.command(_spec, _action, _version, sent_before=True),
    },
)
