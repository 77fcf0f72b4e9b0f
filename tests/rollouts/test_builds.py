"""From a build to a release and back: `qd builds`, deploys from a build, the gate, the commits between two releases. On real hosts, with a
real repository, and a CI system that answers with the documented shapes (tests/ci_server.py)."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ci_server import TOKEN, CiServer, ci_server
from tests.field import Field
from tests.repository import RealRepository
from tests.requirements_here import need

pytestmark = pytest.mark.sshd


@pytest.fixture
def server() -> Iterator[CiServer]:
    with ci_server() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> RealRepository:
    need(shutil.which("git") is not None, "git")
    return RealRepository(tmp_path / "server")


@pytest.fixture
def built(field: Field, server: CiServer, repository: RealRepository) -> Field:
    """Two hosts; builds 1 to 3 make v1 to v3 of commits of the repository."""
    for number in (1, 2, 3):
        server.add(number, "passed", commit=repository.commit(f"Change {number}", author="omar"))
    (field.directory / "token").write_text(TOKEN)
    declare(field)
    write(field, server, repository)
    return field


def declare(field: Field, **environment: Any) -> None:
    hosts = [host.name for host in field.hosts.hosts[:2]]
    field.extra["environments"] = {"staging": {"hosts": hosts, **environment}}
    field.write()


def write(field: Field, server: CiServer, repository: RealRepository, system: str = "github", **more: Any) -> None:
    settings = {**server.settings(system), "token": {"file": "token"}, "version": "v{number}", "branch": "main", **more}
    if system == "github":
        settings["workflow"] = "build.yml"
    field.write(builds=settings, source={"git": str(repository.path)})


def said(text: str) -> str:
    return " ".join(text.split())


def test_builds_stand_beside_the_releases_that_came_of_them(built: Field, server: CiServer) -> None:
    server.add(4, "running", branch="main", author="a\x1b[31mda")
    built.deploy("v1")
    shown = built.qd("builds", status=0).stdout
    rows = {line.split()[0]: line for line in shown.splitlines()}
    assert rows["1"].rstrip().endswith("staging")
    assert "not released yet" in rows["2"]
    assert "> running" in rows["4"]
    assert "\x1b" not in shown
    document = json.loads(built.qd("builds", "staging/web", "--limit", "2", "--json", status=0).stdout)
    (service,) = document["services"]
    assert [one["number"] for one in service["builds"]] == ["4", "3"]
    (released,) = [
        one
        for one in json.loads(built.qd("builds", "web", "--json", status=0).stdout)["services"][0]["builds"]
        if one["releases"]
    ]
    assert (released["version"], released["status"], released["seconds"]) == ("v1", "passed", 150.0)
    assert released["releases"][0]["runs"]
    assert released["releases"][0]["target"] == "staging/web"


def test_who_can_t_be_asked_is_named_and_the_token_is_not(built: Field, server: CiServer) -> None:
    (built.directory / "token").write_text("hunter2-hunter2")
    server.said_back = True
    told = built.qd("builds", "web", status=1)
    assert "github acme/api: ask for its builds: its token is wrong, or has expired" in told.stderr
    document = json.loads(built.qd("builds", "--json", status=1).stdout)
    assert "its token is wrong" in document["services"][0]["error"]
    assert "hunter2" not in json.dumps(document) + told.stderr + told.stdout
    assert (
        "there is no service 'wbe' in the fleet file; did you mean web?" in built.qd("builds", "wbe", status=2).stderr
    )


def test_a_deploy_from_a_build(built: Field, server: CiServer) -> None:
    server.add(4, "failed")
    server.add(5, "running")
    refused = said(built.qd("deploy", "staging/web", "--build", "4", "--wait", status=5).stderr)
    assert "build 4 of github acme/api has failed: nothing was changed" in refused
    assert (
        "build 5 of github acme/api is still running"
        in built.qd("deploy", "staging/web", "--build", "5", status=5).stderr
    )
    assert "has no build '77'" in built.qd("deploy", "staging/web", "--build", "77", status=2).stderr
    assert "say either which version, or which build" in built.qd("deploy", "staging/web", status=2).stderr
    assert "say either" in built.qd("deploy", "staging/web", "v1", "--build", "1", status=2).stderr
    done = built.qd("deploy", "staging/web", "--build", "latest", "--wait", "--json", status=0)
    assert "build 5 is newer, and is still running: 3 is taken" in done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert built.running()[:2] == ["v3", "v3"]
    with built.journal(read_only=True) as journal:
        row = journal.release(journal.current_release("staging/web") or "")
        assert row is not None
        assert row.release.commit == server.builds[2]["commit"], "that of the build"
    number = str(json.loads(done.stdout)["rollout"])
    told = built.qd("show", number, status=0).stdout
    assert f"build    3 by maya, commit {server.builds[2]['commit'][:8]}" in told
    assert json.loads(built.qd("show", number, "--json", status=0).stdout)["build"]["number"] == "3"


def test_a_latest_build_is_one_of_a_branch(built: Field, server: CiServer, repository: RealRepository) -> None:
    write(built, server, repository, "gitlab", branch="main")
    assert "it makes v3" in built.qd("deploy", "staging/web", "--build", "latest", "--plan", status=0).stdout
    built.service["builds"].pop("branch")
    built.write()
    told = built.qd("deploy", "staging/web", "--build", "latest", status=2).stderr
    assert "may be of any branch: say which in the fleet file" in told


def test_only_what_has_passed_goes_where_that_is_required_and_a_rollback_is_never_asked(
    built: Field, server: CiServer
) -> None:
    declare(built, require={"build": "passed"})
    built.deploy("v1")
    built.deploy("v2")
    server.builds[0]["status"] = "failed"
    refused = said(built.qd("deploy", "staging/web", "v3", "--wait", status=5).stderr)
    assert "staging/web takes only what was built and has passed, and build 3 of github acme/api has failed" in refused
    assert "--override require --reason" in refused
    assert built.running()[:2] == ["v2", "v2"]
    assert "knows no build of bad" in built.qd("deploy", "staging/web", "bad", "--wait", status=5).stderr
    plan = json.loads(built.qd("deploy", "staging/web", "v1", "--plan", "--json", status=0).stdout)
    assert plan["require"]["build"] == {
        "state": "passed",
        "passed": True,
        "words": "build 1 of github acme/api has passed",
        "number": "1",
        "link": "https://github.com/acme/api/actions/runs/1",
    }
    server.expired = True
    refused = said(built.qd("deploy", "staging/web", "v3", "--wait", status=5).stderr)
    assert "and that can't be asked: github acme/api: ask for its builds: its token is wrong, or has expired" in refused

    done = built.deploy("v3", arguments=("--override", "require", "--reason", "INC-77"))
    with built.journal(read_only=True) as journal:
        (told,) = journal.events(rollout=int(done["rollout"]), kind="override")
        assert (told.body["policy"], told.body["reason"]) == ("require", "INC-77")
    asked = len(server.asked)
    built.rollback()
    assert built.running()[:2] == ["v2", "v2"]
    assert len(server.asked) == asked, "a rollback asks nobody"


def test_a_diff_tells_the_commits_between_two_releases(
    built: Field, server: CiServer, repository: RealRepository
) -> None:
    """v1 and v3 are tags here: what a deploy makes of them knows its commit."""
    write(built, server, repository, "jenkins")
    for version in ("v1", "v3"):
        repository.git("tag", version, server.builds[3 - int(version[1])]["commit"])
    repository.git("push", "--quiet", "--tags", "origin")
    built.deploy("v1")
    built.deploy("v3")
    document = json.loads(built.qd("diff", "v1", "v3", "--json", status=0).stdout)
    assert [one["subject"] for one in document["commits"]["came"]] == ["Change 3", "Change 2"]
    assert document["commits"]["went"] == []
    assert [one for one in document["facts"] if one["name"] == "commit"], "the release remembers it"
    plan = built.qd("rollback", "staging/web", "--plan", status=0).stdout
    assert f"-     {server.builds[0]['commit'][:8]} Change 3 (omar)" in plan
    shown = built.qd("diff", "v3", "v1", status=0).stdout
    assert "commits (2 go back)" in shown
    assert f"- {server.builds[0]['commit'][:8]} Change 3 (omar, 2026-11-29)" in shown
    lead = json.loads(built.qd("stats", "--json", status=0).stdout)["total"]["lead_time"]
    assert (lead["count"], lead["from_commit"]) == (2, 2), "the mirror says when what was deployed was committed"


def test_git_that_is_away_holds_nothing_up(built: Field, repository: RealRepository, tmp_path: Path) -> None:
    shutil.rmtree(repository.path)
    done = built.qd("deploy", "staging/web", "v1", "--wait", status=0)
    assert "the commit is not known: can't fetch" in said(done.stdout + done.stderr)
    built.deploy("v2")
    shown = said(built.qd("diff", "v1", "v2", status=0).stdout)
    assert "commits not known: can't fetch" in shown
    shutil.rmtree(built.state / "sources")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("ssh", "sh", "python3"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    shown = said(built.qd("diff", "v1", "v2", status=0, environment={**os.environ, "PATH": str(programs)}).stdout)
    assert "commits not known: can't fetch" in shown or "git is not installed" in shown
    built.rollback()
    assert built.running()[:2] == ["v1", "v1"]


def test_the_same_release_with_and_without_its_commit_is_one_release(
    built: Field, server: CiServer, repository: RealRepository
) -> None:
    """Else a mark «bad» would be evaded when git is back."""
    built.service.pop("source")
    built.write()
    built.deploy("v1")
    write(built, server, repository)
    built.deploy("v2")
    done = built.qd("deploy", "staging/web", "--build", "1", "--wait", "--json", status=0)
    with built.journal(read_only=True) as journal:
        assert [row.release.version for row in journal.releases("staging/web")] == ["v2", "v1"]
    assert json.loads(done.stdout)["status"] == "succeeded"
