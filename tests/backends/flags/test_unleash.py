"""Unleash: what of a flag is its share there, what it refuses, what may pass, and where the token goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, FlagRefused, NotPermitted, NotReadBack, Unreachable
from quarterdeck.backends.flags.contract import FlagState
from tests.backends.flags.kinds import OnUnleash
from tests.backends.flags.unleash_server import TOKEN, strategy, unleash_server
from tests.sshd import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def kind(tmp_path: Path) -> Iterator[OnUnleash]:
    with unleash_server() as server:
        yield OnUnleash(server, tmp_path)


async def test_a_flag_without_a_strategy_gets_one_before_it_is_switched_on(kind: OnUnleash) -> None:
    """Else Unleash adds one of its own, by which everybody gets it."""
    await kind.connect().set(5)
    changes = [(method, path.rpartition("/production")[2]) for method, path in kind.server.asked if method != "GET"]
    assert changes == [("POST", "/strategies"), ("POST", "/on")]
    assert kind.server.rollout("new-checkout") == "5"


async def test_it_is_off_before_its_rollout_changes(kind: OnUnleash) -> None:
    kind.server.add("new-checkout", strategy("5"), enabled=True)
    await kind.connect().set(50, enabled=False)
    changes = [(method, path.rpartition("/production")[2]) for method, path in kind.server.asked if method != "GET"]
    assert changes == [("POST", "/off"), ("PATCH", "/strategies/7c515bec-ac4d")]


async def test_what_somebody_has_set_in_fractions_can_be_put_back(kind: OnUnleash) -> None:
    kind.server.add("new-checkout", strategy("2.5"), enabled=True)
    flag = kind.connect()
    was = await flag.read()
    await flag.set(20)
    assert (await flag.set(was.percent, force=True)).state == was == FlagState(2.5)


async def test_the_share_is_that_of_the_one_strategy_for_all(kind: OnUnleash) -> None:
    testers = strategy("100", id="t", constraints=[{"contextName": "userId", "operator": "IN", "values": ["7"]}])
    others = [testers, strategy("", id="u", name="userWithId"), strategy("90", id="d", disabled=True)]
    kind.server.add("new-checkout", *others, strategy("5"), enabled=True)
    flag = kind.connect()
    assert await flag.read() == FlagState(5)
    await flag.set(20)
    assert [one["parameters"]["rollout"] for one in kind.server.flags["new-checkout"]["strategies"]] == [
        "100",
        "",
        "90",
        "20",
    ]


@pytest.mark.parametrize(
    ("strategies", "problem"),
    [
        ([strategy("5"), strategy("", id="d", name="default")], "a strategy `default` besides"),
        ([strategy("5"), strategy("5", id="b")], "2 strategies `flexibleRollout` that are enabled"),
        ([strategy("5", disabled=True)], "no strategies `flexibleRollout` that are enabled"),
        ([strategy("many")], "its rollout is 'many', no percentage"),
    ],
)
async def test_what_is_no_share_is_told_and_only_switched_off(
    kind: OnUnleash, strategies: list[dict[str, object]], problem: str
) -> None:
    kind.server.add("new-checkout", *strategies, enabled=True)
    flag = kind.connect()
    state = await flag.read()
    assert (state.percent, len(state.problems)) == (100, 1)
    assert problem in state.problems[0]
    with pytest.raises(FlagRefused, match=r"is its share|besides|no percentage") as told:
        await flag.set(20)
    assert told.value.untouched
    assert kind.server.flags["new-checkout"]["strategies"] == strategies
    assert (await flag.set(0, force=True)).state.reaches == 0
    assert not kind.server.flags["new-checkout"]["enabled"]


async def test_a_token_that_is_none(kind: OnUnleash) -> None:
    (kind.directory / "token").write_text("hunter2-hunter2")
    with pytest.raises(
        NotPermitted,
        match=r"HTTP 401, You must log in to use Unleash\. The flag was not changed\. Check the flag's token",
    ) as told:
        await kind.connect().set(5)
    assert told.value.untouched
    assert "hunter2" not in str(told.value)


async def test_a_client_s_token(kind: OnUnleash) -> None:
    kind.server.client = True
    with pytest.raises(NotPermitted, match="HTTP 403, invalid token: expected a different token type"):
        await kind.connect().read()


async def test_a_flag_that_there_is_not(kind: OnUnleash) -> None:
    with pytest.raises(FlagRefused, match="HTTP 404, There's no feature named"):
        await kind.connect(flag="nope").read()
    with pytest.raises(FlagRefused, match="Is new-checkout a flag of the project default, and nowhere one of its env"):
        await kind.connect(environment="nowhere").read()


async def test_what_may_pass_is_asked_again(kind: OnUnleash) -> None:
    kind.server.add("new-checkout", strategy("5"), enabled=True)
    kind.server.busy = 2
    assert (await kind.connect().set(20)).state == FlagState(20)
    kind.server.busy = 100
    with pytest.raises(FlagRefused, match=r"HTTP 429, Too many requests: too many requests\. The flag was not changed"):
        await kind.connect().set(30)


async def test_a_strategy_is_made_once(kind: OnUnleash) -> None:
    flag = kind.connect()
    kind.server.failing = 1
    with pytest.raises(FlagRefused, match="HTTP 503") as told:
        await flag.set(5)
    assert not told.value.untouched
    assert kind.server.flags["new-checkout"]["strategies"] == []
    assert (await flag.set(5)).state == FlagState(5)
    assert len(kind.server.flags["new-checkout"]["strategies"]) == 1


async def test_what_is_not_read_back_is_no_success(kind: OnUnleash) -> None:
    kind.server.add("new-checkout", strategy("5"), enabled=True)
    kind.server.stubborn = True
    with pytest.raises(NotReadBack, match="the server took it, and says 5 % now"):
        await kind.connect().set(20)
    with pytest.raises(NotReadBack):
        await kind.connect().off()


async def test_one_that_does_not_answer(kind: OnUnleash) -> None:
    kind.server.silent.clear()
    with pytest.raises(Unreachable, match=r"no answer within 0\.5 s\. The flag was not changed") as told:
        await kind.connect().set(5, deadline=0.5)
    assert told.value.untouched


async def test_one_that_is_not_there(kind: OnUnleash) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        await kind.connect(url=f"http://127.0.0.1:{free_port()}").read(deadline=2)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://unleash.example.com", "would go over the network without encryption"),
        ("https://me:pw@unleash.example.com", "without a login"),
        ("ftp://unleash.example.com", "is not one of http"),
        ("unleash", "is not one of http"),
    ],
)
async def test_where_the_token_does_not_go(kind: OnUnleash, url: str, why: str) -> None:
    with pytest.raises(FlagRefused, match=why) as told:
        await kind.connect(url=url).read()
    assert TOKEN not in str(told.value)
    assert "pw" not in str(told.value)


async def test_names_are_names(kind: OnUnleash) -> None:
    with pytest.raises(BackendError, match="404"):
        await kind.connect(flag="../../x?y#z").read()
    assert kind.server.asked[-1][1].startswith("/api/admin/projects/default/features/..%2F..%2Fx%3Fy%23z/environments/")


async def test_a_flag_at_zero_reads_as_such_in_an_empty_answer(kind: OnUnleash) -> None:
    assert await kind.connect().read() == FlagState(0, enabled=False)
