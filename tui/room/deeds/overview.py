"""What can be done with the overview beside moving in it: putting the matrix into another order, choosing what is worst."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.freezing import frozen_environments
from quarterdeck.tui.room.overview.matrix import Order
from quarterdeck.tui.room.overview.worst import least_ready, waiting, worst
from quarterdeck.tui.room.panes.matrix import Matrix


async def _sort(room: Room, words: Words) -> None:
    matrix = room.pane("matrix")
    assert isinstance(matrix, Matrix)
    if not matrix.display:
        room.say("only the matrix can be sorted; 1 shows it")
        return
    orders = list(Order)
    if words and words[0] not in orders:
        room.say(f"there is no order {words[0]}: {', '.join(orders)}")
        return
    order = Order(words[0]) if words else orders[(orders.index(matrix.order) + 1) % len(orders)]
    matrix.sort_by(order)
    room.say(f"matrix sorted by {order}")


async def _worst(room: Room, _words: Words) -> None:
    """Whatever the alert band speaks of: what is wrong, else what waits for somebody, else what has no way
    back, else what is frozen."""
    seen, _ = worst(room.picture)
    waits, _ = waiting(room.picture)
    shut, _ = least_ready(room.picture)
    frozen = frozen_environments(room.fleet.environments, room.picture, room.now())
    if seen is not None:
        room.choose(seen.target, rollout=seen.moving.id if seen.moving is not None else None)
    elif waits is not None:
        room.choose(waits.rollout.target, rollout=waits.id)
    elif shut is not None:
        room.choose(shut.target)
    elif frozen:
        there = [name for name in room.fleet.targets if name.partition("/")[0] == frozen[0][0]]
        service = (room.place.target or "").partition("/")[2]
        same = [name for name in there if name.partition("/")[2] == service]
        room.choose(next(iter([*same, *there]), None))
    else:
        room.say("nothing is wrong")


HANDLERS: dict[str, Handler] = {"sort": _sort, "worst": _worst}
