"""What is written beside a release, and what may not be."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.backends.errors import ArtifactRefused, BackendError
from quarterdeck.backends.hosts.ssh.quoting import environment_file
from quarterdeck.backends.hosts.ssh.release_files import host_files, writing_function
from quarterdeck.config.model import ConfigFile, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from tests.backends.ssh.releases import QUICK


def _release(**more: Any) -> Release:
    return Release("test/web", "v1", ResolvedArtifact("x", "0" * 64), "/srv", Runner(commands=QUICK), **more)


def systemd_reads(text: str) -> dict[str, str]:
    """An EnvironmentFile as systemd 252 reads it (src/basic/env-file.c), as far as double-quoted values go."""
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        name, _, rest = text[position:].partition('="')
        value, index = "", 0
        while rest[index] != '"':
            if rest[index] == "\\":
                index += 1
                if rest[index] not in '"\\`$\n':
                    value += "\\"
                if rest[index] == "\n":
                    index += 1
                    continue
            value += rest[index]
            index += 1
        values[name] = value
        position += len(name) + 2 + index + 2
    return values


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
            lambda name: name not in ("PATH", "IFS", "_", "PWD")
        ),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        min_size=1,
        max_size=5,
    )
)
def test_the_shell_and_systemd_read_the_same_environment(values: dict[str, str]) -> None:
    text = environment_file({f"X{name}": value for name, value in values.items()}, "host", "test")
    assert systemd_reads(text) == {f"X{name}": value for name, value in values.items()}
    names = " ".join(f'"$X{name}"' for name in values)
    done = subprocess.run(["sh"], input=f"{text}printf '%s\\0' {names}".encode(), capture_output=True, timeout=20)
    assert done.stdout.decode().split("\0")[:-1] == list(values.values())


def test_a_name_that_is_none_is_refused_and_its_value_is_not_told() -> None:
    with pytest.raises(BackendError) as caught:
        environment_file({"A-B": "s3cret"}, "host", "test")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "qd.env", "qd.run", "a\nb"])
def test_configuration_that_leads_out_or_takes_our_names_is_refused(path: str) -> None:
    with pytest.raises(ArtifactRefused):
        host_files(_release(files=(ConfigFile(path, "x"),)), {}, "host", "test")


def test_secrets_are_in_one_file_only_and_in_no_checksum() -> None:
    files = host_files(_release(env={"A": "1"}), {"KEY": "s3cret"}, "host", "test")
    assert [file.path for file in files if "s3cret" in file.content] == ["qd.secrets.env"]
    assert all("qd.secrets.env" not in file.content for file in files)
    assert next(file.mode for file in files if file.path == "qd.secrets.env") == 0o600


def test_files_are_written_as_they_are(tmp_path: Path) -> None:
    content = 'it\'s\n"quoted" $HOME `id` \\n \\\\ %s é\nno newline at the end'
    files = host_files(_release(files=(ConfigFile("-conf/a b", content, 0o640),)), {}, "host", "test")
    (tmp_path / "-conf").mkdir()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("untouched")
    (tmp_path / "-conf" / "a b").symlink_to(outside)  # a link of the archive's in the place of a file of ours
    subprocess.run(
        ["sh"], input=(writing_function(files) + "write_files\n").encode(), cwd=tmp_path, check=True, timeout=20
    )
    assert (tmp_path / "-conf" / "a b").read_text() == content
    assert (tmp_path / "-conf" / "a b").stat().st_mode & 0o777 == 0o640
    assert outside.read_text() == "untouched"
