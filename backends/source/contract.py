"""What is known of a repository: commits, and which of them lie between two. Pure values."""

import msgspec


class Commit(msgspec.Struct, frozen=True):
    """``time``: when it was committed, ISO 8601 with its zone. ``author`` and ``subject`` are others' words, cleaned, in one line."""

    sha: str
    author: str
    time: str
    subject: str


class Commits(msgspec.Struct, frozen=True):
    """From ``before`` to ``after`` (whole names): those that come with it, and those that are left with it, the newest first.
    ``came_in_all`` and ``went_in_all`` count also those that are not listed."""

    before: str
    after: str
    came: tuple[Commit, ...] = ()
    went: tuple[Commit, ...] = ()
    came_in_all: int = 0
    went_in_all: int = 0
