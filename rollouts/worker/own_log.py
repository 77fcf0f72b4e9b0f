"""The worker's own log. What is written to it goes through the mask of the secrets that the worker holds, tracebacks too."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # made with the first line that is written after a secret is known
    from quarterdeck.backends.secrets import Masker

_FORM: Final = "time=%(asctime)s level=%(levelname)s logger=%(name)s pid=%(process)d %(message)s"


class OwnLog(logging.Formatter):
    """Lines without any secret that it was told of."""

    def __init__(self) -> None:
        super().__init__(_FORM)
        self._values: set[str] = set()
        self._masker: Masker | None = None

    def hide(self, values: Iterable[str]) -> None:
        """These, too, from now on."""
        self._values.update(values)
        self._masker = None

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._values:
            return text
        if self._masker is None:
            from quarterdeck.backends.secrets import Masker

            self._masker = Masker(self._values)
        return self._masker.mask(text)


own_log: Final = OwnLog()
"""Of this process: a worker has one rollout."""
