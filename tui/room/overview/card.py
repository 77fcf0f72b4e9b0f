"""The card of the chosen target: what runs now, the way back, why it is as it is, what happened last. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.router import RouterSeen
from quarterdeck.rollouts.picture.target import Mark, TargetSeen, progress_of
from quarterdeck.tui.cli.times import age, ago, clock, duration
from quarterdeck.tui.room.overview.cells import ROLES, back_words, ill_words, mark_now, too_old
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis, width_of
from quarterdeck.tui.room.traffic_rows import short_spans

if TYPE_CHECKING:  # the first paint has no time for it
    from quarterdeck.rollouts.differences.releases import Difference

WIDE: Final = 150  # columns from which on the path of a rollback and older versions are told


class Older(msgspec.Struct, frozen=True):
    """A release that once worked, beside the current one and the way back: on how many hosts it still lies."""

    version: str
    on: int
    of: int

    @property
    def words(self) -> str:
        state = "ok" if self.on == self.of else "GONE" if self.on == 0 else f"{self.on}/{self.of}"
        return f"{self.version} {state}"


def title_of(seen: TargetSeen | None, chosen: str | None) -> str:
    if seen is None:
        return f"{chosen or 'no target'}: not in the fleet file" if chosen else "no target is chosen"
    return f"{seen.service} @ {seen.environment.upper()}"


def card_rows(
    seen: TargetSeen | None,
    picture: Picture,
    width: int,
    now: datetime,
    *,
    last: str = "",
    log: tuple[str, Role] | None = None,
    config: str = "",
    older: Sequence[Older] = (),
    others: Sequence[str] = (),
    runs: str = "",
    uses: Sequence[str] = (),
) -> list[Row]:
    """The most important first: whatever there is no room for is left out from below. ``last``: the last thing that happened; ``log``: the
    log line that matters most, None while nobody follows the logs; ``config``: what of it the way back changes; ``runs``: how the
    service is run, as it is declared; ``uses``: what its containers use, beside what runs where all of it fits there."""
    if seen is None:
        return [(Span(" choose a target in the matrix: keys act on nothing until then", Role.DIM),)]
    rows = [_now(seen, width, now), _back(seen, width, older, config, now), _why(seen, width, now)]
    beside = width_of(rows[0]) + sum(len(part) + 2 for part in uses) + 2 <= width
    if beside:
        rows[0] = _with(rows[0], uses, width)
    if seen.router is not None:
        news = not seen.router.plain or seen.router.error is not None or bool(seen.router.changed)
        traffic = _requests(seen, seen.router, width, now)
        if news:
            rows.insert(2, traffic)
    if width >= WIDE and (path := _path(seen, picture)):
        rows.insert(2, _line("path", [Span(path)], width))
    if seen.on_swarm:
        _add_swarm(rows, seen, width)
    if uses and not beside:
        rows.append(_with(_line("uses", [], width), uses, width, first=""))
    if seen.router is not None and not news:
        rows.append(traffic)
    if runs:
        rows.append(_line("runs", [Span(runs)], width))
    if log is not None:
        rows.append(_line("log", [Span(*log)], width))
    if others:
        last = f"{last}   also here: {', '.join(others)}" if last else f"also here: {', '.join(others)}"
    if last:
        rows.append(_line("last", [Span(last, Role.DIM)], width))
    return rows


def _add_swarm(rows: list[Row], seen: TargetSeen, width: int) -> None:
    from quarterdeck.tui.room.swarm_rows import nodes_in_short, tasks_in_short  # only where there is one

    for name, found in (("task", tasks_in_short(seen)), ("node", nodes_in_short(seen))):
        if found is not None:
            rows.append(_line(name, [Span(*found)], width))


def _with(line: Row, parts: Sequence[str], width: int, *, first: str = "   ") -> Row:
    """The line, and as many of the parts as fit: whole ones only, as half a figure is another one."""
    left = width - width_of(line)
    text = ""
    for part in parts:
        more = f"{'  ' if text else first}{part}"
        if len(text) + len(more) > left:
            break
        text += more
    return (*line, Span(text, Role.DIM)) if text else line


def _line(name: str, spans: Sequence[Span], width: int) -> Row:
    """Cut at the right, with ``..``."""
    found = [Span(f" {name:4} ", Role.DIM)]
    left = width - cells(found[0].text)
    for span in spans:
        if left <= 0:
            break
        found.append(Span(ellipsis(span.text, left), span.role))
        left -= cells(span.text)
    return tuple(found)


def _now(seen: TargetSeen, width: int, now: datetime) -> Row:
    mark = mark_now(seen, too_old(now))
    short = 7 if width < WIDE else 19
    digest = f" sha256:{seen.digest[: short - 3]}.." if seen.digest else ""
    spans = [Span(f"{mark}{seen.version or 'nothing'}", ROLES[mark]), Span(digest, Role.DIM)]
    if seen.moving is not None:
        spans += [Span("  "), Span(_moving(seen.moving, seen), Role.MOVING)]
        return _line("now", [*spans, Span(_by(seen.moving.rollout.requested_by, seen.moving.rollout.reason))], width)
    if seen.release is not None:
        since = f"since {age(seen.since, now)}" if seen.since else "since unknown"
        spans.append(
            Span(f"  {seen.word if mark is not Mark.STALE else 'stale'}, {since}{_by(seen.by or '', seen.reason)}")
        )
    return _line("now", spans, width)


def _by(who: str, reason: str) -> str:
    return (f"  {who.split('@')[0]}" if who else "") + (f"  {reason}" if reason else "")


def _moving(moving: RolloutSeen, target: TargetSeen) -> str:
    rollout = moving.rollout
    done, total = progress_of(moving, target)
    started = f" since {clock(rollout.started)}" if rollout.started else ""
    hosts = f" {done}/{total} {'tasks' if target.on_swarm else 'hosts'}" if total else ""
    state = str(rollout.state).replace("_", " ")
    return f"{rollout.id} {rollout.kind} -> {moving.to_version or '?'} {state}{hosts}{started}"


def config_words(difference: "Difference") -> str:
    """``config same``, or how much of it changes: ``config 2 env 1 files``."""
    found = " ".join(f"{count} {name}" for name, count in difference.counts.items())
    return f"config {found}" if found else "config same"


def _requests(seen: TargetSeen, router: RouterSeen, width: int, now: datetime) -> Row:
    """Which release gets how many of them."""
    new = seen.moving.rollout.to_release if seen.moving is not None else None
    head = Span(" reqs ", Role.DIM)
    return (head, *short_spans(router, max(width - cells(head.text), 0), now, new=new))


def _back(seen: TargetSeen, width: int, older: Sequence[Older], config: str, now: datetime) -> Row:
    words, role = back_words(seen)
    back = seen.back
    if back.release is None and seen.owed:
        hosts = ", ".join(debt.host for debt in seen.owed)
        return _line("back", [Span(words, role), Span(f"  R brings {hosts} back to {seen.version}")], width)
    if back.release is None:
        return _line("back", [Span("closed  ", Role.WARN), Span("; ".join(back.reasons) or "nothing runs here")], width)
    kinds = counted(seen.hosts)
    there = sum(count for kind, count in kinds if kind.kept is not None and back.release in kind.kept)
    spans = [Span(words, role)]
    if back.state == "ready" and seen.on_swarm:
        asked = f" (registry asked {ago(back.asked, now)})" if back.asked is not None else ""
        spans.append(Span(f"  last good, its image can be fetched{asked}"))
    elif back.state == "ready":
        warm = sum(count for kind, count in kinds if back.release in kind.warm)
        kept = f", warm on {warm} of {len(seen.hosts)}" if any(kind.warm for kind, _ in kinds) else ""
        spans.append(Span(f"  last good, copy on {there or len(seen.hosts)}/{len(seen.hosts)} hosts{kept}"))
    else:
        spans.append(Span(f"  {'; '.join(back.reasons)}", Role.WARN))
    if back.seconds is not None:
        spans.append(Span(f", about {duration(back.seconds)}"))
    if config:
        spans.append(Span(f", {config}", Role.PLAIN if config.endswith(" same") else Role.WARN))
    if older and width >= WIDE:
        spans.append(Span(f"   older: {', '.join(one.words for one in older)}", Role.DIM))
    return _line("back", spans, width)


def _path(seen: TargetSeen, picture: Picture) -> str:
    """What a rollback would do."""
    if seen.back.release is None:
        return ""
    target = f"{seen.back.version}"
    first = f"stop rollout {seen.moving.id} -> " if seen.moving is not None else ""
    word = "" if seen.environment != picture.production else " in production"
    moved = [host for host in seen.hosts if host.release != seen.back.release or host.error is not None] or seen.hosts
    of_all = f" of {len(seen.hosts)}" if len(moved) < len(seen.hosts) else ""
    hosts, their = (f"{len(moved)}{of_all} hosts", "their") if len(moved) != 1 else (moved[0].host, "its")
    return f"R, then y: {first}switch {hosts} to {target}{word} -> check {their} health -> unlock"


def _why(seen: TargetSeen, width: int, now: datetime) -> Row:
    return _line("why", [Span(*why(seen, now))], width)


def why(seen: TargetSeen, now: datetime) -> tuple[str, Role]:
    """What is wrong, or that nothing is, in one sentence."""
    ill = [host.host for host in seen.hosts if host.health == "unhealthy"]
    lost = [host for host in seen.hosts if host.error is not None]
    drifted = [host for host in seen.hosts if host.drift]
    by_hand = seen.router.changed if seen.router is not None else ()
    routed = [f"{seen.router.name}: {'; '.join(by_hand)}"] if seen.router is not None and by_hand else []
    if seen.moving is not None and seen.moving.rollout.outcome:
        return seen.moving.rollout.outcome, (
            Role.BAD if seen.moving.rollout.state is RolloutState.ORPHANED else Role.WARN
        )
    if seen.moving is None and seen.last is not None and seen.last.state is RolloutState.FAILED:
        return f"rollout {seen.last.id} failed: {seen.last.outcome}", Role.BAD
    if ill:
        return ill_words(seen, ill), Role.BAD
    if (drifted or routed) and seen.moving is None:
        changed = [*routed, *(f"{host.host}: {words}" for host in drifted for words in host.changed)]
        if changed:
            return f"drift: {'; '.join(changed)}", Role.DRIFT
        runs = ", ".join(f"{host.host} runs {host.version or host.release or 'nothing'}" for host in drifted)
        return f"drift: {runs}, {seen.version or 'nothing'} was released", Role.DRIFT
    if lost:
        return (
            f"{', '.join(f'{host.host}: {host.trouble} (seen {age(host.seen, now)} ago)' for host in lost)}",
            Role.STALE,
        )
    if seen.release is None:
        return "nothing was ever released here", Role.DIM
    if (
        seen.on_swarm
        and seen.health == "unknown"
        and (words := [one for one in seen.hosts if one.swarm and one.detail])
    ):
        return "; ".join(f"{host.host}: {host.detail}" for host in words), Role.MOVING if seen.moving else Role.STALE
    if seen.health == "unknown" or seen.oldest is None:
        return "not every host was looked at yet", Role.STALE
    every = f"all {len(seen.hosts)} hosts" if len(seen.hosts) != 1 else f"{seen.hosts[0].host}"
    if mark_now(seen, too_old(now)) is Mark.STALE:
        return f"nobody looked for {age(seen.oldest, now)}: {every} {seen.health} then", Role.STALE
    if seen.last is not None and seen.last.state is RolloutState.ROLLED_BACK:
        return f"{every} healthy; rollout {seen.last.id} was taken back: {seen.last.outcome}", Role.OK
    return f"{every} {seen.health}, seen {age(seen.oldest, now)} ago", Role.OK
