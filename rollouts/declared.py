"""From what is declared (a target, a version) to the immutable release that is put on hosts. Pure."""

from collections.abc import Mapping

from quarterdeck.config.model import Target
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord


def release_of(
    target: Target,
    version: str,
    artifact: ResolvedArtifact,
    fingerprints: Mapping[str, str],
    *,
    created: str,
    created_by: str,
    commit: str | None = None,
) -> Release:
    """The release that deploying ``version`` of ``target`` makes now. ``fingerprints``: of the secrets' values, by
    name."""
    return Release(
        target=target.name,
        version=version,
        artifact=artifact,
        path=target.path,
        runner=target.runner,
        env=dict(target.env),
        files=target.files,
        secrets={name: SecretRecord(reference, fingerprints[name]) for name, reference in target.secrets.items()},
        health=target.health,
        hooks=target.hooks,
        logs=target.logs,
        commit=commit,
        created=created,
        created_by=created_by,
        container=target.container,
    )
