"""A log one line at a time, of what is read in batches."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from quarterdeck.backends.hosts.contract import LogBatch, LogLine


async def line_by_line(going: AsyncGenerator[LogBatch, None]) -> AsyncGenerator[LogLine, None]:
    """Closing it closes ``going``. Lines that were lost are told with the first one after them."""
    async with aclosing(going) as batches:
        async for batch in batches:
            dropped = batch.dropped
            for at, text in enumerate(batch.texts):
                time = batch.times[at] if batch.times else None
                yield LogLine(batch.host, batch.source + text, time, dropped, batch.source)
                dropped = 0
