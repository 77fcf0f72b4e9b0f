"""A target or environment is found by its name, and a wrong name by what it is like; so is the fleet file itself."""

from pathlib import Path

import pytest

from quarterdeck.config.locate import NoFleetFile, locate_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.names import UnknownName, find_environment, find_target
from tests.config.conftest import Load


@pytest.fixture
def fleet(load: Load) -> Fleet:
    service = "{{artifact: {{tarball: x}}, path: /srv/{0}, unit: {0}.service}}"
    return load(
        f"""
        fleet: acme
        hosts: {{a: {{ssh: a}}, b: {{ssh: b}}}}
        environments: {{staging: {{hosts: [a]}}, production: {{hosts: [b]}}}}
        services:
          api: {service.format("api")}
          worker: {service.format("worker")[:-1]}, environments: {{staging: null}}}}
        """
    )


def test_a_known_target(fleet: Fleet) -> None:
    assert find_target(fleet, "production/worker").service == "worker"
    assert [target.name for target in find_environment(fleet, "production")] == ["production/api", "production/worker"]


@pytest.mark.parametrize(
    ("name", "nearest", "why"),
    [
        ("production/apii", "production/api", "there is no service 'apii'"),
        ("prodution/api", "production/api", "there is no environment 'prodution'"),
        ("PRODUCTION/API", "production/api", "there is no environment"),
        ("api", "staging/api", "a target is written environment/service"),
        ("worker", "production/worker", "a target is written environment/service"),
        ("wroker", "production/worker", "a target is written environment/service"),
        ("staging/worker", "production/worker", "the fleet file says that worker is not in staging"),
        ("", "staging/api", "a target is written environment/service"),
    ],
)
def test_an_unknown_target_names_what_is_near(name: str, nearest: str, why: str, fleet: Fleet) -> None:
    with pytest.raises(UnknownName) as caught:
        find_target(fleet, name)
    assert caught.value.nearest[0] == nearest
    assert caught.value.name == name
    assert why in str(caught.value)
    assert nearest in str(caught.value)


def test_an_unknown_environment(fleet: Fleet) -> None:
    with pytest.raises(UnknownName, match="there is no environment 'stagin'; did you mean staging"):
        find_environment(fleet, "stagin")


def test_which_fleet_file_is_meant(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    settings = home / ".config" / "quarterdeck" / "fleet.yml"
    settings.parent.mkdir(parents=True)
    work.mkdir()
    variables = {"HOME": str(home)}
    with pytest.raises(NoFleetFile) as caught:
        locate_fleet(environment=variables, directory=work)
    assert caught.value.places == (work / "fleet.yml", settings)
    settings.touch()
    assert locate_fleet(environment=variables, directory=work) == settings
    (work / "fleet.yml").touch()
    assert locate_fleet(environment=variables, directory=work) == work / "fleet.yml"
    variables["QD_FLEET"] = "elsewhere.yml"
    assert locate_fleet(environment=variables, directory=work) == Path("elsewhere.yml")
    assert locate_fleet("named.yml", environment=variables, directory=work) == Path("named.yml")
    assert locate_fleet(environment={**variables, "QD_FLEET": ""}, directory=work) == work / "fleet.yml"
