"""Events: the append-only feed that every screen follows, each one a link of the audit chain. Nothing is ever changed here."""

from collections.abc import Iterator
from typing import Any

from quarterdeck.history.chain import START, from_text, link, plain, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.records import Event
from quarterdeck.history.store import Store

COLUMNS = "seq, time, uid, who, kind, target, rollout, host, body, hash"


class Feed(Store):
    """Reading and appending events."""

    def data_version(self) -> int:
        """A number that changes when another connection has committed something. Cheap enough to ask 20 times a second."""
        return int(self._row("PRAGMA data_version")[0])

    def head(self) -> tuple[int, str]:
        """Number and hash of the last event; 0 and 64 zeros when there is none."""
        row = self._row("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
        return (0, START) if row is None else (row[0], row[1])

    def events(
        self,
        after: int = 0,
        *,
        limit: int = 500,
        target: str | None = None,
        rollout: int | None = None,
        kind: str | None = None,
        newest_first: bool = False,
        before: int | None = None,
    ) -> list[Event]:
        """Events with ``after < seq < before`` that match everything given, in order, or the newest first."""
        wanted: list[tuple[str, Any]] = [("seq > ?", after)]
        if before is not None:
            wanted.append(("seq < ?", before))
        if target is not None:
            wanted.append(("target = ?", target))
        if rollout is not None:
            wanted.append(("rollout = ?", rollout))
        if kind is not None:
            wanted.append(("kind = ?", kind))
        sql = f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(condition for condition, _ in wanted)}"  # noqa: S608 - constants
        sql += f" ORDER BY seq {'DESC' if newest_first else 'ASC'} LIMIT ?"
        return [to_event(row) for row in self._rows(sql, [*(value for _, value in wanted), limit])]

    def every_event(self, rollout: int) -> Iterator[Event]:
        """All events of a rollout in order, however many there are, some at a time."""
        after = 0
        while events := self.events(after, rollout=rollout):
            yield from events
            after = events[-1].seq

    def raw_events(self, after: int | None, limit: int) -> list[tuple[Any, ...]]:
        """Events as they are stored (the columns of COLUMNS, the body as JSON text), from the first one on when ``after`` is None."""
        condition, values = ("", []) if after is None else (" WHERE seq > ?", [after])
        return self._rows(f"SELECT {COLUMNS} FROM event{condition} ORDER BY seq LIMIT ?", [*values, limit])  # noqa: S608 - constants

    def record(
        self,
        kind: str,
        *,
        target: str | None = None,
        rollout: int | None = None,
        host: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> Event:
        """Appends an event that belongs to no change of state."""
        return self._write(lambda: self._event(kind, target, rollout, host, body or {}), rollout=rollout)

    def note(self, text: str, target: str | None = None, rollout: int | None = None) -> Event:
        """Appends what an operator wants to be remembered (kind ``note``, body ``{"text": …}``)."""
        return self.record("note", target=target, rollout=rollout, body={"text": text})

    def _event(
        self, kind: str, target: str | None, rollout: int | None, host: str | None, body: dict[str, Any]
    ) -> Event:
        """Appends an event to the open transaction."""
        seq, previous = self._tip or self.head()
        seq += 1
        who, time, text = plain(self._operator.label), now(), to_text(body)
        kind, uid = plain(kind), self._operator.uid
        target = None if target is None else plain(target)
        host = None if host is None else plain(host)
        digest = link(previous, seq, time, uid, who, kind, target, rollout, host, text)
        self._connection.execute(
            f"INSERT INTO event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (seq, time, uid, who, kind, target, rollout, host, text, digest),
        )
        self._tip = (seq, digest)
        return Event(seq, time, uid, who, kind, target, rollout, host, from_text(text), digest)


def to_event(row: tuple[Any, ...]) -> Event:
    """An event from its columns."""
    seq, time, uid, who, kind, target, rollout, host, body, digest = row
    return Event(seq, time, uid, who, kind, target, rollout, host, from_text(body), digest)
