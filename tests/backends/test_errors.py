"""What an error tells: a secret is masked before anything is cut, and the advice is never cut off."""

from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import resolve
from quarterdeck.backends.errors import THIS_MACHINE, ArtifactMissing, BackendError, SecretUnavailable
from quarterdeck.backends.hosts.ssh.answer import parse, require
from quarterdeck.backends.secrets import Masker, resolve_secrets
from quarterdeck.config.model import Artifact, SecretReference

SECRET = "s3cret-value-of-forty-characters-length!"
MASK = Masker([SECRET]).mask


@pytest.mark.parametrize("cut", range(0, 41, 5))
@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (b"M error failed cannot write\n", "errors"),
        (b"M output\n%s\nM end-output\nM error command 3 start\n", "output"),
        (b"", "errors"),
    ],
)
def test_a_secret_is_masked_wherever_a_long_line_is_cut(cut: int, answer: bytes, where: str) -> None:
    line = (f"Permission denied: {SECRET}" + "x" * (300 - cut)).encode()
    told = answer % line if where == "output" else answer
    with pytest.raises(BackendError) as refused:
        require("web-1", "switch", parse("M", told, line if where == "errors" else b"", 1))
    text = refused.value.told(MASK)
    assert not any(SECRET[start : start + 8] in text for start in range(len(SECRET) - 8)), text
    assert "****" in text


def test_a_long_problem_is_shortened_and_its_advice_is_whole() -> None:
    error = BackendError(
        "web-1", "switch", "y" * 5000, left="nothing was changed there", advice="make room " + "z" * 300
    )
    assert len(str(error)) < 1100
    assert str(error).endswith("Make room " + "z" * 300)


def test_a_sentence_about_this_machine_does_not_begin_with_its_name() -> None:
    error = BackendError(
        THIS_MACHINE, "fetch the artifact", "the cache /c: Read-only file system", left="nothing changed"
    )
    assert str(error) == "can't fetch the artifact: the cache /c: Read-only file system. Nothing changed"


async def test_what_lacks_here_is_said_to_lack_here(tmp_path: Path) -> None:
    where = Artifact(f"{tmp_path}/api-{{version}}.tgz", f"{tmp_path}/api-{{version}}.tgz.sha256")
    with pytest.raises(ArtifactMissing) as missing:
        await resolve(where, "v9")
    assert str(missing.value).startswith("can't find version v9: ")
    assert f"there is no {tmp_path}/api-v9.tgz" in str(missing.value)
    assert "on this machine" in str(missing.value)
    with pytest.raises(SecretUnavailable) as unset:
        await resolve_secrets({"TOKEN": SecretReference("env", "QD_NOT_SET")}, base=tmp_path)
    assert str(unset.value).startswith("can't resolve the secret: TOKEN (env: 'QD_NOT_SET'): the variable is not set")
