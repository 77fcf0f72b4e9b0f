"""What is larger than a Swarm takes: refused by the real one at these sizes, and by ours before anything changes."""

import base64
from collections.abc import Callable

import docker.errors
import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.hosts.swarm import calls, staging
from quarterdeck.config.container import ContainerFile, SecretFile
from tests.contract.places import NO_SECRETS
from tests.swarm import Swarm
from tests.swarm_field import Field

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def file(content: str, number: int = 0) -> ContainerFile:
    return ContainerFile(f"/etc/app-{number}.conf", content)


def taken(swarm: Swarm, kind: str) -> Callable[[int], bool]:
    """Whether the real Swarm takes a config, or a secret, of so many bytes."""

    def asked(size: int) -> bool:
        body = {"Name": f"of-{size}", "Labels": {}, "Data": base64.b64encode(b"x" * size).decode()}
        try:
            calls.post(swarm.any_api, f"/{kind}/create", body)
        except docker.errors.APIError:
            return False
        return True

    return asked


def test_the_limits_are_those_of_the_real_one(swarm: Swarm) -> None:
    """Configs of twice the size of secrets, and neither takes what is empty."""
    secret, config = taken(swarm, "secrets"), taken(swarm, "configs")
    most = staging.LARGEST_SECRET
    assert [secret(size) for size in (0, 1, most, most + 1)] == [False, True, True, False]
    assert [config(size) for size in (0, 1, 1_023_999, 1_024_000)] == [False, True, True, False]
    assert staging.LARGEST < 1_024_000, "so that no config is refused in the middle of the work"


async def test_large_configs_go_out_for_as_many_releases_as_are_remembered(swarm_field: Field) -> None:
    """Each just below our own bound: all that a Swarm keeps of them goes into one change of the register."""
    field = swarm_field
    releases = [field.release("v1", spec=field.spec(files=(file(f"{number:04}" * 35_000),))) for number in range(8)]
    for epoch, release in enumerate(releases, 1):
        await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
        await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.1", prune_to=8)
    facts = await field.facts()
    assert len([one for one in facts.kept if one.intact]) == 8
    outcome = await field.connection.switch(releases[0], NO_SECRETS, field.fence(9), "9.1")
    assert outcome.current == releases[0].id


@pytest.mark.parametrize(
    ("files", "values", "words", "advice"),
    [
        (("x" * 160_000,), {}, "kB (most of it /etc/app-0.conf), and a swarm is given 150 kB", "into the image"),
        (("x" * 80_000, "y" * 90_000), {}, "(most of it /etc/app-1.conf)", "into the image"),
        (("",), {}, "the config /etc/app-0.conf is empty", "leave it out"),
        ((), {"KEY": "x" * 512_000}, "the secret KEY has 512,000 bytes, and a swarm takes 1 to 511,999", "image"),
        ((), {"KEY": ""}, "the secret KEY has 0 bytes", "value"),
    ],
)
async def test_ours_refuses_it_before_anything_changes(
    swarm_field: Field, files: tuple[str, ...], values: dict[str, str], words: str, advice: str
) -> None:
    field = swarm_field
    spec = field.spec(
        files=tuple(file(content, number) for number, content in enumerate(files)),
        secrets=tuple(SecretFile(name, f"/run/secrets/{name}") for name in values),
    )
    release = field.release("v1", spec=spec, secrets=list(values))
    with pytest.raises(CommandFailed) as refused:
        await field.connection.stage(release, None, SecretValues(values), field.fence())
    assert words in refused.value.problem
    assert advice in refused.value.advice
    assert "x" * 100 not in str(refused.value)
    client = field.swarm.any_api
    assert (client.services(), client.configs(), client.secrets()) == ([], [], [])
