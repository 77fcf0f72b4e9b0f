"""What the doctor says of the routers in front of targets: real ones, with and without what they need."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.routers import HaproxyRouter
from quarterdeck.rollouts.doctor.findings import Finding, Verdict
from quarterdeck.rollouts.doctor.routers import examine_routers
from quarterdeck.rollouts.logs.merged import open_backend
from tests.backends.routers.running import KINDS
from tests.rollouts.routed_field import RoutedField, behind, written
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root]


@pytest.fixture(params=list(KINDS))
async def field(request: pytest.FixtureRequest, tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(KINDS[request.param](), tmp_path, sshd_fleet, count=1) as made:
        yield made


def doctor(field: RoutedField, status: int) -> dict[str, str]:
    found = json.loads(field.qd("doctor", "staging/web", "--json", status=status).stdout)["findings"]
    return {one["subject"]: f"{one['verdict']}: {one['sentence']}; {one['fix']}" for one in found}


async def test_each_kind_of_router_is_examined(field: RoutedField) -> None:
    found = doctor(field, 0)["router edge/api"]
    assert found.startswith("ok: ")
    field.router.kill()
    found = doctor(field, 6)["router edge/api"]
    assert found.startswith("fail: ")
    assert not found.endswith("; "), "each fault comes with its fix"


async def examined(field: RoutedField, router: HaproxyRouter) -> list[Finding]:
    field.extra = {"routers": {"edge": written(router)}, "environments": {"staging": {"hosts": [field.used[0].name]}}}
    path = field.file
    del field.router  # what is written is what is here
    field.write()
    fleet = load_fleet(path)
    return await examine_routers(open_backend(fleet), list(fleet.targets.values()))


@pytest.mark.parametrize("field", ["haproxy"], indirect=True)
async def test_a_router_without_the_services_configuration(field: RoutedField) -> None:
    router = field.router.router
    assert isinstance(router, HaproxyRouter)
    field.service["router"] = "edge/shop"
    found = await examined(field, router)
    assert {one.subject for one in found} == {"router edge/shop"}
    assert Verdict.FAIL in {one.verdict for one in found}
    assert all(one.fix for one in found)


@pytest.mark.parametrize("field", ["haproxy"], indirect=True)
async def test_a_router_on_a_host_that_nobody_reaches(field: RoutedField) -> None:
    router = field.router.router
    assert isinstance(router, HaproxyRouter)
    field.hosts[4].stop()
    try:
        (found,) = await examined(field, HaproxyRouter("edge", field.hosts[4].name, router.socket, router.files))
    finally:
        field.hosts[4].start()
    assert (found.verdict, found.unreachable, found.subject) == (Verdict.FAIL, True, "router edge/api")
    assert f"edge on {field.hosts[4].name}" in found.sentence
