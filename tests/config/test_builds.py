"""Where a service is built and where its source is: what may stand there, what is refused, and which version a build makes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from quarterdeck.config.builds import Builds, Repository, places_in, version_of
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, SecretReference
from quarterdeck.config.problems import FleetFileErrors, render


def load(directory: Path, require: Any = None, **service: Any) -> Fleet:
    body = {
        "fleet": "acme",
        "state": str(directory / "state"),
        "hosts": {"a": {"ssh": "a"}},
        "environments": {"production": {"hosts": ["a"], **({"require": require} if require else {})}},
        "services": {
            "api": {
                "artifact": {"tarball": "api-{version}.tar.gz"},
                "path": "/srv/api",
                "unit": "api.service",
                "health": {"tcp": 80},
                **service,
            }
        },
    }
    (directory / "fleet.yml").write_text(yaml.safe_dump(body))
    return load_fleet(directory / "fleet.yml")


def refused(directory: Path, **service: Any) -> str:
    with pytest.raises(FleetFileErrors) as error:
        load(directory, **service)
    return render(error.value.problems)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    fleet = load(
        tmp_path,
        require={"build": "passed"},
        builds={"github": "acme/api", "workflow": "build.yml", "branch": "main", "token": {"env": "TOKEN"}},
        source={"git": "repository.git"},
    )
    assert fleet.builds["api"] == Builds(
        "github", "acme/api", workflow="build.yml", branch="main", token=SecretReference("env", "TOKEN")
    )
    assert fleet.sources["api"] == Repository(str(tmp_path / "repository.git"))
    assert fleet.environments["production"].require.build == "passed"
    assert load(tmp_path, builds={"gitlab": 4711}).builds["api"].project == "4711"


@pytest.mark.parametrize(
    ("builds", "words"),
    [
        ({}, "builds needs `github`, `gitlab`, `circleci` or `jenkins`"),
        ({"github": "acme/api", "gitlab": "acme/api"}, "only one of"),
        ({"github": "acme/api"}, "say with `workflow` which one {number} is of"),
        ({"github": "acme"}, "expected a repository such as acme/api"),
        ({"gitlab": "acme/api", "workflow": "x"}, "`workflow` has no meaning beside `gitlab`"),
        ({"jenkins": "https://ci/job/a", "url": "https://ci"}, "`url` has no meaning beside `jenkins`"),
        ({"jenkins": "https://ci/job/a", "username": "qd"}, "both `username` and `token`"),
        ({"github": "acme/api", "version": "v1"}, "it would be the same for every build"),
        ({"github": "acme/api", "version": "{build}"}, "{build} can't be filled in here"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, builds: dict[str, Any], words: str) -> None:
    assert words in refused(tmp_path, builds=builds)


def test_a_token_is_never_written_down_and_never_shown(tmp_path: Path) -> None:
    told = refused(tmp_path, builds={"github": "acme/api", "token": "ghp_hunter2"})
    assert "say where the value is found" in told
    assert "hunter2" not in told
    told = refused(tmp_path, builds={"jenkins": "https://qd:hunter2@ci/job/api"})
    assert "this URL has a login" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c id",
        "--upload-pack=touch /tmp/x",
        "-u",
        "http://git.example.com/api.git",
        "git://git.example.com/api.git",
        "ssh://-oProxyCommand=id/api",
        "git@-oProxyCommand=id:api",
        "https://me:secret@git.example.com/api.git",
        "https://ghp_secret@git.example.com/api.git",
        "fd::17",
    ],
)
def test_an_address_that_would_run_something_or_tell_a_secret_is_no_source(tmp_path: Path, address: str) -> None:
    told = refused(tmp_path, source={"git": address})
    assert "expected a path, or a URL" in told or "this URL has a login" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "address",
    ["https://git.example.com/acme/api.git", "ssh://git@git.example.com:7999/acme/api.git", "git@host:acme/api.git"],
)
def test_what_git_itself_fetches_from(tmp_path: Path, address: str) -> None:
    assert load(tmp_path, source={"git": address}).sources["api"].git == address


def test_they_are_said_once_of_the_service(tmp_path: Path) -> None:
    told = refused(tmp_path, environments={"production": {"builds": {"github": "acme/api"}}})
    assert "`builds` can't stand here: it is said once, of the service as a whole" in told


def test_a_passing_build_is_required_only_where_somebody_builds(tmp_path: Path) -> None:
    told = refused(tmp_path, require={"build": "passed"})
    assert "production requires a passing build, and nothing says where `api` is built" in told


def test_a_version_is_made_of_a_build_and_read_back() -> None:
    places = {"number": "812", "sha": "ab" * 20, "short_sha": "abababa", "tag": "", "branch": "main"}
    assert version_of("v{number}", places) == "v812"
    assert version_of("{branch}-{short_sha}", places) == "main-abababa"
    assert version_of("{tag}", places) == "", "a build of no tag makes no version of that form"
    assert places_in("v{number}", "v812") == {"number": "812"}
    assert places_in("{branch}-{short_sha}", "main-abababa") == {"branch": "main", "short_sha": "abababa"}
    assert places_in("v{number}", "v8x") == {}
