"""The approval card: the plan of a rollout that waits for people's words, or the step at which it stands, who asked for it and why, and who
has agreed. What `y` agrees to is what is shown, named by the plan's hash and the step's number."""

import textwrap
from functools import partial

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.approvals import SHOWN_HASH
from quarterdeck.rollouts.approving import Waiting, approve, reject, waiting_for, why_not
from quarterdeck.rollouts.closely import Closely, look_closely
from quarterdeck.rollouts.policy import set_aside
from quarterdeck.tui.cli.times import clock
from quarterdeck.tui.cli.waits import flag_off_words
from quarterdeck.tui.room.card import Sheet, keys_rows
from quarterdeck.tui.room.cards.deploy import wave_rows
from quarterdeck.tui.room.cards.under_way import RolloutCard
from quarterdeck.tui.room.cards.words import WordsCard
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, ellipsis, row
from quarterdeck.tui.room.wrapping import said_rows


class ApprovalCard(RolloutCard):
    waiting: Waiting | None = None

    def means(self) -> object:
        if self.waiting is None:
            return None
        rollout = self.waiting.rollout
        return rollout.state, rollout.plan_hash, self.waiting.seq

    async def _look(self) -> None:
        id = self.rollout_id

        def read(journal: Journal) -> tuple[Closely, Waiting | None]:
            seen = look_closely(journal, id)
            return seen, waiting_for(journal, seen.rollout)

        before = self.means()
        self.seen, self.waiting = await self.room.desk.ask(read)
        if self.means() != before:
            self.guard.restart()  # nobody can have read yet what the key would agree to now
        self.renew()

    def why_not(self, *, yes: bool) -> str:
        """Why this operator's word is not taken; empty: it is."""
        if self.waiting is None:
            return ""
        if self.room.opening.read_only:
            return "this session is read-only"
        return why_not(self.room.standing.operator, self.waiting.rollout, self.waiting.tally.wanted, yes=yes)

    # keys

    def pressed(self, key: str) -> None:
        if key in ("escape", "q"):
            self.leave()
        elif key == "2":
            self.leave()
            self.room.visit("rollouts", target=self.target, rollout=self.rollout_id)
        elif self.waiting is None or not self.guard.open:
            return
        elif key == "y" and not self.why_not(yes=True):
            self.begin(partial(self._approve, self.waiting.rollout.plan_hash, self.waiting.seq), "approve")
        elif key == "x" and not self.why_not(yes=False):
            plan_hash, step = self.waiting.rollout.plan_hash, self.waiting.seq
            self.room.push_screen(
                WordsCard(
                    f"reject  rollout {self.rollout_id} of {self.target}",
                    f"It is taken back from {_has(self.waiting)}. Why?"
                    if step
                    else "It ends, nothing was changed. Why?",
                    lambda reason: self._reject(plan_hash, reason, step),
                    does="reject it",
                )
            )

    async def _approve(self, plan_hash: str, step: int) -> None:
        id = self.rollout_id
        said = await self.room.desk.act(lambda control: approve(control, id, plan_hash, step=step))
        self.room.watched.watch(id)
        more = f"it {said.waiting.tally.words}" if said.waiting.tally.missing else "it goes on" if step else "it begins"
        alone = "; its worker is dead: somebody who may deploy takes it up" if said.alone else ""
        self.room.say(f"approved rollout {id} of {self.target}: {one_line(more)}{alone}")
        self.leave()

    async def _reject(self, plan_hash: str, reason: str, step: int) -> None:
        id = self.rollout_id
        await self.room.desk.act(lambda control: reject(control, id, plan_hash, reason, step=step))
        self.room.say(f"rejected rollout {id} of {self.target}{': it is taken back' if step else ''}")
        self.leave()

    # what is shown

    def sheet(self, width: int) -> Sheet:
        if self.seen is None:
            words = [row(Span("? reading the journal", Role.STALE))]
            return self.headed("APPROVE", [], words, [EMPTY, *keys_rows(width, ("esc", "close"))])
        waiting = self.waiting
        if waiting is None:
            state = str(self.seen.rollout.state).replace("_", " ")
            outcome = self.seen.rollout.outcome if self.seen.rollout.state is not RolloutState.ARMED else ""
            body = _wrapped("", f"It is {state}, and does not wait for an approval.", width, Role.WARN)
            body += _wrapped("", one_line(outcome), width, Role.PLAIN) if outcome else []
            return self.headed(
                "APPROVE", self._ends(width), body, self._foot(width, ("2", "rollout"), ("esc", "close"))
            )
        body = _wrapped("waits", one_line(waiting.words.removeprefix("waits ")), width, Role.WARN)
        if self.seen.flag_off is not None:
            body += _wrapped("note", one_line(flag_off_words(self.seen.flag_off)), width, Role.WARN)
        for word in waiting.tally.given:
            because = f": {one_line(word.reason)}" if word.reason else ""
            body.append(
                row(
                    Span("      ", Role.DIM),
                    Span(ellipsis(f"{clock(word.time)} {one_line(word.by)} agreed{because}", width - 6), Role.OK),
                )
            )
        for aside in set_aside(self.seen.rollout, self.seen.events):
            body += _wrapped("aside", one_line(aside), width, Role.WARN)
        at = f", step {waiting.seq}: {_has(waiting)} have it" if waiting.seq else ""
        body += [EMPTY, row(Span("plan  ", Role.DIM), waiting.rollout.plan_hash[:SHOWN_HASH] + at)]
        body += wave_rows(self.seen.plan.get("steps") or (), width)
        for warning in self.seen.plan.get("warnings") or ():
            body += _wrapped("note", one_line(warning), width, Role.WARN)
        refused = self.why_not(yes=True)
        if refused:
            body += [EMPTY, *_wrapped("NO", one_line(refused), width, Role.BAD)]
            keys = [*([] if self.why_not(yes=False) else [("x", "reject")]), ("esc", "close")]
            return self.headed("APPROVE", self._ends(width), body, self._foot(width, *keys))
        foot = self._foot(
            width,
            ("y", "approve this step" if waiting.seq else "approve this plan"),
            ("x", "reject"),
            ("esc", "not now"),
            dead=not self.guard.open,
        )
        return self.headed("APPROVE", self._ends(width), body, foot)

    def _foot(self, width: int, *keys: tuple[str, str], dead: bool = False) -> list[Row]:
        said = said_rows(self.said, width)
        return [EMPTY, *said, *keys_rows(width, *keys, dead=dead)]

    def _ends(self, width: int) -> list[Row]:
        assert self.seen is not None
        seen = self.seen
        digest = str(seen.plan.get("digest") or "")[:8]
        because = f", because: {one_line(seen.rollout.reason)}" if seen.rollout.reason else ", no reason given"
        summary = one_line(f"{seen.plan.get('strategy')}: {seen.plan.get('summary')}") if seen.plan else "?"
        return [
            row(Span("from  ", Role.DIM), Span(seen.from_version or "nothing", Role.OLD)),
            row(
                Span("to    ", Role.DIM),
                Span(seen.to_version or "?", Role.NEW),
                Span(f" sha256:{digest}.." if digest else ""),
            ),
            row(Span("how   ", Role.DIM), Span(ellipsis(summary, width - 6))),
            row(Span("by    ", Role.DIM), Span(ellipsis(f"{one_line(seen.rollout.requested_by)}{because}", width - 6))),
        ]


def _has(waiting: Waiting) -> str:
    """How far it has come, at a step: ``1 of 4 hosts``."""
    body = waiting.step.body if waiting.step is not None else {}
    return f"{body.get('hosts')} of {body.get('of')} hosts"


def _wrapped(label: str, text: str, width: int, role: Role) -> list[Row]:
    pieces = textwrap.wrap(text, max(width - 6, 20)) or [""]
    return [
        row(Span(f"{label if number == 0 else '':<6}", Role.DIM), Span(piece, role))
        for number, piece in enumerate(pieces)
    ]
