"""Hooks run once, and what comes after a success: the good and the bad are remembered, old releases go."""

import os
import time

import pytest

from quarterdeck.backends.errors import (
    CommandTimedOut,
)
from quarterdeck.config.model import (
    Hook,
)
from tests.contract.place import NO_SECRETS, Place


async def test_a_hook_gives_its_status_and_output_once(place: Place) -> None:
    release = await place.staged("v1", env={"A": "1"})
    command = 'echo "$A $B $QD_RELEASE $PWD"; echo once >>"$QD_SHARED/calls"; exit 3'
    hook = Hook(command)
    outcome = await place.connection.hook(hook, command, release, place.fence(), "1.1", extra_env={"B": "x 'y'"})
    home = place.path / "releases" / release.id
    assert (outcome.exit_status, outcome.output, outcome.replayed) == (3, f"1 x 'y' {release.id} {home}", False)
    again = await place.connection.hook(hook, command, release, place.fence(), "1.1", extra_env={"B": "x 'y'"})
    assert (again.exit_status, again.output, again.replayed) == (3, outcome.output, True)
    assert place.calls == ["once"]


async def test_a_hook_that_takes_too_long_is_ended(place: Place) -> None:
    release = await place.staged("v1")
    with pytest.raises(CommandTimedOut, match="after 1 s"):
        await place.connection.hook(Hook("", timeout=1), "sleep 600", release, place.fence(), "1.1")


async def test_finish_marks_good_and_keeps_what_must_be_kept(place: Place) -> None:
    releases = [await place.staged(f"v{number}") for number in range(8)]
    for index, release in enumerate(releases):  # staged one after the other: file times say so
        manifest = place.path / "releases" / release.id / "qd.manifest.json"
        os.utime(manifest, (1_700_000_000 + index, 1_700_000_000 + index))
    good, wanted, current = releases[0], releases[2], releases[1]
    await place.connection.switch(good, NO_SECRETS, place.fence(), "1.1")
    assert await place.connection.finish(good, [], place.fence(), "1.2", prune_to=100) == ()
    await place.connection.switch(current, NO_SECRETS, place.fence(), "1.3")
    removed = await place.connection.finish(current, [wanted.id], place.fence(), "1.4", prune_to=2)
    assert set(removed) == {release.id for release in releases[3:6]}
    facts = await place.connection.facts("test/web", str(place.path))
    assert {kept.release for kept in facts.kept} == {r.id for r in (good, wanted, current, *releases[6:])}
    assert facts.good == (good.id, current.id)
    assert place.left_over == []


async def test_a_release_that_was_left_because_it_was_bad_is_not_good_any_more(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    for number, release in enumerate((first, second), 1):
        await place.connection.switch(release, NO_SECRETS, place.fence(), f"1.{number}")
        await place.connection.finish(release, [], place.fence(), f"1.{number}f")
    await place.connection.switch(first, NO_SECRETS, place.fence(2), "2.1")
    await place.connection.finish(first, [], place.fence(2), "2.1f", bad=[second.id])
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.good, facts.bad) == ((first.id,), (second.id,))
    await place.connection.switch(second, NO_SECRETS, place.fence(3), "3.1")  # once more, by force, and it is well
    await place.connection.finish(second, [], place.fence(3), "3.1f")
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.good, facts.bad) == ((first.id, second.id), ())


async def test_finish_removes_what_was_cut_short_and_keeps_the_newest_outcomes(place: Place) -> None:
    release = await place.staged("v1")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    releases, outcomes = place.path / "releases", place.path / ".quarterdeck" / "ops"
    for name in (".removing-v0", ".staging-v0-old", ".staging-v2-under-way"):
        (releases / name / "tree").mkdir(parents=True)
    two_days_ago = time.time() - 2 * 86400
    os.utime(releases / ".staging-v0-old", (two_days_ago, two_days_ago))
    for number in range(1, 210):
        for name in (f"0.{number}", f"0.{number}.out"):
            (outcomes / name).write_text("status 0\ncomplete\n")
            os.utime(outcomes / name, (1_700_000_000 + number, 1_700_000_000 + number))
    await place.connection.finish(release, [], place.fence(), "1.2")
    assert place.left_over == [".staging-v2-under-way"]
    # The switch, this action and 198 others are kept.
    kept = {path.name.removesuffix(".out") for path in outcomes.iterdir()}
    assert kept == {"1.1", "1.2", *(f"0.{number}" for number in range(12, 210))}
