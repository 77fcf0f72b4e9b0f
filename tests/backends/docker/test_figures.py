"""What is worked out from two looks at a container: shares of the processor and rates of its networks. Pure."""

from typing import Any

from quarterdeck.backends.hosts.docker.figures import LastLooks


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(used: int, machine: int, came: int = 0, went: int = 0) -> dict[str, Any]:
    """``used`` of ``machine`` nanoseconds of both cores."""
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": machine, "online_cpus": 2},
        "networks": {"eth0": {"rx_bytes": came, "tx_bytes": 0}, "eth1": {"rx_bytes": 0, "tx_bytes": went}},
    }


def test_shares_and_rates_are_those_between_two_looks() -> None:
    clock = Clock()
    looks = LastLooks(clock)
    looks.begin(["a"])
    assert (looks.share("a", told(10, 1000)), looks.rates("a", told(10, 1000, 500, 50))) == (None, (None, None))
    clock.now += 5
    looks.begin(["a"])
    assert looks.share("a", told(260, 2000)) == 50.0  # a quarter of two cores
    assert looks.rates("a", told(260, 2000, 1500, 100)) == (200.0, 10.0)


def test_one_that_was_started_anew_counts_from_there() -> None:
    clock = Clock()
    looks = LastLooks(clock)
    looks.share("a", told(10, 1000))
    looks.rates("a", told(10, 1000, 500, 50))
    clock.now += 5
    looks.begin(["a"])
    assert looks.share("a", told(5, 2000)) is None
    assert looks.rates("a", told(5, 2000, 20, 60)) == (None, None)
    clock.now += 1
    assert looks.share("a", told(55, 3000)) == 10.0
    assert looks.rates("a", told(55, 3000, 120, 60)) == (100.0, 0.0)


def test_the_mean_of_a_long_time_is_no_figure_of_now() -> None:
    """Nobody had it on the screen for a while, or had another one."""
    clock = Clock()
    looks = LastLooks(clock)
    looks.begin(["a", "b"])
    looks.share("a", told(10, 1000))
    looks.share("b", told(10, 1000))
    clock.now += 59
    looks.begin(["a"])
    assert looks.share("a", told(110, 2000)) == 20.0
    clock.now += 1
    looks.begin(["a", "b"])
    assert looks.share("b", told(110, 2000)) is None
    clock.now += 61
    looks.begin(["a", "b"])
    assert looks.share("a", told(210, 3000)) is None


def test_without_a_network_of_its_own_it_has_no_rates() -> None:
    looks = LastLooks()
    assert looks.rates("a", {}) == looks.rates("a", {"networks": {}}) == (None, None)
