"""A spool filled by hand, for tests of what reads it."""

import os
from collections.abc import Sequence

from quarterdeck.rollouts.logs.lines import Clock, belongs_to_the_line_before, level_of
from quarterdeck.rollouts.logs.spool import Level, Spool, SpoolWriter, make_spool, pack

HOSTS = ("web-1", "web-2", "web-3")
BEGIN = 1_795_530_727_000  # 2026-11-24T14:32:07Z


class Filled:
    """``add`` writes lines as the collector does: the level is the line's own word, a line that is indented belongs to the one
    before it."""

    def __init__(self, *, lines: int = 1 << 20, text: int = 64 << 20) -> None:
        descriptor = make_spool(lines=lines, text=text)
        self.writer = SpoolWriter(descriptor)
        self.spool = Spool(os.dup(descriptor))
        self.time = BEGIN

    def add(self, *texts: str, host: int = 0, side: int = 0, every: int = 1000) -> None:
        infos, skips = [], []
        for text in texts:
            time, skip = Clock().read(text)
            continued = not time and belongs_to_the_line_before(text)
            if not continued:
                self.time += every
            infos.append(pack(time or self.time, host, level_of(text, skip), side, continued=continued))
            skips.append(skip)
        self.writer.add(texts, infos, skips)
        self.spool.look()

    def notice(self, text: str, host: int = 0) -> None:
        self.writer.add([text], [pack(self.time, host, Level.NOTICE)], [0])
        self.spool.look()

    def texts(self, numbers: Sequence[int]) -> list[str]:
        return [line.body for line in self.spool.lines(numbers)]

    def close(self) -> None:
        self.writer.close()
        self.spool.close()
