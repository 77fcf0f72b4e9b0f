"""That a draft can be read: by the reader of fleet files, where it is going to stand. A service that it could not be read with
becomes a comment, with the reader's own reasons."""

import os
import tempfile
from pathlib import Path

import msgspec

from quarterdeck.config.first_file.draft import Draft, FoundService, Said, Waiting
from quarterdeck.config.first_file.secret_looks import without_secrets
from quarterdeck.config.first_file.writing import text_of
from quarterdeck.config.first_file.yaml_text import flow
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.problems import FleetFileErrors, Problem


def proved(draft: Draft, directory: Path) -> tuple[Draft, str, Fleet]:
    """The draft without what can't be read, its text, and the fleet that it declares. ``directory`` is where the file will stand.

    Raises ``FleetFileErrors`` where even the rest can't be read, which is a fault of ours.
    """
    good: list[FoundService] = []
    waiting = list(draft.waiting)
    left = list(draft.left)
    for service in draft.services:
        try:
            flow({service.name: service.keys})
        except ValueError as error:
            left.append(Said(service.source, "the service", f"it has {error}"))
            continue
        # Beside those that can be read already: two of them may be at odds.
        problems = _problems(msgspec.structs.replace(draft, services=(*good, service), waiting=()), directory)
        if problems:
            waiting.append(Waiting(service, tuple(_told(problem) for problem in problems)))
        else:
            good.append(service)
    kept = msgspec.structs.replace(draft, services=tuple(good), waiting=tuple(waiting), left=tuple(left))
    text = text_of(kept)
    return kept, text, _loaded(text, directory)


def _problems(draft: Draft, directory: Path) -> tuple[Problem, ...]:
    try:
        _loaded(text_of(draft), directory)
    except FleetFileErrors as error:
        return error.problems
    return ()


def _told(problem: Problem) -> str:
    """Without the place, which would be one in a file that there never was, and without what may be a secret."""
    return without_secrets(problem.message)


def _loaded(text: str, directory: Path) -> Fleet:
    """Read from a file in ``directory``, as relative paths begin there. It is gone afterwards."""
    descriptor, name = tempfile.mkstemp(prefix=".qd-init-", suffix=".yml", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return load_fleet(Path(name))
    finally:
        os.unlink(name)
