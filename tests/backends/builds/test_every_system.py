"""The contract of builds, of all four systems: the same builds, and the same refusals, whoever is asked. Against a local server that
answers with the documented shapes (tests/ci_server.py)."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.builds.contract import BuildsOf, BuildStatus
from quarterdeck.backends.builds.opening import open_builds
from quarterdeck.backends.errors import BackendError, BuildsUnknown, NotPermitted, SecretUnavailable, Unreachable
from quarterdeck.config.builds import SYSTEMS, Builds
from quarterdeck.config.model import SecretReference
from tests.ci_server import TOKEN, CiServer, ci_server
from tests.sshd import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[CiServer]:
    with ci_server() as server:
        yield server


@pytest.fixture
def ask(system: str, server: CiServer, tmp_path: Path) -> "Ask":
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return Ask(system, server, tmp_path)


class Ask:
    def __init__(self, system: str, server: CiServer, directory: Path) -> None:
        self.system = system
        self.server = server
        self.directory = directory

    def __call__(self, **more: Any) -> BuildsOf:
        settings = self.server.settings(self.system)
        project = settings.pop(self.system)
        token = SecretReference("file", "token")
        values = {"project": project, "token": token, **settings, **more}
        return open_builds(Builds(self.system, **values), self.directory)


async def test_builds_the_newest_first_over_several_pages(ask: Ask) -> None:
    for number in range(1, 9):
        ask.server.add(number, "passed")
    found = await ask(version="v{number}-{short_sha}").recent(7)
    assert [build.number for build in found] == ["8", "7", "6", "5", "4", "3", "2"]
    newest = found[0]
    assert (newest.status, newest.commit, newest.author, newest.seconds) == (
        BuildStatus.PASSED,
        f"{8:040x}",
        "maya",
        150.0,
    )
    assert newest.version == "v8-0000000" + ("0" if ask.system == "gitlab" else "")
    assert newest.branch == "main"
    assert newest.started == "2026-11-29T10:00:00Z"
    assert newest.link.startswith("http")
    assert len(await ask().recent(100)) == 8, "fewer than were asked for: that is all of them"


async def test_every_status_is_one_of_ours(ask: Ask) -> None:
    for number, status in enumerate(BuildStatus, 1):
        ask.server.add(number, status)
    found = {int(build.number): build for build in await ask().recent(10)}
    known = {number: found[number].status for number, _ in enumerate(BuildStatus, 1)}
    wanted = dict(enumerate(BuildStatus, 1))
    if ask.system == "jenkins":
        wanted[1] = BuildStatus.RUNNING  # what waits there is no build yet
    assert known == wanted
    assert found[2].seconds is None, "it runs"


async def test_one_of_a_number_and_those_of_a_commit(ask: Ask) -> None:
    for number in range(1, 7):
        ask.server.add(number, "passed", commit=("ab" if number % 2 else "cd") * 20)
    builds = ask()
    found = await builds.build("2")
    assert found is not None
    assert (found.number, found.commit) == ("2", "cd" * 20)
    assert await builds.build("99") is None
    assert await builds.build("../../secret") is None
    assert [build.number for build in await builds.of_commit("ab" * 20)] == ["5", "3", "1"]
    assert await builds.of_commit("ef" * 20) == ()


async def test_only_of_the_branch_that_is_named(ask: Ask) -> None:
    for number in range(1, 7):
        ask.server.add(number, "passed", branch="main" if number % 2 else "feature/x")
    assert [build.number for build in await ask(branch="feature/x").recent(10)] == ["6", "4", "2"]


async def test_a_wrong_token_and_one_that_has_expired_are_named_and_never_shown(ask: Ask) -> None:
    ask.server.said_back = True
    (ask.directory / "token").write_text("hunter2-hunter2")
    with pytest.raises(NotPermitted, match="its token is wrong, or has expired") as told:
        await ask().recent(3)
    assert "Renew it where it is kept: file token" in str(told.value)
    assert "hunter2" not in "".join(traceback.format_exception(told.value))
    assert str(told.value).startswith(f"{ask.system} ")
    (ask.directory / "token").write_text(TOKEN)
    ask.server.expired = True
    with pytest.raises(NotPermitted, match=r"expired \(HTTP 401, Token is expired\)"):
        await ask().recent(3)


async def test_no_token_and_one_that_may_not(ask: Ask) -> None:
    if ask.system != "jenkins":  # which takes both or neither
        with pytest.raises(NotPermitted, match=r"it wants a token .* Give `builds` a token"):
            await ask(token=None).recent(3)
    ask.server.forbidden = True
    with pytest.raises(NotPermitted, match="its token may not do that"):
        await ask().recent(3)
    with pytest.raises(SecretUnavailable, match="the variable is not set"):
        await ask(token=SecretReference("env", "QD_NO_SUCH_VARIABLE")).recent(3)


async def test_a_project_that_there_is_not(ask: Ask) -> None:
    project = ask.server.url + "/job/other" if ask.system == "jenkins" else "gh/acme/other"
    project = "acme/other" if ask.system in ("github", "gitlab") else project
    with pytest.raises(BuildsUnknown, match=r"there is no such .*HTTP 404.*Check the project's name"):
        await ask(project=project).recent(3)
    with pytest.raises(BuildsUnknown, match="there is no such"):
        await ask(project=project).build("3")


async def test_who_is_asked_too_often_is_asked_again_or_told_when(ask: Ask) -> None:
    ask.server.add(1, "passed")
    ask.server.busy = 2
    assert len(await ask().recent(3)) == 1
    ask.server.busy = 1000
    with pytest.raises(BuildsUnknown, match=r"asked too often \(HTTP 429, Too many requests\)"):
        await ask().recent(3)
    ask.server.busy = 0
    if ask.system in ("github", "gitlab"):
        ask.server.reset = 2400
        with pytest.raises(BuildsUnknown, match=r"asked too often .* it answers again in (39|40) min"):
            await ask().recent(3)
        assert len(ask.server.asked) < 20, "nobody asks before that"


async def test_one_that_does_not_answer_and_one_that_drips(ask: Ask) -> None:
    ask.server.add(1, "passed")
    ask.server.silent.clear()
    with pytest.raises(Unreachable, match=r"no answer within 0\.3 s\. Nothing was changed"):
        await ask().recent(3, deadline=0.3)
    ask.server.silent.set()
    ask.server.drip = 0.05
    with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
        await ask(timeout=0.3).recent(3)


async def test_one_that_is_not_there(ask: Ask) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    where = {"project": f"{url}/job/api"} if ask.system == "jenkins" else {"url": url}
    with pytest.raises(Unreachable, match="no connection"):
        await ask(**where).recent(3, deadline=2)


async def test_an_answer_without_sense_and_one_without_an_end(ask: Ask) -> None:
    ask.server.huge = 5
    with pytest.raises(BuildsUnknown, match="none of its documented ones"):
        await ask().recent(3)
    ask.server.huge = 9 * 1024 * 1024
    with pytest.raises(BuildsUnknown, match="more than 8388608 bytes"):
        await ask().recent(3)


async def test_the_token_goes_to_its_own_server_alone(ask: Ask) -> None:
    with ci_server() as other:
        ask.server.moved = other.url
        with pytest.raises(BuildsUnknown, match="which leads elsewhere: check the url"):
            await ask().recent(3)
        assert other.asked == []
    http = {"project": "http://ci.example.com/job/api"} if ask.system == "jenkins" else {"url": "http://ci.example.com"}
    with pytest.raises(BuildsUnknown, match="over the network without encryption"):
        await ask(**http).recent(3)


async def test_words_of_others_are_cleaned(ask: Ask) -> None:
    ask.server.add(1, "passed", branch="ma\x1b[31min\n", author="ma\x1b]0;x\x07ya\u202e", commit="--upload-pack=x")
    (build,) = await ask().recent(3)
    assert (build.branch, build.author, build.commit) == ("main", "maya", "")


@pytest.mark.parametrize("system", ["github", "gitlab"], indirect=True)
async def test_a_next_page_on_another_server_is_not_asked(ask: Ask) -> None:
    for number in range(1, 9):
        ask.server.add(number, "passed")
    ask.server.elsewhere = True
    with pytest.raises(BackendError, match="on another server, which is not asked"):
        await ask().recent(8)


@pytest.mark.parametrize("system", ["github"], indirect=True)
async def test_a_workflow_of_github_s(ask: Ask) -> None:
    ask.server.add(1, "passed")
    assert len(await ask(workflow="build.yml").recent(3)) == 1
    with pytest.raises(BuildsUnknown, match="there is no such workflow, or no such repository"):
        await ask(workflow="other.yml").recent(3)


@pytest.mark.parametrize("system", ["circleci"], indirect=True)
async def test_the_newest_run_of_each_workflow_of_circleci_s_counts(ask: Ask) -> None:
    ask.server.add(1, "passed", workflows=[("build", "failed"), ("lint", "success"), ("build", "success")])
    ask.server.add(2, "passed", workflows=[("build", "success"), ("lint", "failed")])
    ask.server.add(3, "running", workflows=[("build", "success"), ("lint", "running")])
    statuses = {build.number: build.status for build in await ask().recent(3)}
    assert statuses == {"1": BuildStatus.PASSED, "2": BuildStatus.FAILED, "3": BuildStatus.RUNNING}
    (_, second, _) = await ask(workflow="build").recent(3)
    assert second.status is BuildStatus.PASSED
    (_, second, _) = await ask(workflow="none").recent(3)
    assert second.status is BuildStatus.UNKNOWN


@pytest.mark.parametrize("system", ["gitlab", "circleci"], indirect=True)
async def test_a_build_of_a_tag(ask: Ask) -> None:
    ask.server.add(1, "passed", tag="v1.4.0")
    ask.server.add(2, "passed")
    second, first = await ask(version="{tag}").recent(3)
    assert (first.tag, first.version, first.branch) == ("v1.4.0", "v1.4.0", "")
    assert second.version == "", "it has no tag, so it makes no version of that form"
