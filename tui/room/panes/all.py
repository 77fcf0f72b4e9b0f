"""All panes, in the order in which Tab goes through them."""

from quarterdeck.tui.room.pane import Pane
from quarterdeck.tui.room.panes.alert import AlertBand
from quarterdeck.tui.room.panes.builds import Builds
from quarterdeck.tui.room.panes.drift import Drift
from quarterdeck.tui.room.panes.footer import Footer
from quarterdeck.tui.room.panes.guide import Guide
from quarterdeck.tui.room.panes.header import Header
from quarterdeck.tui.room.panes.history import Entry, History
from quarterdeck.tui.room.panes.matrix import Matrix
from quarterdeck.tui.room.panes.readiness import Readiness
from quarterdeck.tui.room.panes.tabs import Tabs
from quarterdeck.tui.room.panes.timeline import Timeline


def make_panes() -> list[Pane]:
    """New ones, for one application."""
    return [
        Header(),
        Tabs(),
        AlertBand(),
        Matrix(),
        Timeline(),
        History(),
        Entry(),
        Drift(),
        Readiness(),
        Builds(),
        Footer(),
        Guide(),
    ]
