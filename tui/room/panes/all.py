"""All panes, in the order in which Tab goes through them."""

from quarterdeck.tui.room.pane import Pane
from quarterdeck.tui.room.panes.alert import AlertBand
from quarterdeck.tui.room.panes.builds import Builds
from quarterdeck.tui.room.panes.card import TargetCard
from quarterdeck.tui.room.panes.diff import Diff
from quarterdeck.tui.room.panes.drift import Drift
from quarterdeck.tui.room.panes.footer import Footer
from quarterdeck.tui.room.panes.guide import Guide
from quarterdeck.tui.room.panes.header import Clock, Header
from quarterdeck.tui.room.panes.health import HealthPane
from quarterdeck.tui.room.panes.health_list import HealthList
from quarterdeck.tui.room.panes.history import Entry, History
from quarterdeck.tui.room.panes.logs import Logs
from quarterdeck.tui.room.panes.matrix import Matrix
from quarterdeck.tui.room.panes.readiness import Readiness
from quarterdeck.tui.room.panes.rollout import RolloutList, RolloutWhole
from quarterdeck.tui.room.panes.rollouts import Rollouts
from quarterdeck.tui.room.panes.tabs import Tabs
from quarterdeck.tui.room.panes.timeline import Timeline
from quarterdeck.tui.room.panes.vitals import Vitals


def make_panes() -> list[Pane]:
    """New ones, for one application."""
    return [
        Header(),
        Clock(),
        Tabs(),
        AlertBand(),
        Matrix(),
        TargetCard(),
        Rollouts(),
        Diff(),
        HealthList(),
        HealthPane(),
        Vitals(),
        Logs(),
        Timeline(),
        RolloutList(),
        RolloutWhole(),
        History(),
        Entry(),
        Drift(),
        Readiness(),
        Builds(),
        Footer(),
        Guide(),
    ]
