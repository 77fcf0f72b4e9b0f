"""Releases as sources of metrics get them."""

from quarterdeck.backends.metrics.contract import Subject
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact


def subject(version: str = "v2", *, hosts: tuple[str, ...] = (), address: str = "") -> Subject:
    artifact = ResolvedArtifact(f"/artifacts/{version}.tar.gz", "0" * 64)
    return Subject(Release("production/api", version, artifact, "/srv/api", Runner(unit="api.service")), hosts, address)


NEW, OLD = subject("v2", hosts=("web-1",), address="10.0.0.1:8080"), subject("v1", hosts=("web-2", "web-3"))
