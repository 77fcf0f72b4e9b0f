"""What sha256sum, shasum and BSD's sha256 write is understood, and nothing is guessed."""

import subprocess
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts.checksums import NoChecksum, find

ONE, TWO = "1" * 64, "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE}  web.tar.gz\n",
        f"{ONE} *web.tar.gz\n",
        f"{ONE}\n",
        ONE,
        f"\ufeff{ONE}  web.tar.gz\r\n",
        f"SHA256 (web.tar.gz) = {ONE}\n",
        f"SHA256(web.tar.gz)= {ONE}\n",
        f"{TWO}  other.tar.gz\n{ONE}  dist/web.tar.gz\n{TWO}  xweb.tar.gz\n",
        f"SHA256 (other.tar.gz) = {TWO}\nSHA256 (web.tar.gz) = {ONE}\n",
        f"SHA512 (web.tar.gz) = {TWO}{TWO}\nSHA256 (web.tar.gz) = {ONE}\n",
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{ONE}  web.tar.gz\n{TWO}  other\n-----BEGIN PGP\n",
        f"# made by ci\n\n{ONE}  /home/ci/out/elsewhere.tar.gz\n",
        f"{ONE}  web.tar.gz\n{ONE}  web.tar.gz\n",
    ],
)
def test_the_line_of_the_file_is_found(text: str) -> None:
    assert find(text, "web.tar.gz") == ONE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no SHA-256 in it"),
        ("<html>please log in</html>", "no SHA-256 in it"),
        (f"{ONE[:63]}  web.tar.gz", "no SHA-256 in it"),
        (f"{ONE}{TWO}  web.tar.gz", "no SHA-256 in it"),
        (f"{ONE}  one.tar.gz\n{TWO}  two.tar.gz\n", "no SHA-256 for web.tar.gz among 2"),
        (f"{ONE}  web.tar.gz\n{TWO}  web.tar.gz\n", "two different"),
    ],
)
def test_what_is_not_clear_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NoChecksum, match=problem):
        find(text, "web.tar.gz")


def test_real_sha256sum_output_is_understood_even_for_an_odd_name(tmp_path: Path) -> None:
    for name in ("web 1.tar.gz", "back\\slash.tar.gz"):
        (tmp_path / name).write_bytes(b"content")
    written = subprocess.run(
        ["sha256sum", *sorted(p.name for p in tmp_path.iterdir())], cwd=tmp_path, capture_output=True, check=True
    )
    for name in ("web 1.tar.gz", "back\\slash.tar.gz"):
        assert find(written.stdout.decode(), name) == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
