"""What can be done with the overview beside moving in it: putting the matrix into another order, choosing what is worst."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.overview.matrix import Order
from quarterdeck.tui.room.overview.worst import wrong_or_unready
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
    seen = wrong_or_unready(room.picture)
    if seen is None:
        room.say("nothing is wrong")
    else:
        room.choose(seen.target)


HANDLERS: dict[str, Handler] = {"sort": _sort, "worst": _worst}
