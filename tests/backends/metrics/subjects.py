"""Releases as sources of metrics get them."""

from quarterdeck.backends.metrics.contract import Subject
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact

MARK = "1000 read to here"  # of a measurement at the 1000th second
ROUTERS_MARK = "1000 1@1 {slot} 0 0 0 0"  # likewise: nothing was counted by then


def subject(version: str = "v2", *, hosts: tuple[str, ...] = (), address: str = "") -> Subject:
    artifact = ResolvedArtifact(f"/artifacts/{version}.tar.gz", "0" * 64)
    release = Release("production/api", version, artifact, "/srv/api", Runner(unit="api.service"))
    marks = dict.fromkeys(hosts, MARK) | {"router": ROUTERS_MARK.format(slot="green" if version == "v2" else "blue")}
    return Subject(release, hosts, address, marks)


NEW, OLD = subject("v2", hosts=("web-1",), address="10.0.0.1:8080"), subject("v1", hosts=("web-2", "web-3"))
