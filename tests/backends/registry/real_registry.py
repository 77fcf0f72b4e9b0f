"""Real registries (Debian's docker-registry) on ports of their own, and images that are pushed to them as any client does."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.sshd import wait_for

PASSWORD = "hunter2"
# bcrypt, the only hash that docker-registry takes; of PASSWORD, at the least cost.
HASH = "$2b$04$d00EuL30SZ0r/A/p2Wq9YuPlKMZ.bXlh2Hg1TbVSczGa3LUkIDBay"

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Authorize = Callable[[str], str]
"""Given a repository: the value of Authorization with which one may push there."""


def registry_program() -> str | None:
    return shutil.which("docker-registry")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Pushed:
    digest: str
    size: int  # of the configuration and the layers
    manifest_size: int
    media_type: str


@dataclass
class RealRegistry:
    """``name`` is host:port as a fleet file has it. ``log`` is what the registry writes, with a line for each request."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str
    authorize: Authorize | None = None
    verify: str | bool = True
    proxy: str | None = None
    _client: httpx.Client | None = field(default=None, repr=False)

    def client(self) -> httpx.Client:
        if self._client is None:
            import ssl

            context: ssl.SSLContext | bool = True
            if isinstance(self.verify, str):
                context = ssl.create_default_context(cafile=self.verify)
                context.check_hostname = False
            self._client = httpx.Client(base_url=self.url, trust_env=False, verify=context)
        return self._client

    def _headers(self, repository: str) -> dict[str, str]:
        return {"Authorization": self.authorize(repository)} if self.authorize else {}

    def blob(self, repository: str, content: bytes) -> str:
        digest, headers = digest_of(content), self._headers(repository)
        begun = self.client().post(f"/v2/{repository}/blobs/uploads/", headers=headers)
        assert begun.status_code == 202, begun.text
        url = httpx.URL(begun.headers["Location"])
        url = self.client().base_url.join(url.raw_path.decode()).copy_merge_params({"digest": digest})
        done = self.client().put(url, content=content, headers=headers)
        assert done.status_code == 201, done.text
        return digest

    def manifest(self, repository: str, reference: str, body: Mapping[str, Any], media_type: str) -> tuple[str, int]:
        content = json.dumps(body).encode()
        headers = {**self._headers(repository), "Content-Type": media_type}
        done = self.client().put(
            f"/v2/{repository}/manifests/{reference or digest_of(content)}", content=content, headers=headers
        )
        assert done.status_code == 201, done.text
        assert done.headers["Docker-Content-Digest"] == digest_of(content)
        return digest_of(content), len(content)

    def push(
        self,
        repository: str,
        tag: str,
        *,
        content: bytes = b"",
        created: str = "2026-03-01T10:20:30.123456789Z",
        architecture: str = "amd64",
        docker: bool = False,
        config_type: str = "",
    ) -> Pushed:
        """An image of one platform; ``content`` makes another one of it. No tag: by its digest alone."""
        layer = content or os.urandom(2000)
        config = json.dumps({"created": created, "os": "linux", "architecture": architecture, "x": len(layer)}).encode()
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        body = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": config_type or (DOCKER_CONFIG if docker else OCI_CONFIG),
                "digest": self.blob(repository, config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": DOCKER_LAYER if docker else OCI_LAYER,
                    "digest": self.blob(repository, layer),
                    "size": len(layer),
                }
            ],
        }
        digest, size = self.manifest(repository, tag, body, media_type)
        return Pushed(digest, len(config) + len(layer), size, media_type)

    def push_index(
        self, repository: str, tag: str, images: Mapping[str, Pushed], *, docker: bool = False, attested: bool = False
    ) -> str:
        """``images`` by os/architecture[/variant]."""
        media_type = DOCKER_LIST if docker else OCI_INDEX
        if attested:  # as docker buildx does
            images = {**images, "unknown/unknown": self.push(repository, "")}
        manifests = []
        for platform, image in images.items():
            system, architecture, *variant = platform.split("/")
            named = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
            manifests.append(
                {
                    "mediaType": image.media_type,
                    "digest": image.digest,
                    "size": image.manifest_size,
                    "platform": named,
                }
            )
        body = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return self.manifest(repository, tag, body, media_type)[0]

    def delete(self, repository: str, digest: str) -> None:
        done = self.client().delete(f"/v2/{repository}/manifests/{digest}", headers=self._headers(repository))
        assert done.status_code == 202, done.text

    def asked(self, part: str) -> int:
        """How many requests with ``part`` in their line the registry has answered."""
        return sum(part in line for line in self.log.read_text().splitlines() if "HTTP/1.1" in line)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        with contextlib.suppress(ProcessLookupError):
            self.go_on()
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def start_registry(
    folder: Path,
    *,
    auth: Mapping[str, Any] | None = None,
    users: Mapping[str, str] | None = None,
    tls: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
) -> RealRegistry:
    """``users`` are those of htpasswd, with their hashes. The port is the kernel's choice: nothing can be in its way."""
    program = registry_program()
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    if users:
        (folder / "htpasswd").write_text("".join(f"{user}:{hashed}\n" for user, hashed in users.items()))
        auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    http: dict[str, Any] = {"addr": "127.0.0.1:0", "secret": "of these tests alone"}
    if tls:
        http["tls"] = tls
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "text"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
    }
    if auth:
        config["auth"] = auth
    path, log = folder / "config.yml", folder / "log"
    path.write_text(json.dumps(config))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(path)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
        )

    def listening() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"listening on 127\.0\.0\.1:([0-9]+)", log.read_text())

    try:
        wait_for(listening, "docker-registry listens")
    except BaseException:
        process.kill()
        process.wait(10)
        raise
    found = listening()
    assert found is not None
    scheme = "https" if tls else "http"
    return RealRegistry(f"{host}:{found[1]}", process, log, f"{scheme}://127.0.0.1:{found[1]}")
