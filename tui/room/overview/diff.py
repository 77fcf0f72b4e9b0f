"""What a rollback would change back, in a few lines: commits, image, configuration, secrets. Pure."""

from collections.abc import Sequence

from quarterdeck.rollouts.differences.releases import Change, Difference, FileChange
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis


def diff_rows(difference: Difference, width: int) -> list[Row]:
    """From the way back to what runs: what the release that runs brought."""
    if difference.empty:
        return [(Span(" nothing differs: the same artifact, configuration and secrets", Role.DIM),)]
    rows: list[Row] = []
    facts = {change.name: change for change in difference.facts}
    first = [_fact(facts[name]) for name in ("commit", "digest") if name in facts]
    secrets = [secret for secret in difference.secrets if secret.value != "same"]
    first.append(f"secrets {', '.join(f'{s.name}: {s.value}' for s in secrets)}" if secrets else "secrets same")
    rows.append(_line("release", first, width))
    if difference.env:
        rows.append(_line("env", [_change(change) for change in difference.env], width))
    if difference.files:
        rows.append(_line("files", [_file(change) for change in difference.files], width))
    for name, changes in difference.settings.items():
        if changes:
            rows.append(_line(name, [_change(change) for change in changes], width))
    return rows


def _line(name: str, parts: Sequence[str], width: int) -> Row:
    return Span(f" {name:8} ", Role.DIM), Span(ellipsis("   ".join(parts), max(width - 10, 0)))


def _fact(change: Change) -> str:
    return f"{change.name} {(change.before or '-')[:12]} -> {(change.after or '-')[:12]}"


def _change(change: Change) -> str:
    if change.before is None:
        return f"+{change.name}={change.after}"
    if change.after is None:
        return f"-{change.name}"
    return f"{change.name} {change.before} -> {change.after}"


def _file(change: FileChange) -> str:
    added = sum(line.startswith("+") and not line.startswith("+++") for line in change.diff)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in change.diff)
    return f"{change.path} {'' if change.kind == 'changed' else change.kind + ' '}+{added} -{removed}"
