"""What cards say, as pure rows; how they lie on small and large terminals; that foreign text can't break them."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import pytest

from quarterdeck.history.errors import JournalError
from quarterdeck.history.records import NewStep, ReleaseRow, Rollout, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.closely import HostMove, look_closely, ways_on
from quarterdeck.rollouts.differences.releases import compare
from quarterdeck.rollouts.policy import WayRound, way_round
from quarterdeck.rollouts.way_back.facts import ReleaseFacts, WayFacts, way_facts
from quarterdeck.tui.room.card import Card, Sheet, box_for, keys_rows, sheet_rows
from quarterdeck.tui.room.cards.checks import (
    Check,
    Level,
    check_rows,
    is_production,
    outdated,
    place_words,
    reds,
    rollback_checks,
)
from quarterdeck.tui.room.cards.picker import VersionPicker
from quarterdeck.tui.room.cards.reading import difference_card, step_card
from quarterdeck.tui.room.cards.rollback import RollbackCard, past_words
from quarterdeck.tui.room.cards.under_way import AbortCard, WaysOnCard, abort_words
from quarterdeck.tui.room.panes.rollout import whole_rows
from quarterdeck.tui.room.rollout_rows import host_rows
from quarterdeck.tui.room.rows import Role, plain, row
from tests.cli.qd_command import EVIL, Qd, release
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until

ME = "alice@bastion-2"


def facts(**different: Any) -> WayFacts:
    old, new = release("v1"), release("v2")
    made = WayFacts(
        leaving=ReleaseFacts(ReleaseRow(new, new.id, "good", "", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")),
        to=ReleaseFacts(ReleaseRow(old, old.id, "good", "", "2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z")),
        difference=compare(new, msgspec.structs.replace(new, version="v1")),
        last_good=old.id,
    )
    return msgspec.structs.replace(made, **different)


def plan(**different: Any) -> Mapping[str, Any]:
    hosts: list[dict[str, Any]] = [
        {"host": f"web-{n}", "has_release": True, "error": None, "problems": []} for n in (1, 2)
    ]
    made: dict[str, Any] = {
        "to": release("v1").id,
        "version": "v1",
        "hosts": hosts,
        "steps": [{"host": "web-1", "action": "switch", "batch": 0}],
        "secrets": {},
    }
    return {**made, **different}


def other(by: str) -> Rollout:
    return Rollout(
        7, "production/api", RolloutKind.DEPLOY, None, "v3-0123456789", RolloutState.RUNNING, 3, None, "", {}, by, 0, "",
        "2026-11-23T10:00:00Z", None, None, "", 1,
    )  # fmt: skip


def test_a_rollback_says_which_hooks_it_undoes_also_where_no_host_moves() -> None:
    hook = {"host": "(here)", "action": "hook", "batch": 1, "run": "bin/migrate down", "reverse": True}
    texts = [check.text for check in rollback_checks(plan(steps=[hook]), facts(), ME)]
    assert "undone by: bin/migrate down" in texts
    assert "v1 runs there already: only hooks are undone" in texts
    assert not any("undone by" in check.text for check in rollback_checks(plan(), facts(), ME))


def test_with_nothing_in_the_way_no_line_is_red() -> None:
    checks = rollback_checks(plan(), facts(), ME)
    assert reds(checks) == []
    assert {check.level for check in checks} == {Level.OK}


RED: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "no copy": (plan(hosts=[{"host": "web-1", "has_release": False, "error": None, "problems": []}]), {}, "not on web-1"),
    "no copy anywhere": (
        plan(
            hosts=[{"host": "web-1", "has_release": False, "error": None, "problems": []}],
            fetch_fault="registry.example.com/shop: no connection",
        ),
        {},
        "not on web-1, and it can't be fetched now: registry.example.com/shop: no connection",
    ),
    "unreachable": (plan(hosts=[{"host": "web-1", "has_release": False, "error": "no answer", "problems": []}]), {}, "not reached"),
    "a hook": (plan(), {"irreversible": ("bin/drop (v2)",)}, "can't be undone: bin/drop"),
    "somebody else": (plan(), {"other": other("maya@laptop")}, "rollout 7 (deploy v3) by maya@laptop"),
    "older": (plan(), {"last_good": "v2-abcdef0123"}, "not the last good one: that is v2"),
    "ill host": (plan(hosts=[{"host": "web-1", "has_release": True, "error": None, "problems": ["disk full"]}]), {}, "disk full"),
}  # fmt: skip


@pytest.mark.parametrize("case", RED)
def test_what_is_red(case: str) -> None:
    body, different, words = RED[case]
    found = reds(rollback_checks(body, facts(**different), ME))
    assert [check for check in found if words in check.text], found


def test_a_host_that_is_only_late_is_moved_and_makes_nobody_type_a_name() -> None:
    hosts = [
        {"host": "web-1", "has_release": True, "error": None, "problems": []},
        {"host": "web-2", "has_release": False, "error": "has not answered yet", "problems": [], "late": True},
    ]
    checks = rollback_checks(plan(hosts=hosts), facts(), ME)
    assert reds(checks) == []
    assert Check(Level.WARN, "no answer yet, moved if one comes in time, else owed: web-2") in checks


def _boxes(*warm: bool | None) -> list[dict[str, Any]]:
    return [
        {"host": f"box-{n}", "has_release": True, "warm": one, "error": None, "problems": []}
        for n, one in enumerate(warm, 1)
    ]


@pytest.mark.parametrize(
    ("warm", "secrets", "level", "words"),
    [
        ((True, True), {"KEY": "same"}, Level.OK, "warm on 2/2: the kept containers are started again, no pull"),
        ((True, False), {}, Level.WARN, "warm on 1/2, no pull; made anew from the image on box-2"),
        ((False,), {}, Level.WARN, "warm on 0/1, no pull; made anew from the image on box-1"),
        ((True,), {"KEY": "changed"}, Level.WARN, "warm on 1/1, no pull; made anew, as secrets have changed"),
    ],
)  # fmt: skip
def test_whether_kept_containers_stand_ready_is_said_and_never_red(
    warm: tuple[bool, ...], secrets: dict[str, str], level: Level, words: str
) -> None:
    checks = rollback_checks(plan(hosts=_boxes(*warm), secrets=secrets), facts(), ME)
    assert Check(level, words) in checks
    assert reds(checks) == []
    assert not any("warm" in check.text for check in rollback_checks(plan(hosts=_boxes(None)), facts(), ME))


def test_a_rollout_of_ones_own_is_worth_a_note_only() -> None:
    checks = rollback_checks(plan(), facts(other=other(ME)), ME)
    assert reds(checks) == []
    assert [check.level for check in checks if "is stopped first" in check.text] == [Level.WARN]


@pytest.mark.parametrize("state", [RolloutState.RUNNING, RolloutState.SUCCEEDED])
def test_a_rollback_that_came_in_between_makes_the_card_old(state: RolloutState) -> None:
    since = msgspec.structs.replace(other("maya@laptop"), kind=RolloutKind.ROLLBACK, state=state)
    moved = facts(since=since, other=since if state is RolloutState.RUNNING else None)
    checks = rollback_checks(plan(), moved, ME)
    assert outdated(moved, RolloutKind.ROLLBACK) is since
    assert [check.text for check in reds(checks)] == [
        f"this is old, look again: rollout 7 (rollback v3) by maya@laptop came in between: {state}"
    ]
    assert not any("is stopped first" in check.text for check in checks), "no rollback takes the place of another"


def test_a_deploy_that_came_in_between_does_not_stand_in_the_way_of_a_rollback() -> None:
    moved = facts(since=msgspec.structs.replace(other("maya@laptop"), state=RolloutState.SUCCEEDED))
    assert outdated(moved, RolloutKind.ROLLBACK) is None
    assert outdated(moved, RolloutKind.DEPLOY) is not None
    checks = rollback_checks(plan(), moved, ME)
    assert reds(checks) == []
    assert Check(Level.WARN, "rollout 7 (deploy v3) by maya@laptop came in between: succeeded") in checks


def test_what_is_not_known_yet_is_a_question_mark_and_nothing_is_said_to_be_well() -> None:
    assert {check.level for check in rollback_checks({}, None, ME)} == {Level.UNKNOWN}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "ran under a minute"), (59.9, "ran under a minute"), (172_800.0, "ran 2d")]
)
def test_how_long_a_release_ran_never_reads_like_what_a_command_took(seconds: float, words: str) -> None:
    to = facts().to
    assert to is not None
    assert f", {words}, by maya" in past_words(msgspec.structs.replace(to, ran=seconds, by="maya@laptop"))


def test_red_lines_come_first() -> None:
    rows = check_rows(rollback_checks(plan(), facts(last_good="v2-abcdef0123"), ME), 70)
    assert plain(rows[0]).startswith("NO")
    assert rows[0][0].role is Role.BAD


def test_what_is_in_the_way_is_read_whole() -> None:
    long = f"rollout 26 (deploy v4) by lena@bastion is under way (paused): {'it is stopped first, ' * 4}THE END"
    rows = [plain(line) for line in check_rows([Check(Level.OK, long), Check(Level.WARN, long)], 70)]
    assert all(len(line) <= 70 for line in rows)
    assert rows[0].startswith("note rollout 26")
    assert [line[:5] for line in rows[1:-1]] == [" " * 5] * (len(rows) - 2)
    assert "THE END" in rows[-2]
    assert rows[-1].endswith(".."), "what is well takes one row"


@pytest.mark.parametrize(
    ("environments", "name", "loud"),
    [
        (("dev", "production"), "production", "api @ PRODUCTION"),
        (("dev", "prod-eu", "prod-us"), "prod-eu", "api @ PROD-EU (PRODUCTION)"),
        (("dev", "customers"), "customers", "api @ CUSTOMERS (PRODUCTION)"),
        (("dev", "production", "lab"), "lab", "api @ LAB"),
        (("dev", "production"), "dev", "api @ DEV"),
    ],
)
def test_production_is_said_by_word(environments: tuple[str, ...], name: str, loud: str) -> None:
    assert place_words(f"{name}/api", environments) == loud
    assert is_production(name, environments) == ("PRODUCTION" in loud)


def test_a_small_terminal_scrolls_the_body_and_never_the_ends() -> None:
    sheet = Sheet("card", [row(f"line {n}") for n in range(40)], [row("y keys")], top=[row("from")], production=True)
    box = box_for(sheet, 80, 24)
    assert (box.width, box.height) == (80, 24)
    for top in (0, 5, 1000):
        lines = [plain(line) for line in sheet_rows(sheet, box.width, box.height, top)]
        assert len(lines) == 24
        assert all(len(line) == 80 for line in lines)
        assert "from" in lines[1]
        assert "y keys" in lines[-2]
    assert "more lines: j" in plain(sheet_rows(sheet, 80, 24, 0)[-1])
    assert "lines above: k" in plain(sheet_rows(sheet, 80, 24, 1000)[-1])
    assert plain(sheet_rows(sheet, 80, 24, 0)[0]).startswith("+=")


def test_keys_that_do_not_fit_go_to_the_next_line() -> None:
    lines = keys_rows(26, ("y", "roll back"), ("v", "other version"), ("esc", "no"), dead=True)
    assert [plain(line).strip() for line in lines] == ["y wait", "v other version   esc no"]


def test_a_refusal_of_policy_names_its_way_round() -> None:
    assert way_round("v3 was marked bad; to ship it all the same: --force --reason …") is WayRound.FORCE
    assert way_round("only from staging; ship it there first, or: --override after --reason …") is WayRound.AFTER
    assert way_round("web-1 can't be reached") is None


# on a filled journal


def painted(card: Card) -> bool:
    return bool(card._face._rows)


def printable(card: Card) -> str:
    """The rows of a card as they are painted."""
    rows = card._face._rows
    assert rows
    for line in rows:
        assert all(span.text.isprintable() for span in line), line
    return "\n".join(plain(line) for line in rows)


async def test_foreign_text_breaks_no_card_and_no_pane(filled: Qd, make_room: MakeRoom) -> None:
    with filled.journal() as journal:
        seen = look_closely(journal, 3)
        assert "\x1b" not in json.dumps(seen.rollout.outcome)
        evil = msgspec.structs.replace(
            seen.steps[0], host=f"web{EVIL}", outcome={"error": EVIL, "output": f"a\n{EVIL}"}
        )
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        difference = compare(release("v1"), release("v2", greeting=EVIL, config=f"x: {EVIL}\n"))
        cards: list[Card] = [
            RollbackCard("production/api", room.picture.targets["production/api"]),
            VersionPicker("production/api", lambda _: None, typed=True),
            AbortCard(4, "production/web"),
            WaysOnCard(4, "production/web"),
            difference_card(f"production/api{EVIL}", difference),
            step_card("production/api", evil, 70),
        ]
        for card in cards:
            room.push_screen(card)
            await until(pilot, partial(painted, card), "the card")
            await pilot.pause(0.2)
            printable(card)
            await pilot.press("escape")
            await until(pilot, lambda: len(room.screen_stack) == 1, "the card to go")
        room.visit("rollouts", rollout=3)
        await until(pilot, lambda: "rollout 3" in pane_text(room, "rollout"), "the rollout")
        assert "http 500" in pane_text(room, "rollout")
        rows, where = whole_rows(msgspec.structs.replace(seen, steps=(evil,)), 80, None)
        assert len(where) == 1
        assert rows


async def test_escape_gives_up_what_was_armed_and_says_so_in_the_journal(filled: Qd, make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("R")
        card = next(room.cards())
        assert isinstance(card, RollbackCard)
        await until(pilot, lambda: bool(card._face._rows), "the first frame")
        assert "ROLL BACK  api @ PRODUCTION" in printable(card)
        await until(pilot, lambda: card.rollout_id is not None, "it to be armed")
        await pilot.press("escape")
        await until(pilot, lambda: len(room.screen_stack) == 1, "the card to go")

        def cancelled() -> bool:
            with filled.journal() as journal:
                return journal.rollout(card.rollout_id or 0).state is RolloutState.CANCELLED

        await until(pilot, cancelled, "the worker to leave")


async def test_a_version_that_is_typed_into_the_picker_is_the_one_that_is_taken(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        taken: list[str] = []
        picker = VersionPicker("production/api", taken.append, typed=True)
        room.push_screen(picker)
        await until(pilot, lambda: bool(picker.chosen), "the versions, one of them under the cursor")
        await pilot.press("v", "7", "full_stop", "2")
        await until(pilot, lambda: "version: v7.2" in printable(picker), "what was typed")
        await pilot.press("enter")
        assert taken == ["v7.2"]


async def test_what_is_typed_wrongly_behind_a_colon_names_the_nearest(filled: Qd, make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await room.action_act("rollback", ("production/apj",))
        assert "did you mean production/api" in room.said
        await room.action_act("rollback", ("production/api", "v22"))
        await until(pilot, lambda: "has no release 'v22'" in room.said, "the refusal")
        assert "v2" in room.said
        await room.action_act("pause", ("4",))
        await until(pilot, lambda: "paused: there is nothing to pause" in room.said, "the refusal")
        await room.action_act("skip", ("4",))
        await until(pilot, lambda: "what makes sense: resume" in room.said, "the refusal")
        await room.action_act("resume", ("999",))
        await until(pilot, lambda: "999" in room.said, "no such rollout")
        await room.action_act("approve")
        assert "nothing waits for an approval" in room.said


def test_a_host_that_was_never_reached_is_not_pending_for_ever() -> None:
    hosts = (
        HostMove("web-1", "v2", "v1", StepState.DONE, back=True),
        HostMove("web-2", "v1", "v2", StepState.PENDING),
    )
    after = [plain(line) for line in host_rows(hosts, 70, ended=True)]
    assert "taken back" in after[0]
    assert "v1, not moved" in after[1]
    assert "pending" not in after[1]
    assert "pending" in plain(host_rows(hosts, 70, ended=False)[1])


def test_what_ran_on_a_host_that_did_not_answer_is_not_known(filled: Qd) -> None:
    with filled.journal() as journal:
        seen = journal.arm("staging/api", RolloutKind.ROLLBACK, to_release="v1-3")
        hosts = [
            {"host": "stg-1", "current": None, "error": "no answer within 9 s", "late": True},
            {"host": "stg-2", "current": None, "error": None},
        ]
        journal.set_plan(seen.id, {"hosts": hosts}, "0" * 64, to_release="v1-3", from_release=None)
        assert [host.before for host in look_closely(journal, seen.id).hosts] == ["?", None]
        epoch = journal.begin(seen.id, preempt="nothing")
        steps = [NewStep(n, f"stg-{n}", "switch", 1, {"release": "v1-3"}) for n in (1, 2)]
        journal.add_steps(seen.id, epoch, steps)
        assert [host.error for host in look_closely(journal, seen.id).hosts] == ["no answer within 9 s", None]
        journal.start_steps(seen.id, epoch, [1])
        journal.end_step(seen.id, epoch, 1, StepState.DONE, {"health": "http 200"})
        late, _ = look_closely(journal, seen.id).hosts
        assert (late.state, late.error) == (StepState.DONE, None), "it has answered since"


async def test_that_hosts_are_still_looked_at_is_said_until_they_were(
    filled: Qd, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RollbackCard, "arm", lambda _card: None)
    with filled.journal() as journal:
        to = journal.releases("production/api")[-1].id
        id = journal.arm("production/api", RolloutKind.ROLLBACK, to_release=to).id
        room = make_room(target="production/api")
        async with room.run_test(size=(80, 24)) as pilot:
            card = RollbackCard("production/api", None)
            await room.push_screen(card)
            card.rollout_id = id
            await card._look()
            await until(pilot, lambda: card.guard.open, "the dead time to be over")
            await pilot.press("y")
            assert "still being looked at" in card.said
            journal.set_plan(id, {"hosts": [], "to": to}, "0" * 64, to_release=to, from_release=None)
            await card._look()
            assert card.said == ""


def test_what_an_abort_will_do_and_what_makes_sense(filled: Qd) -> None:
    with filled.journal() as journal:
        paused = look_closely(journal, 4)
        assert "There is nothing to abort" in abort_words(look_closely(journal, 1))[0]
        assert "Its worker is dead: a new one is started for this." in abort_words(paused)
        assert [way.kind for way in ways_on(paused)[0]] == ["resume"]
        assert ways_on(look_closely(journal, 3)) == ((), "rollout 3 was taken back: deploy it again with D")
        found = way_facts(journal, journal.rollout(2))
        assert found.leaving is not None
        assert found.leaving.version == "v1"
        assert found.difference is not None
        assert [change.name for change in found.difference.env] == ["GREETING"]
        with pytest.raises(JournalError):
            look_closely(journal, 999)


@pytest.mark.parametrize(
    ("action", "left"),
    [("hook", "nothing else is left out"), ("switch", "that host is left as it is, and owed")],
)
def test_what_skipping_would_leave_is_said_of_the_step_that_failed(filled: Qd, action: str, left: str) -> None:
    with filled.journal() as journal:
        seen = look_closely(journal, 4)
    failed = Step(4, 1, "web-1", action, 1, {}, "4.1.x", StepState.FAILED, 1, 1, {}, None, None)
    ways, _ = ways_on(msgspec.structs.replace(seen, steps=(failed,)))
    assert [way.does for way in ways if way.kind == "skip"] == [f"goes on without {action} on web-1: {left}"]


async def test_nothing_that_one_decides_by_is_cut_off_in_a_small_terminal(filled: Qd, make_room: MakeRoom) -> None:
    with filled.journal() as journal:
        seen = look_closely(journal, 4)
    failed = Step(4, 1, "web-1", "switch", 1, {}, "4.1.x", StepState.FAILED, 1, 1, {}, None, None)
    hosts = [HostMove(f"host-{n}.example.com", "v8", "v9", StepState.PENDING) for n in range(12)]
    why = f"web-1: {'hook bin/smoke ended with 1 and so on, ' * 4}; retry, skip or abort THE END"
    seen = msgspec.structs.replace(
        seen, steps=(failed,), hosts=tuple(hosts), rollout=msgspec.structs.replace(seen.rollout, outcome=why)
    )
    room = make_room()
    async with room.run_test(size=(80, 24)):
        for card, ends in (
            (WaysOnCard(4, "production/web"), ("as it is, and owed", "THE END")),
            (AbortCard(4, "production/web"), ("host-11.example.com",)),
        ):
            await room.push_screen(card)
            card.seen = seen
            card.said = f"refused: {'because of this and that, ' * 6} THE ADVICE"
            sheet = card.sheet(76)
            text = " ".join(plain(line) for line in (*sheet.body, *sheet.foot))
            assert all(end in " ".join(text.split()) for end in (*ends, "THE ADVICE")), text
            assert all(len(plain(line)) <= 76 for line in (*sheet.body, *sheet.foot))
