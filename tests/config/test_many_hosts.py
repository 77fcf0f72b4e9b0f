"""Fleet files of thousands of hosts: read whole, with the same faults found as in small ones, and no more of them than anybody can have."""

from pathlib import Path

import pytest

from quarterdeck.config.load import FleetFileErrors, load_fleet


def write(directory: Path, hosts: int, services: int, *, path: str = "/srv/{service}", extra: str = "") -> Path:
    """Every service on every host, in two environments that share all hosts but have paths of their own."""
    names = [f"web-{number}" for number in range(hosts)]
    lines = ["fleet: large", "hosts:", *(f'  {name}: {{ssh: "deploy@{name}"}}' for name in names)]
    lines += ["environments:", f"  production: {{hosts: [{', '.join(names)}]}}", "services:"]
    for number in range(services):
        lines.append(
            f"  s{number}: {{artifact: {{tarball: /a/x.tar.gz}}, path: '{path}', commands: {{start: a, stop: b}}}}"
        )
    file = directory / "fleet.yml"
    file.write_text("\n".join(lines) + f"\n{extra}")
    return file


def test_the_hosts_of_an_environment_are_shared_by_its_targets(tmp_path: Path) -> None:
    fleet = load_fleet(write(tmp_path, 2000, 40))
    hosts = {id(target.hosts) for target in fleet.targets.values()}
    assert (len(fleet.targets), len(hosts)) == (40, 1)
    assert len(fleet.targets["production/s7"].hosts) == 2000


def test_a_directory_that_two_targets_have_is_found_on_the_hosts_that_both_have(tmp_path: Path) -> None:
    extra = "  last: {artifact: {tarball: /a/x.tar.gz}, path: /srv/s3/shared, commands: {start: a, stop: b}}\n"
    with pytest.raises(FleetFileErrors) as caught:
        load_fleet(write(tmp_path, 300, 5, extra=extra))
    told = [problem.message for problem in caught.value.problems]
    assert any("production/last and production/s3 are both in /srv/s3/shared on web-0" in one for one in told)


def test_a_machine_that_an_environment_has_twice_is_found(tmp_path: Path) -> None:
    file = write(tmp_path, 300, 2)
    file.write_text(file.read_text().replace('web-299: {ssh: "deploy@web-299"}', 'web-299: {ssh: "root@web-17"}'))
    with pytest.raises(FleetFileErrors) as caught:
        load_fleet(file)
    told = [problem.message for problem in caught.value.problems]
    assert any("production has the machine web-17 twice, so /srv/s0 too" in one for one in told)


def test_more_services_on_hosts_than_anybody_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetFileErrors, match="more than 1000000 services on hosts"):
        load_fleet(write(tmp_path, 5001, 200))
