"""Where ``qd exec`` runs a command, by what is given as a host's name: of a swarm also one of its tasks."""

import pytest

from quarterdeck.config.model import Artifact, Host, Runner, Target
from quarterdeck.rollouts.executing import Place, place_named
from quarterdeck.rollouts.refusals import UnknownPart

SWARM = Host("swarm", swarm=("ssh://n1", "ssh://n2"))
ODD = Host("a@b:2", swarm=("ssh://n3",))
WEB = Host("web-1", ssh="web-1")
TARGET = Target("staging", "api", (SWARM, ODD, WEB), "", Artifact(image="registry.acme.io/api"), Runner())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("swarm", Place(SWARM)),
        ("swarm:2", Place(SWARM, "2")),
        ("swarm@n1.internal", Place(SWARM, "@n1.internal")),
        ("web-1", Place(WEB)),
        ("a@b:2", Place(ODD)),  # a host that is called so
    ],
)
def test_a_host_or_a_task_of_a_swarm_is_meant(name: str, place: Place) -> None:
    assert place_named(TARGET, name) == place
    assert place.name == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web-2", "has no host web-2"),
        ("swarn:2", "has no host swarn:2"),
        ("web-1:2", "web-1 is no swarm: it has no task 2"),
        ("web-1@n1", "web-1 is no swarm"),
        ("swarm:0", "0 is no slot"),
        ("swarm:x", "x is no slot"),
        ("swarm:²", "² is no slot"),
        ("swarm:", "names no task"),
        ("swarm@", "names no task"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong_about_it(name: str, words: str) -> None:
    with pytest.raises(UnknownPart, match=words):
        place_named(TARGET, name)
