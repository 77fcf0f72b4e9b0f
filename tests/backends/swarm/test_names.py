"""Names that a Swarm takes, whatever the version is called."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.backends.hosts.swarm import names

SERVICE = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*\Z")
"""swarmkit, manager/controlapi/common.go: what the name of a service is."""
OBJECT = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?\Z")
"""The same of a config, and a secret."""


@given(st.text("aB1.-_~+/ ü", min_size=1, max_size=90))
def test_any_release_has_the_name_of_a_service(text: str) -> None:
    name = names.kept_service("production-api", f"{text}-0123456789")
    assert SERVICE.match(name), name
    assert len(name) <= 63
    other = names.kept_service("production-api", f"{text}x-0123456789")
    assert name != other


@pytest.mark.parametrize("version", ["1.2.3", "v1", "2026.11.30-rc1", "a" * 100, "1.2.3+build.5"])
def test_versions_as_they_are(version: str) -> None:
    assert SERVICE.match(names.kept_service("production-api", f"{version}-0a1b2c3d4e"))


@given(st.text("aB1.-_~+/ ü", min_size=1, max_size=90))
def test_objects_have_names_of_at_most_64_characters(text: str) -> None:
    for name in (names.config(text, "a" * 64), names.secret("live", text, "0123abcd"), names.register(f"x/{text}")):
        assert OBJECT.match(name), name
        assert len(name) <= 64
