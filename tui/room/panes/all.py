"""All panes, in the order in which Tab goes through them. One is loaded and made when it is first on the screen: a start shows a
third of them."""

from importlib import import_module
from typing import Final

from quarterdeck.tui.room.pane import Pane

PANES: Final = {
    "header": ("header", "Header"),
    "clock": ("header", "Clock"),
    "tabs": ("tabs", "Tabs"),
    "alert": ("alert", "AlertBand"),
    "matrix": ("matrix", "Matrix"),
    "card": ("card", "TargetCard"),
    "rollouts": ("rollouts", "Rollouts"),
    "diff": ("diff", "Diff"),
    "health-list": ("health_list", "HealthList"),
    "health": ("health", "HealthPane"),
    "vitals": ("vitals", "Vitals"),
    "logs": ("logs", "Logs"),
    "timeline": ("timeline", "Timeline"),
    "rollout-list": ("rollout", "RolloutList"),
    "rollout": ("rollout", "RolloutWhole"),
    "history": ("history", "History"),
    "entry": ("history", "Entry"),
    "drift": ("drift", "Drift"),
    "readiness": ("readiness", "Readiness"),
    "builds": ("builds", "Builds"),
    "footer": ("footer", "Footer"),
    "guide": ("guide", "Guide"),
}
"""By name: the file of this folder, and the class in it."""

ORDER: Final = {name: place for place, name in enumerate(PANES)}


def make_pane(name: str) -> Pane:
    """A new one, for one application. Raises KeyError for a name that no pane has."""
    file, kind = PANES[name]
    pane: Pane = getattr(import_module(f"quarterdeck.tui.room.panes.{file}"), kind)()
    return pane
