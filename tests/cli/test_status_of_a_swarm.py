"""`qd status` of a target on a Swarm: counted by its tasks; each of them and of the nodes in a line where one target is asked for."""

from tests.cli.qd_command import Qd
from tests.room.swarmed import NO_NODE, fill_swarmed, fleet_text


def test_it_says_what_runs_where_and_what_waits_for_what(qd: Qd) -> None:
    fill_swarmed(qd.state)
    qd.fleet_file.write_text(fleet_text(qd.state))
    every = qd.inside("status", "--cached").stdout
    rows = {line.split()[0]: line.split() for line in every.splitlines() if line.startswith("production/")}
    assert {name: row[5] for name, row in rows.items()} == {
        "production/shop": "5/6",
        "production/cart": "2/2",
        "production/agent": "1/2",
        "production/proxy": "1/1",
    }
    assert "node node-1" not in every
    one = qd.inside("status", "--cached", "production/shop").stdout.splitlines()
    assert "  = task 1 on node-1: 1.9.0, running" in one
    assert f"  ~ task 4: 1.9.0, pending: {NO_NODE}" in one
    assert "  x node node-3: down, active, manager, 1 task of production/shop" in one
    agent = qd.inside("status", "--cached", "production/agent").stdout
    assert "production/agent on swarm-eu: v3, unknown, 1 of 2 tasks run" in agent


def test_the_way_back_is_closed_by_a_registry_and_by_no_host(qd: Qd) -> None:
    fill_swarmed(qd.state)
    qd.fleet_file.write_text(fleet_text(qd.state))
    told = qd.inside("ready", "--cached", "production/cart").stdout
    assert "swarm-eu: the image of v6 can't be fetched: its registry does not answer, or has it no more" in told
    assert "no copy" not in told
