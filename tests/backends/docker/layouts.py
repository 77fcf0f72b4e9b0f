"""Images as other projects write and send them: layouts that umoci makes from nothing, copied into a registry by skopeo."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine import tree
from tests.requirements_here import need

INDEX = "application/vnd.oci.image.index.v1+json"
_SERVES = "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"


def need_programs() -> None:
    for program in ("umoci", "skopeo"):
        need(shutil.which(program) is not None, f"{program} (package {program})")


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{words}: {done.stderr}"


@dataclass
class Layout:
    """An OCI image layout in ``directory``, which need not be there yet."""

    directory: Path

    def add(self, tag: str, *, architecture: str = "") -> str:
        """An image that serves its tag as ``tests.engine`` has it, written by umoci; gives the digest of its manifest."""
        if not self.directory.exists():
            _run("umoci", "init", "--layout", str(self.directory))
        image, root = f"{self.directory}:{tag}", self.directory.with_name(f"root-{tag}")
        with tarfile.open(fileobj=io.BytesIO(tree({"/www/version": f"{tag}\n", "/www/health": "ok\n"}))) as packed:
            packed.extractall(root, filter="tar")
        _run("umoci", "new", "--image", image)
        _run("umoci", "insert", "--image", image, str(root), "/")
        words = [word for one in ("sh", "-c", _SERVES) for word in ("--config.cmd", one)]
        if architecture:
            words += ["--architecture", architecture]
        _run("umoci", "config", "--image", image, "--config.env", "PATH=/bin", *words)
        _run("umoci", "gc", "--layout", str(self.directory))
        shutil.rmtree(root)
        return str(self.entry(tag)["digest"])

    def add_index(self, tag: str, platforms: dict[str, str]) -> str:
        """An index of what is there, by os/architecture: its digest."""
        manifests = []
        for platform, of in platforms.items():
            system, _, architecture = platform.partition("/")
            entry = {key: value for key, value in self.entry(of).items() if key != "annotations"}
            manifests.append({**entry, "platform": {"os": system, "architecture": architecture}})
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
        hashed = hashlib.sha256(content).hexdigest()
        (self.directory / "blobs" / "sha256" / hashed).write_bytes(content)
        index = json.loads((self.directory / "index.json").read_text())
        name = {"org.opencontainers.image.ref.name": tag}
        entry = {"mediaType": INDEX, "digest": f"sha256:{hashed}", "size": len(content), "annotations": name}
        index["manifests"].append(entry)
        (self.directory / "index.json").write_text(json.dumps(index))
        return f"sha256:{hashed}"

    def manifest(self, tag: str) -> dict[str, Any]:
        digest = str(self.entry(tag)["digest"]).removeprefix("sha256:")
        found: dict[str, Any] = json.loads((self.directory / "blobs" / "sha256" / digest).read_text())
        return found

    def entry(self, tag: str) -> dict[str, Any]:
        """What index.json says of it."""
        index = json.loads((self.directory / "index.json").read_text())
        found: dict[str, Any] = next(
            one for one in index["manifests"] if one["annotations"]["org.opencontainers.image.ref.name"] == tag
        )
        return found

    def copy(self, tag: str, to: "Layout") -> None:
        """By skopeo into another layout, with its layers compressed by zstd."""
        names = (f"oci:{self.directory}:{tag}", f"oci:{to.directory}:{tag}")
        _run("skopeo", "copy", "--insecure-policy", "--quiet", "--dest-compress-format", "zstd", *names)

    def push(self, tag: str, repository: str) -> None:
        """By skopeo, with all that an index names, to host:port/name."""
        words = ["skopeo", "copy", "--insecure-policy", "--quiet", "--all", "--dest-tls-verify=false"]
        _run(*words, f"oci:{self.directory}:{tag}", f"docker://{repository}:{tag}")
