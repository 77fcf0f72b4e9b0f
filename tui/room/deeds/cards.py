"""What changes something: every capital opens a card, or asks the rollout that is under way.

A key acts on what is chosen when it is pressed; a `:` command on what it names. Both come through here.
"""

import difflib
from collections.abc import Awaitable, Callable

from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.closely import Closely, look_closely, ways_on
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.versions import KnownVersion, known_versions
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.card import Card
from quarterdeck.tui.room.cards.approval import ApprovalCard
from quarterdeck.tui.room.cards.deploy import DeployCard
from quarterdeck.tui.room.cards.drill import DrillCard
from quarterdeck.tui.room.cards.freeze import FreezeCard
from quarterdeck.tui.room.cards.from_build import Wanted, ask_for_build, names_build
from quarterdeck.tui.room.cards.picker import VersionPicker
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.cards.under_way import AbortCard, WaysOnCard, carry_on
from quarterdeck.tui.room.cards.words import NoteCard
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.overview.worst import words_wanted

ROLLOUT_PANES = frozenset({"rollout-list", "rollout", "rollouts"})


async def _rollback(room: Room, words: Words) -> None:
    target = room.target_in(words)
    if target is None:
        room.say("there is no target to roll back")
    elif len(words) > 1:
        room.carry_out("rollback", _rollback_to(room, target, words[1]))
    else:
        room.push_screen(RollbackCard(target, room.picture.targets.get(target)))


async def _rollback_to(room: Room, target: str, version: str) -> None:
    """Raises Refused with the nearest names when the target never had this version or release."""
    fleet = room.fleet

    def read(journal: Journal) -> tuple[KnownVersion, ...]:
        return known_versions(journal, fleet, target)

    here = [known for known in await room.desk.ask(read) if known.release is not None]
    names = {known.version for known in here} | {str(known.release) for known in here}
    if version not in names:
        near = difflib.get_close_matches(version, sorted(names), n=3, cutoff=0.3)
        hint = f"did you mean {' or '.join(near)}?" if near else "v in the card shows what there is"
        raise Refused(f"{target} has no release {version!r}", hint)
    room.push_screen(RollbackCard(target, room.picture.targets.get(target), version))


async def _drill(room: Room, words: Words) -> None:
    target = room.target_in(words)
    if target is None:
        room.say("there is no target whose rollback could be practised")
    else:
        room.push_screen(DrillCard(target, room.picture.targets.get(target)))


async def _deploy(room: Room, words: Words) -> None:
    target = room.target_in(words)
    if target is None:
        room.say("there is no target to deploy to")
        return
    before = room.picture.targets.get(target)

    def take(version: str) -> None:
        if names_build(version):
            ask_for_build(room, target, version, show)
        else:
            show(Wanted(version))

    def show(wanted: Wanted) -> None:
        room.push_screen(DeployCard(target, before, wanted))

    if len(words) > 1:
        take(words[1])
    else:
        room.push_screen(VersionPicker(target, take, typed=True))


def meant(room: Room, words: Words) -> int | None:
    """The rollout that is meant: the one that was typed (its number or its target), the chosen one in a list of rollouts,
    else the one that is under way on the chosen target, or was the last. None: there is none, and that was said."""
    if words and (number := words[0].removeprefix("#")).isdecimal():
        return int(number)
    pane = room.focused_pane
    in_list = room.place.view == "rollouts" or (pane is not None and pane.name_of in ROLLOUT_PANES)
    if not words and in_list and room.chosen_rollout is not None:
        return room.chosen_rollout
    target = room.target_in(words)
    seen = room.picture.targets.get(target or "")
    if seen is not None and seen.moving is not None:
        return seen.moving.id
    if seen is not None and seen.last is not None:
        return seen.last.id
    room.say(f"nothing was ever rolled out on {target}" if target else "no rollout is chosen")
    return None


def _on_rollout(title: str, work: Callable[[Room, Closely], Awaitable[None]]) -> Handler:
    """Which one is decided when the key is pressed; how it stands is asked of the journal, beside the screen."""

    async def look_and_work(room: Room, id: int) -> None:
        await work(room, await room.desk.ask(lambda journal: look_closely(journal, id)))

    async def handler(room: Room, words: Words) -> None:
        id = meant(room, words)
        if id is not None:
            room.carry_out(title, look_and_work(room, id))

    return handler


