"""Reads what ``new_lines.sh`` answered: a log's lines since a mark, and the next mark. Pure."""

from quarterdeck.backends.errors import CommandFailed, NotPermitted
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.hosts.ssh.answer import Answer, senseless
from quarterdeck.backends.numbers import number_in
from quarterdeck.config.model import Logs

_FILES = "files"  # begins the mark of files; that of a journal is its cursor


def read_new_lines(host: str, action: str, logs: Logs, since: str, answer: Answer, *, most: int) -> NewLines:
    """Raises ``CommandFailed`` where there is no such log, ``NotPermitted`` where it may not be read."""
    if not answer.has("done"):
        raise _failed(host, action, "it ended by itself", answer)
    for file in answer.every("unreadable"):
        raise NotPermitted(host, action, f"{file}: permission denied", advice="let the login user read it")
    mark = _journal_mark(host, action, since, answer) if logs.journal else _files_mark(host, action, logs, answer)
    if not since:
        return NewLines(mark)
    texts = answer.output.split("\n") if answer.output else ()
    there = sum(_whole(host, action, answer, count) for count in answer.every("lines"))
    return NewLines(mark, texts[:most], max(0, there - most))


def _journal_mark(host: str, action: str, since: str, answer: Answer) -> str:
    cursor = answer.one("cursor")
    if cursor:
        return cursor
    if answer.errors:
        raise _failed(host, action, answer.errors.splitlines()[-1], answer)
    if not since:
        advice = "let the login user read the journal: the group systemd-journal may"
        raise NotPermitted(host, action, "the journal shows nothing to the login user", advice=advice)
    return since  # nothing came


def _files_mark(host: str, action: str, logs: Logs, answer: Answer) -> str:
    ends: list[str] = []
    left = 0
    for word, rest in answer.words:
        if word == "left":
            left = _whole(host, action, answer, rest)
        elif word == "file":
            inode, _, size = rest.partition(" ")
            if not (inode.isascii() and inode.isdigit()):  # one of 64 bits is a name of a file as any other
                raise senseless(host, action, answer, inode)
            ends.append(f"{inode}:{_whole(host, action, answer, size) - left}")
            left = 0
    if not ends:
        raise _failed(host, action, f"{' '.join(logs.files)}: no such file", answer)
    return " ".join((_FILES, *ends))


def _whole(host: str, action: str, answer: Answer, text: str) -> int:
    found = number_in(text.strip())
    if found is None:
        raise senseless(host, action, answer, text)
    return found


def _failed(host: str, action: str, problem: str, answer: Answer) -> CommandFailed:
    return CommandFailed(host, action, problem, exit_status=answer.exit_status, output=answer.errors)
