"""Releases: immutable snapshots with the verdict on each, and which of them a target runs. Never changes a stored release."""

from typing import TYPE_CHECKING, Any

from quarterdeck.history.chain import from_text, plain, to_text
from quarterdeck.history.clock import boot_id, boottime, now
from quarterdeck.history.errors import JournalError
from quarterdeck.history.feed import Feed
from quarterdeck.history.records import Moment, ReleaseRow, Stood

if TYPE_CHECKING:
    from quarterdeck.config.release import Release

COLUMNS = "id, body, verdict, verdict_reason, first_seen, last_good"
# Options are canonical JSON, and in a text within them quotes are escaped: nothing else can look like this.
WHOLE_SQL = "instr(options, '\"partial\":true') = 0"
SETTLED_SQL = f"ended_seq IS NOT NULL AND kind IN ('deploy', 'rollback') AND state IN ('succeeded', 'rolled_back') AND {WHOLE_SQL}"


class Releases(Feed):
    """The releases of all targets."""

    def put_release(self, release: "Release") -> str:
        """Stores a release unless it is known; returns its id. Event ``release`` when it is new."""
        from quarterdeck.config.release import to_json

        identity, digest = release.id, release.digest
        body = to_text(to_json(release))

        def put() -> str:
            known = self._row("SELECT digest FROM release WHERE id = ?", (identity,))
            if known is not None:
                if known[0] != digest:
                    raise JournalError(f"two different releases would have the name {identity}")
                return identity
            self._connection.execute(
                "INSERT INTO release (id, target, version, digest, body, first_seen) VALUES (?, ?, ?, ?, ?, ?)",
                (identity, release.target, release.version, digest, body, now()),
            )
            about = {
                "release": identity,
                "version": release.version,
                "digest": digest,
                "artifact": release.artifact.sha256,
            }
            self._event("release", release.target, None, None, about)
            return identity

        if self._row("SELECT 1 FROM release WHERE id = ? AND digest = ?", (identity, digest)) is not None:
            return identity  # immutable: known once is known for ever, and no commit is needed
        return self._write(put)

    def release(self, id: str) -> ReleaseRow | None:
        """The release of this id, None when the journal does not know it."""
        row = self._row(f"SELECT {COLUMNS} FROM release WHERE id = ?", (id,))  # noqa: S608 - constants
        return None if row is None else _to_release(row)

    def releases(self, target: str | None = None, limit: int = 50) -> list[ReleaseRow]:
        """Releases, the one seen first latest first."""
        condition, values = ("", []) if target is None else ("WHERE target = ?", [target])
        sql = f"SELECT {COLUMNS} FROM release {condition} ORDER BY number DESC LIMIT ?"  # noqa: S608 - constants
        return [_to_release(row) for row in self._rows(sql, [*values, limit])]

    def judge(self, id: str, verdict: str, reason: str, rollout: int | None = None) -> None:
        """Sets the verdict (untried, good or bad) on a release; event ``verdict``. Raises ``JournalError``: not known."""
        if verdict not in ("untried", "good", "bad"):
            raise ValueError(verdict)

        def change() -> None:
            known = self._row("SELECT target FROM release WHERE id = ?", (id,))
            if known is None:
                raise JournalError(f"the journal knows no release {id}")
            body = {"release": id, "verdict": verdict, "reason": reason}
            event = self._event("verdict", known[0], rollout, None, body)
            self._connection.execute(
                "UPDATE release SET verdict = ?, verdict_reason = ? WHERE id = ?", (verdict, plain(reason), id)
            )
            if verdict == "good":
                self._proved(id, event.time, event.seq)

        self._write(change, rollout=rollout)

    def last_good(self, target: str, *, other_than: str | None = None) -> ReleaseRow | None:
        """The release that was good last (a rollout to it succeeded, or it was judged so) and is not bad now."""
        row = self._row(
            f"SELECT {COLUMNS} FROM release WHERE target = ? AND verdict <> 'bad' AND last_good_seq IS NOT NULL"  # noqa: S608 - constants
            " AND id IS NOT ? ORDER BY last_good_seq DESC LIMIT 1",
            (target, other_than),
        )
        return None if row is None else _to_release(row)

    def current_release(self, target: str) -> str | None:
        """What the target runs as a whole, as far as the journal knows: where its last deploy or rollback ended well."""
        row = self._row(
            f"SELECT state, from_release, to_release FROM rollout WHERE target = ? AND {SETTLED_SQL}"  # noqa: S608 - constants
            " ORDER BY ended_seq DESC LIMIT 1",
            (target,),
        )
        if row is None:
            return None
        state, before, after = row
        found: str | None = after if state == "succeeded" else before
        return found

    def stood(self, target: str, limit: int = 200) -> list[Stood]:
        """What ``current_release`` was at each end of a rollout and since when, the newest first."""
        rows = self._rows(
            "SELECT r.state, r.from_release, r.to_release, e.time, e.body FROM rollout r JOIN event e ON e.seq = r.ended_seq"  # noqa: S608 - constants
            f" WHERE r.target = ? AND {SETTLED_SQL.replace('kind', 'r.kind').replace('state', 'r.state')}"
            " ORDER BY r.ended_seq DESC LIMIT ?",
            (target, limit),
        )
        found = []
        for state, before, after, time, text in rows:
            body = from_text(text)
            since = Moment(time, str(body.get("boot", "")), int(body.get("boottime", 0)))
            found.append(Stood(after if state == "succeeded" else before, since))
        return found

    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(now(), boot_id(), boottime())

    def _proved(self, id: str, time: str, seq: int) -> None:
        self._connection.execute("UPDATE release SET last_good = ?, last_good_seq = ? WHERE id = ?", (time, seq, id))


def _to_release(row: tuple[Any, ...]) -> ReleaseRow:
    from quarterdeck.config.release import release_from_json

    return ReleaseRow(release_from_json(from_text(row[1])), row[0], *row[2:])
