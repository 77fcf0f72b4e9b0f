"""Hooks run once, in the release's own container or in one beside it; what nobody goes back to is removed, and nothing else."""

import asyncio

import pytest

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, Fenced
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import ContainerFile, Mount, PublishedPort, SecretFile, Volume
from quarterdeck.config.model import Hook
from tests.backends.docker.conftest import until
from tests.boxes import NO_SECRETS, Box
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]


async def test_a_hook_of_what_does_not_run_has_a_container_of_its_own(box: Box) -> None:
    port = free_port("127.0.0.1")
    spec = box.spec(
        ports=(PublishedPort(8080, str(port), "127.0.0.1"),),
        files=(ContainerFile("/etc/app.conf", "conf"),),
        secrets=(SecretFile("KEY", "/run/secrets/KEY"),),
    )
    release = box.release("1", spec=spec, env={"A": "1"}, secrets=["KEY"])
    await box.connection.stage(release, None, SecretValues({"KEY": "secret"}), box.fence())
    command = 'echo "$A $B $QD_RELEASE $(cat /etc/app.conf /run/secrets/KEY)"; echo err >&2; exit 3'
    outcome = await box.connection.hook(Hook(command), command, release, box.fence(), "1.1", extra_env={"B": "x 'y'"})
    assert (outcome.exit_status, outcome.replayed) == (3, False)
    assert sorted(outcome.output.split("\n")) == ["", f"1 x 'y' {release.id} confsecret", "err"]
    again = await box.connection.hook(Hook(command), command, release, box.fence(), "1.1")
    assert (again.exit_status, again.output, again.replayed) == (3, outcome.output.replace("secret", "****"), True)
    assert [*box.containers()] == [f"{box.name}.{release.id}"]


async def test_what_a_hook_says_of_secrets_is_recorded_without_them(box: Box) -> None:
    """Whoever may use the engine can read its labels."""
    spec = box.spec(secrets=(SecretFile("FILE", "/run/secrets/FILE"),))
    release = box.release("1", spec=spec, secrets=["KEY", "FILE"])
    values = SecretValues({"KEY": "canary-of-a-variable", "FILE": "canary-of-a-file"})
    await box.connection.stage(release, None, values, box.fence())
    command = 'echo "$KEY $(cat /run/secrets/FILE)"'
    first = await box.connection.hook(Hook(command), command, release, box.fence(), "1.1")
    assert first.output == "canary-of-a-variable canary-of-a-file\n"  # the worker masks it by itself
    await box.connection.switch(release, NO_SECRETS, box.fence(), "1.2")
    await box.connection.hook(Hook(command), command, release, box.fence(), "1.3")
    again = await box.connection.hook(Hook(command), command, release, box.fence(), "1.1")
    assert (again.output, again.replayed) == ("**** ****\n", True)
    found = box.engine.client.volumes(filters={"label": [f"dev.quarterdeck.target={box.target}"]})
    assert "canary" not in str(found)


async def test_a_hook_of_what_runs_is_run_in_it_and_once(box: Box) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    command = "echo once >>/tmp/calls; cat /tmp/calls; exit 4"
    for replayed in (False, True):
        outcome = await box.connection.hook(Hook(command), command, release, box.fence(), "1.2")
        assert (outcome.exit_status, outcome.output, outcome.replayed) == (4, "once\n", replayed)


@pytest.mark.parametrize("live", [True, False])
async def test_a_hook_that_takes_too_long_is_ended(box: Box, live: bool) -> None:
    release = await box.staged("1")
    if live:
        await box.live(release, "1.1")
    before = set(box.containers())
    with pytest.raises(CommandTimedOut, match="after 1 s"):
        await box.connection.hook(Hook("", timeout=1), "sleep 600", release, box.fence(), "1.2")
    assert set(box.containers()) == before
    with pytest.raises(CommandTimedOut, match="recorded"):
        await box.connection.hook(Hook("", timeout=1), "sleep 600", release, box.fence(), "1.2")


