"""What docs/routers.md says of the kinds of routers is what the code says of itself."""

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.routers.contract import Ability, RouterConnection
from quarterdeck.backends.routers.opening import open_router
from quarterdeck.config.model import Host
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Router
from tests.backends.routers.running import DOCUMENT, ROUTED

ROWS = {
    Ability.AFFINITY: "a client keeps to its slot",
    Ability.WITHOUT_RELOAD: "a change |",
    Ability.CHECKS: "asks its servers itself",
    Ability.IN_FLIGHT: "tells requests in flight",
    Ability.CUTS: "cuts what is left",
    Ability.STATISTICS: "counts for each slot",
    Ability.TIMES: "tells how long each request took",
    Ability.RUNNING_READ_BACK: "tells what it runs",
    Ability.RESCUE: "a slot without live servers",
    Ability.PERSISTENT: "keeps it over a restart",
}
LACKS = ("no", "reload")  # how a cell begins that says so


def opened(router: Router) -> RouterConnection:
    return open_router(router, ROUTED, Hosts(), {})


def test_the_table_of_abilities() -> None:
    assert set(ROWS) == set(Ability)
    kinds = [
        opened(HaproxyRouter("edge")),
        opened(NginxRouter("edge", status="127.0.0.1:1")),
        opened(CaddyRouter("edge")),
    ]
    lines = DOCUMENT.read_text().splitlines()
    for ability, begin in ROWS.items():
        (row,) = [line for line in lines if line.startswith(f"| {begin}")]
        cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
        said = [not cell.startswith(LACKS) for cell in cells]
        assert said == [ability in kind.abilities for kind in kinds], row
    (steps,) = [line for line in lines if line.startswith("| steps of a share")]
    assert [cell.strip() for cell in steps.strip("|").split("|")[1:]] == [
        f"{kind.share_step / 100:g} %" for kind in kinds
    ]


def test_a_host_that_ssh_does_not_reach() -> None:
    with pytest.raises(BackendError, match=r"edge on lb-1: open the router: there is no such host"):
        open_router(HaproxyRouter("edge", "lb-1"), ROUTED, Hosts(), {})
    engine = {"lb-1": Host("lb-1", docker="unix:///var/run/docker.sock")}
    with pytest.raises(BackendError, match="that host is an engine"):
        open_router(HaproxyRouter("edge", "lb-1"), ROUTED, Hosts(), engine)
