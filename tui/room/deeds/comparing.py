"""What differs between two releases of a target, or between two environments, over the whole screen."""

import asyncio
import difflib

from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow
from quarterdeck.rollouts.commits import UNASKED, Between, between
from quarterdeck.rollouts.differences.environments import EnvironmentsDifference, compare_environments
from quarterdeck.rollouts.differences.releases import compare
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.aside import aside
from quarterdeck.tui.room.cards.reading import difference_card, environments_card
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.panes.diff import pair_of

MOST = 500  # releases among which a version is looked for
DEADLINE = 60.0  # seconds for git, which nobody has to wait for


async def _diff(room: Room, words: Words) -> None:
    """Of what runs and the way back, or of the two versions (or releases) that were typed."""
    target = room.target_in(words)
    if target is None:
        raise Refused("no target is chosen", "choose one in the matrix")
    if len(words) == 2:
        raise Refused("diff takes two versions, or none", f"for instance: diff {target} v1 v2")
    seen = room.picture.targets.get(target)
    pair = (words[1], words[2]) if len(words) > 2 else (pair_of(seen) if seen is not None else None)
    if pair is None:
        raise Refused(f"{target} has no two releases to compare", "there is no way back yet")

    def read(journal: Journal) -> tuple[Release, Release]:
        rows = journal.releases(target, limit=MOST)
        return _named(rows, target, pair[0]).release, _named(rows, target, pair[1]).release

    before, after = await room.desk.ask(read)
    difference = compare(before, after)
    if target.partition("/")[2] not in room.fleet.sources:
        room.push_screen(difference_card(target, difference))
        return
    if room.opening.read_only:  # asking git fetches into the state directory
        room.push_screen(difference_card(target, difference, Between(fault=UNASKED)))
        return
    card = difference_card(target, difference, Between(fault="git is asked .."))
    room.push_screen(card)
    asked = asyncio.create_task(aside(lambda: between(room.fleet, before, after, deadline=DEADLINE)))

    def answered(task: "asyncio.Task[Between | None]") -> None:
        if task.cancelled() or not card.is_attached:
            return
        error = task.exception()
        found = Between(fault=f"commits not known: {error}") if error is not None else task.result()
        card.rows = difference_card(target, difference, found).rows
        card.renew()

    asked.add_done_callback(answered)


def _named(rows: list[ReleaseRow], target: str, word: str) -> ReleaseRow:
    """By id or by version; of several with that version the one that worked. Raises Refused with the nearest names."""
    exact = next((row for row in rows if row.id == word), None)
    matches = [row for row in rows if row.release.version == word]
    found = exact or next((row for row in matches if row.verdict == "good"), next(iter(matches), None))
    if found is None:
        nearest = difflib.get_close_matches(word, [row.release.version for row in rows], n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(dict.fromkeys(nearest))}" if nearest else "view 8 lists what there is"
        raise Refused(f"{target} has no release {word!r}", hint)
    return found


async def _env_diff(room: Room, words: Words) -> None:
    """Of two environments that were typed; else of the chosen target's and the one before it, of its service alone."""
    fleet, service = room.fleet, None
    if len(words) == 1:
        raise Refused("env-diff takes two environments, or none", f"for instance: env-diff {words[0]} production")
    if words:
        before, after = words[0], words[1]
    else:
        target = fleet.targets.get(room.place.target or "")
        if target is None:
            raise Refused("no target is chosen", "choose one in the matrix, or: env-diff staging production")
        after, service = target.environment, target.service
        preview = fleet.environments[after].preview
        before = (preview.origin if preview is not None else fleet.environments[after].after) or next(
            (name for name in fleet.environments if name != after and f"{name}/{service}" in fleet.targets), ""
        )
        if not before:
            raise Refused(f"there is no environment to compare {after} with")
    if before == after:
        raise Refused(f"{before} does not differ from itself", "name two environments")

    def read(journal: Journal) -> EnvironmentsDifference:
        return compare_environments(fleet, journal, before, after, service)

    room.push_screen(environments_card(await room.desk.ask(read), service, room.size.width - 4))


HANDLERS: dict[str, Handler] = {"diff": _diff, "env-diff": _env_diff, "env-diff-here": _env_diff}
