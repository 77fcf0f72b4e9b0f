"""What playgrounds have on a real Docker engine, by the engine's own word; and what somebody else has there."""

import pytest

from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.playground import Playground
from quarterdeck.backends.playground.container_image import IMAGE_LABEL, LABEL
from quarterdeck.backends.playground.layout import EngineHost
from tests.engine import DockerEngine


def use(monkeypatch: pytest.MonkeyPatch, engine: DockerEngine) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", "yes")


def of(engine: DockerEngine) -> dict[str, str]:
    """The same for a command."""
    return {"DOCKER_HOST": f"unix://{engine.socket}", "QD_PLAYGROUND_ENGINE": "yes"}


def left_on(engine: DockerEngine, word: str = "") -> set[str]:
    """All that tells by a label whose it is: the playground's with that word, or any playground's."""
    client = engine.client
    listed = {
        "container": [(one["Names"][0], one["Labels"]) for one in client.containers(all=True)],
        "image": [(str(one["RepoTags"] or one["Id"]), one["Labels"]) for one in client.images(all=True)],
        # What qd remembers of a target has a number at the end, which goes up.
        "volume": [(one["Name"].rpartition(".")[0], one["Labels"]) for one in client.volumes()["Volumes"] or []],
        "network": [(one["Name"], one["Labels"]) for one in client.networks()],
    }
    return {f"{kind} {name}" for kind, things in listed.items() for name, labels in things if whose(kind, labels, word)}


def whose(kind: str, labels: dict[str, str] | None, word: str) -> bool:
    held = labels or {}
    # A container inherits what its image has: it is whoever's made it.
    of_image = held.get(IMAGE_LABEL, "") if kind == "image" else ""
    words = {held.get(LABEL, ""), of_image, held.get(names.TARGET, "").removeprefix("dev/shop-")} - {""}
    return word in words if word else bool(words)


def engine_of(playground: Playground) -> EngineHost:
    assert playground.engine is not None, playground.without_engine
    return playground.engine


class Foreign:
    """What somebody else has on the engine, with names and labels that look as if they were a playground's."""

    def __init__(self, engine: DockerEngine) -> None:
        self._client = engine.client
        self._image = engine.image("playground-mine/shop:v1", changes=(f"LABEL {IMAGE_LABEL}=another",))
        self._container = engine.run(
            "playground-mine/shop:v1", "playground-mine-shop", labels={LABEL: "another", names.TARGET: "dev/shop"}
        )
        self._volume = self._client.create_volume("playground-mine", labels={names.TARGET: "dev/shop-another"})["Name"]
        self._network = self._client.create_network("playground-dev_default")["Id"]

    def assert_untouched(self) -> None:
        assert self._client.inspect_image(self._image)["RepoTags"] == ["playground-mine/shop:v1"]
        container = self._client.inspect_container(self._container)
        assert (container["State"]["Running"], container["RestartCount"]) == (True, 0)
        assert container["Name"] == "/playground-mine-shop"
        assert self._client.inspect_volume(self._volume)
        assert self._client.inspect_network(self._network)

    def remove(self) -> None:
        self._client.remove_container(self._container, force=True, v=True)
        self._client.remove_image(self._image, force=True)
        self._client.remove_volume(self._volume)
        self._client.remove_network(self._network)