@pytest.mark.parametrize(("command", "status"), [("exit 124", 124), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
async def test_a_hook_that_ends_early_with_the_status_of_one_that_took_too_long_is_told_with_its_own(
    box: Box, command: str, status: int
) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    outcome = await box.connection.hook(Hook("", timeout=60), command, release, box.fence(), "1.2")
    assert outcome.exit_status == status


async def _its_hook(box: Box) -> str:
    """The container that a hook has of its own, once it runs."""

    def running() -> list[str]:
        return [name for name in box.containers(running=True) if ".hook-" in name]

    await until(running, "the hook runs", 60)
    (name,) = running()
    return name


async def test_a_hook_that_somebody_stops_is_no_success(box: Box) -> None:
    """Also where its program ends with 0 then, as many do at their stop signal. Seen to be told as done with the service's own one."""
    release = await box.staged("1")
    command = "trap 'exit 0' TERM; echo begun; sleep 60 & wait"
    going = asyncio.create_task(box.connection.hook(Hook("", timeout=120), command, release, box.fence(), "1.1"))
    name = await _its_hook(box)
    await until(lambda: b"begun" in box.engine.client.logs(name), "its trap is set", 60)
    await asyncio.to_thread(box.engine.client.stop, name)
    with pytest.raises(CommandFailed, match="was killed before it had ended") as caught:
        await going
    assert (caught.value.exit_status, caught.value.output) == (None, "begun\n")
    assert not isinstance(caught.value, CommandTimedOut)
    assert [*box.containers()] == [f"{box.name}.{release.id}"]


async def test_nobody_is_led_to_a_hooks_own_container_by_the_services_labels(box: Box) -> None:
    release = await box.staged("1", spec=box.spec(labels={"traefik.enable": "true"}))
    assert box.inspect(f"{box.name}.{release.id}")["Config"]["Labels"]["traefik.enable"] == "true"
    command = "while ! test -e /tmp/go; do sleep 0.1; done"
    going = asyncio.create_task(box.connection.hook(Hook("", timeout=120), command, release, box.fence(), "1.1"))
    name = await _its_hook(box)
    labels = box.inspect(name)["Config"]["Labels"]
    client = box.engine.client
    client.exec_start(client.exec_create(name, ["touch", "/tmp/go"])["Id"])
    assert (await going).exit_status == 0
    assert "traefik.enable" not in labels
    assert labels["dev.quarterdeck.target"] == box.target


async def test_a_hook_of_what_is_not_there_is_refused_untouched(box: Box) -> None:
    with pytest.raises(CommandFailed, match="is not on the host") as caught:
        await box.connection.hook(Hook("true"), "true", box.release("1"), box.fence(), "1.1")
    assert caught.value.untouched


async def test_old_containers_go_then_old_images_and_never_what_is_to_be_kept(box: Box) -> None:
    releases = [box.release(str(number), image={"name": "many"}) for number in range(6)]
    first = releases[0]
    await box.live(first, "1.0")
    assert await box.connection.finish(first, [], box.fence(), "1.0f", prune_to=100, warm=100) == ()
    for number, release in enumerate(releases[1:], 1):
        await box.live(release, f"1.{number}")
    current, wanted = releases[5], releases[2]
    removed = await box.connection.finish(current, [wanted.id], box.fence(), "1.f", prune_to=1, warm=1)
    # first: the last good one; wanted: asked for; 4: the newest other. 1 and 3 are what nobody goes back to.
    assert set(removed) == {releases[1].id, releases[3].id}
    facts = await box.connection.facts(box.target, "", current)
    assert {one.release: one.warm for one in facts.kept} == {
        first.id: True,
        wanted.id: True,
        releases[4].id: False,  # its image is there, its container went: two others are kept warm already
        current.id: True,
    }
    assert all(one.intact for one in facts.kept)
    assert facts.good == (first.id, current.id)
    there = {name for image in box.engine.client.images() for name in image.get("RepoDigests") or []}
    for number, release in enumerate(releases):
        assert (release.artifact.location in there) == (number not in (1, 3)), number
    # What has an image and no container any more is made anew from it, without the registry.
    outcome = await box.connection.switch(releases[4], NO_SECRETS, box.fence(2), "2.1")
    if outcome.beside:
        outcome = await box.connection.retire(releases[4], box.fence(2), "2.2")
    assert outcome.current == releases[4].id
    assert box.running == [releases[4].id]


async def test_manifests_that_a_pruned_register_has_lost_come_back_from_the_containers(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    for name in box.registers():
        box.engine.client.remove_volume(name)
    await box.connection.finish(second, [], box.fence(), "1.3", warm=0)
    facts = await box.connection.facts(box.target, "", second)
    assert {one.release: (one.intact, one.warm) for one in facts.kept} == {
        first.id: (True, False),
        second.id: (True, True),
    }


async def test_an_image_that_another_target_needs_stays(box: Box) -> None:
    other = Box(box.engine, box.registry, box.connection)
    try:
        mine, theirs = box.release("1", image={"name": "shared"}), other.release("1", image={"name": "shared"})
        assert mine.artifact == theirs.artifact
        await other.live(theirs, "1.0")
        other.engine.client.remove_container(other.name, force=True)  # only its register tells that it needs it
        await box.live(mine, "1.1")
        second = box.release("2", image={"name": "shared"})
        await box.live(second, "1.2")
        await box.connection.finish(second, [], box.fence(), "1.3", prune_to=0, warm=0)
        assert box.engine.client.inspect_image(mine.artifact.location)
        facts = await other.connection.facts(other.target, "", theirs)
        assert [(one.release, one.intact, one.warm) for one in facts.kept] == [(theirs.id, True, False)]
    finally:
        other.clear()


async def test_anonymous_volumes_go_and_named_ones_stay(box: Box) -> None:
    named = f"{box.name}_data"
    spec = box.spec(mounts=(Mount("volume", "/anonymous"), Mount("volume", "/data", named)), volumes=(Volume(named),))
    first, second = box.release("1", spec=spec), box.release("2", spec=spec)
    client = box.engine.client
    try:
        await box.live(first, "1.1")
        mounts = {one["Destination"]: one["Name"] for one in box.inspect(box.name)["Mounts"]}
        await box.live(second, "1.2")
        await box.connection.finish(second, [], box.fence(), "1.3", prune_to=0, warm=0)
        left = {one["Name"] for one in client.volumes()["Volumes"]}
        assert mounts["/anonymous"] not in left
        assert named in left
    finally:
        box.engine.remove_containers()
        client.remove_volume(named)


async def test_what_was_cut_short_is_removed_and_what_is_not_ours_stays(box: Box) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    image = box.engine.image("foreign:1")
    foreign = box.engine.run(image, f"{box.name}.foreign", labels={"dev.quarterdeck.target": "test/another"})
    labels = {"dev.quarterdeck.target": box.target}
    box.engine.client.create_container(image, name=f"{box.name}.x.making-1", labels=labels)
    carrier = {**labels, "dev.quarterdeck.role": "carrier"}
    box.engine.client.create_container(image, name=f"{box.name}.carrier", labels=carrier)
    await box.connection.finish(release, [], box.fence(), "1.2")
    assert [*box.containers()] == [box.name]
    assert box.inspect(foreign)["State"]["Running"]


async def test_the_bad_are_not_good_and_an_old_worker_finishes_nothing(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    for number, release in enumerate((first, second), 1):
        await box.live(release, f"1.{number}")
        await box.connection.finish(release, [], box.fence(), f"1.{number}f")
    await box.live(first, "2.1", epoch=2)
    await box.connection.finish(first, [], box.fence(2), "2.1f", bad=[second.id])
    facts = await box.connection.facts(box.target, "")
    assert (facts.good, facts.bad) == ((first.id,), (second.id,))
    with pytest.raises(Fenced):
        await box.connection.finish(second, [], box.fence(1), "1.9", prune_to=0)
