"""All targets, by name. A new one is put into a module beside this one, which is named here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.fuzz import (
    fleet_files,
    host_answers,
    journals,
    manifests,
    remote_answers,
    shell_arguments,
    shown_text,
    typed_words,
)
from tests.fuzz.target import Target

_MODULES: Final = (
    fleet_files,
    shown_text,
    shell_arguments,
    host_answers,
    manifests,
    typed_words,
    remote_answers,
    journals,
)
TARGETS: Final[Mapping[str, Target]] = {target.name: target for module in _MODULES for target in module.TARGETS}
CORPUS: Final = Path(__file__).parent / "corpus"


def kept_inputs(name: str) -> list[Path]:
    """The inputs that are kept in the repository: those that once were a fault, and those that reach far."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
