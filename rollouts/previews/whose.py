"""Whether what runs on a host of a target was put there for it by this fleet, as far as its journal knows. Pure."""

from quarterdeck.backends.hosts.contract import TargetFacts


def of_another_fleet(facts: TargetFacts, target: str, own: str, *, known: bool) -> str:
    """In words, where what runs there was put there for a target of the same name of another fleet than ``own`` (empty: not told); else
    empty. ``known``: this journal knows what is current there, for instance because it was adopted."""
    if not own or facts.fleet in ("", own) or facts.current is None or known:
        return ""
    return (
        f"{facts.current} runs there as {target} of the fleet {facts.fleet}, and this is the fleet {own}: give the service "
        f"or the environment another name, or, where it is the same one, qd adopt {target} first"
    )
