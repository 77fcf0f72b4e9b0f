"""How long a task may be unwell before its update is given up."""

from quarterdeck.backends.hosts.swarm.patience import Patience


def looks(patience: Patience, *seen: tuple[float, str, str]) -> list[bool]:
    """Whether it was over after each of these: when, who ran, who was well of them (a letter for each task)."""
    told = []
    for now, running, well in seen:
        patience.look(now)
        patience.saw(running, well, now)
        told.append(patience.is_over(now))
    return told


def every(seconds: float, until: float, running: str, well: str, begin: float = 0.0) -> list[tuple[float, str, str]]:
    return [(begin + seconds * n, running, well) for n in range(int((until - begin) / seconds) + 1)]


def test_a_task_that_never_becomes_well_is_given_up_after_that_long() -> None:
    told = looks(Patience(10.0), *every(1.0, 12.0, "a", ""))
    assert told == [False] * 11 + [True] * 2


def test_each_task_has_its_own_from_when_it_runs() -> None:
    patience = Patience(10.0)
    assert not any(looks(patience, *every(1.0, 9.0, "a", "a")))
    assert not any(looks(patience, *every(1.0, 20.0, "ab", "a", begin=10.0)))
    assert looks(patience, (20.5, "ab", "a")) == [True]


def test_one_that_is_well_in_between_begins_again() -> None:
    patience = Patience(10.0)
    assert not any(looks(patience, *every(1.0, 8.0, "a", ""), (9.0, "a", "a"), *every(1.0, 20.0, "a", "", begin=10.0)))
    assert looks(patience, (20.5, "a", "")) == [True]


def test_one_that_is_gone_is_forgotten() -> None:
    patience = Patience(10.0)
    assert not any(looks(patience, *every(1.0, 9.0, "ab", "a"), *every(1.0, 30.0, "a", "a", begin=10.0)))


def test_what_nobody_could_see_counts_for_nothing() -> None:
    """Managers hung for twenty seconds, six of its ten had gone before."""
    patience = Patience(10.0)
    assert not any(looks(patience, *every(1.0, 6.0, "a", ""), (26.0, "a", ""), *every(1.0, 30.0, "a", "", begin=27.0)))
    assert looks(patience, (30.5, "a", "")) == [True]


def test_a_health_check_that_takes_long_is_a_look() -> None:
    patience = Patience(10.0)
    patience.look(0.0)
    patience.saw("a", "", 0.0)
    patience.look(0.5)
    patience.saw("a", "", 11.0)
    assert patience.is_over(11.0)


def test_those_that_may_have_waited_for_others_begin_anew() -> None:
    patience = Patience(10.0)
    assert not any(looks(patience, *every(1.0, 9.0, "a", "")))
    patience.begin_anew(9.0)
    assert not any(looks(patience, *every(1.0, 19.0, "a", "", begin=10.0)))
    assert looks(patience, (19.5, "a", "")) == [True]