def _card(make: Callable[[int, str], Card]) -> Handler:
    """A card opens at once where the picture knows the rollout: what is typed behind the key is typed into the card."""

    async def open_one(room: Room, id: int) -> None:
        rollout = await room.desk.ask(lambda journal: journal.rollout(id))
        room.push_screen(make(id, rollout.target))

    async def handler(room: Room, words: Words) -> None:
        id = meant(room, words)
        if id is None:
            return
        seen = room.picture.rollout(id)
        if seen is not None:
            room.push_screen(make(id, seen.rollout.target))
        else:
            room.carry_out("open the card", open_one(room, id))

    return handler


async def _pause(room: Room, seen: Closely) -> None:
    if seen.ended:
        state = str(seen.rollout.state).replace("_", " ")
        raise Refused(f"rollout {seen.rollout.id} of {seen.rollout.target} has ended: {state}")
    await room.asked.ask(seen.rollout.id, "pause", seen.under_way.seq if seen.under_way is not None else None)


def _way(kind: str) -> Handler:
    """The word alone does it: who types `:resume 12` has said which one and what."""

    async def ask(room: Room, seen: Closely) -> None:
        ways, why = ways_on(seen)
        way = next((way for way in ways if way.kind == kind), None)
        if way is None:
            possible = " or ".join(dict.fromkeys(way.kind for way in ways))
            refused = why or f"rollout {seen.rollout.id} can't {kind} now"
            raise Refused(refused, f"what makes sense: {possible}" if possible else "")
        await carry_on(room, seen, way)

    return _on_rollout(kind, ask)


async def _approve(room: Room, words: Words) -> None:
    if words:
        await _card(ApprovalCard)(room, words)
        return
    chosen = room.place.rollout if room.place.view == "rollouts" else None
    here = words_wanted(room.picture, room.target_in(words), chosen)
    if here is None:
        room.say("nothing waits for an approval")
        return
    room.push_screen(ApprovalCard(here.id, here.rollout.target))


async def _freeze(room: Room, words: Words) -> None:
    if words and words[0] in room.fleet.environments:
        room.push_screen(FreezeCard(words[0]))
        return
    target = room.target_in(words)
    if target is None:
        room.say("there is no target, and no environment to show freezes of")
        return
    room.push_screen(FreezeCard(target.partition("/")[0]))


async def _note(room: Room, words: Words) -> None:
    rollout = room.chosen_rollout if room.place.view == "rollouts" else None
    target = room.place.target
    if rollout is not None and (seen := room.picture.rollout(rollout)) is not None:
        target = seen.rollout.target
    if words:
        room.carry_out("note", _write_note(room, " ".join(words), target, rollout))
    else:
        room.push_screen(NoteCard(target, rollout))


async def _flag_off(room: Room, words: Words) -> None:
    if len(words) < 2:
        flags = ", ".join(room.fleet.flags) or "none in the fleet file"
        room.say(f":flag-off FLAG WHY switches a feature flag off; there is {flags}")
    else:
        room.say(f"switching {words[0]} off")
        room.carry_out("flag off", _switch_off(room, words[0], " ".join(words[1:])))


async def _switch_off(room: Room, name: str, reason: str) -> None:
    from quarterdeck.rollouts.flags import turn_off_in_words
    from quarterdeck.rollouts.logs.merged import open_backend

    room.say(await turn_off_in_words(room.desk, open_backend(room.fleet), room.fleet, name, reason))


async def _write_note(room: Room, text: str, target: str | None, rollout: int | None) -> None:
    await room.desk.act(lambda control: control.note(text, target=target, rollout=rollout))
    room.say("the note is in the timeline")


async def _runbook(room: Room, words: Words) -> None:
    service = (room.target_in(words) or "").partition("/")[2]
    path = room.fleet.runbooks.get(service)
    if path is None:
        room.say(f"no runbook: the fleet file names none for {service or 'it'}, under runbooks")
        return
    from quarterdeck.tui.room.cards.runbook import RunbookCard

    room.push_screen(RunbookCard(service, path))


HANDLERS: dict[str, Handler] = {
    "rollback": _rollback,
    "deploy": _deploy,
    "drill": _drill,
    "pause": _on_rollout("pause", _pause),
    "abort": _card(AbortCard),
    "promote": _card(WaysOnCard),
    "resume": _way("resume"),
    "retry": _way("retry"),
    "skip": _way("skip"),
    "approve": _approve,
    "freeze": _freeze,
    "flag-off": _flag_off,
    "note": _note,
    "runbook": _runbook,
}
