"""What is chosen when the chosen target leaves the fleet file: a neighbour, and that is said. It moves nothing else, ever."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quarterdeck.tui.room.acting import Acting
    from quarterdeck.tui.room.desk import News
    from quarterdeck.tui.room.opening import Place


def neighbour(gone: str, targets: Collection[str], environments: Sequence[str], services: Sequence[str]) -> str | None:
    """The same service in the environment before ``gone``, else in one behind it; else, in its environment, the service below it,
    else above; else any target. ``environments`` and ``services``: as they stood on the screen. None: there is no target left."""
    environment, _, service = gone.partition("/")
    before, behind = _around(environment, environments)
    above, below = _around(service, services)
    wanted = [f"{name}/{service}" for name in (*before, *behind)]
    wanted += [f"{environment}/{name}" for name in (*below, *above)]
    return next((name for name in wanted if name in targets), next(iter(targets), None))


def _around(name: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those before it and those behind it, the nearest first."""
    at = names.index(name) if name in names else len(names)
    return list(reversed(names[:at])), list(names[at + 1 :])


class Neighbours:
    """Looks, with each news, whether the chosen target is still there. Selection and picture move together."""

    def __init__(self, room: "Acting") -> None:
        self._room = room
        self._environments: tuple[str, ...] = ()
        self._services: tuple[str, ...] = ()

    def news_came(self, news: "News") -> None:
        room, gone = self._room, self._room.place.target
        targets = room.fleet.targets
        if gone is None or gone in targets or (news.picture.targets and gone in news.picture.targets):
            self._environments, self._services = news.picture.environments, self._on_screen(news)
            return
        now = neighbour(gone, targets, self._environments, self._services)
        room.leave_gone(now)
        became = f"{now} is chosen now" if now is not None else "no target is left"
        room.say(f"{gone} is not in the fleet file any more: {became}")

    def _on_screen(self, news: "News") -> tuple[str, ...]:
        from quarterdeck.tui.room.panes.matrix import Matrix  # panes come with the first frame

        matrix = self._room.made("matrix")
        return tuple(matrix.services) if isinstance(matrix, Matrix) and matrix.services else news.picture.services

    def place_changed(self, place: "Place") -> None:
        """Whatever is chosen by hand is there."""

    def close(self) -> None:
        """Nothing is held."""
