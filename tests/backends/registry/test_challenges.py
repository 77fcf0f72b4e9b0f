"""What a registry asks for is read as RFC 9110 writes it, and a token is kept for as long as it holds."""

import httpx
import pytest

from quarterdeck.backends.artifacts.registry.authorizing import (
    AskForToken,
    CannotAuthorize,
    Ready,
    next_step,
    read_token,
)
from quarterdeck.backends.artifacts.registry.challenges import Token, TokenMemory, read_challenges
from quarterdeck.backends.artifacts.registry.docker_config import Login

SCOPE = "repository:team/api:pull"
LOGIN = Login("ci", "hunter2")


def test_challenges_are_read_however_they_are_written() -> None:
    bearer = (
        'Bearer realm="https://a.io/token",service="a, \\"b\\"", scope="repository:x:pull,push",error=invalid_token'
    )
    (found,) = read_challenges([bearer])
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://a.io/token",
        "service": 'a, "b"',
        "scope": "repository:x:pull,push",
        "error": "invalid_token",
    }
    assert [one.scheme for one in read_challenges(['Basic realm="x", Bearer realm="https://a.io"'])] == [
        "basic",
        "bearer",
    ]
    assert [one.scheme for one in read_challenges(["Negotiate", "Basic Realm=x"])] == ["negotiate", "basic"]
    assert read_challenges(["Basic Realm=x"])[0].parameters == {"realm": "x"}
    for nonsense in ("", ",,,", '"', "=x", 'Bearer realm="https://a.io'):
        assert all(one.parameters == {} for one in read_challenges([nonsense]))


def test_a_token_is_asked_for_without_a_login_with_one_and_with_an_identity() -> None:
    header = ['Bearer realm="https://a.io/token?x=1",service="a"']
    nobody = next_step(header, SCOPE, None)
    assert isinstance(nobody, AskForToken)
    assert (nobody.method, nobody.headers, nobody.form) == ("GET", {}, None)
    assert dict(nobody.url.params) == {"x": "1", "scope": SCOPE, "service": "a"}
    somebody = next_step(header, SCOPE, LOGIN)
    assert isinstance(somebody, AskForToken)
    assert somebody.headers == {"Authorization": "Basic Y2k6aHVudGVyMg=="}
    identity = next_step(header, SCOPE, Login(identity_token="refreshing"))
    assert isinstance(identity, AskForToken)
    assert (identity.method, identity.headers) == ("POST", {})
    assert identity.form == {
        "grant_type": "refresh_token",
        "client_id": "quarterdeck",
        "refresh_token": "refreshing",
        "scope": SCOPE,
        "service": "a",
    }
    assert "hunter2" not in repr(somebody) + repr(LOGIN)
    assert "refreshing" not in repr(identity)


def test_the_scope_is_the_one_that_the_registry_names() -> None:
    step = next_step(['Bearer realm="https://a.io/token",scope="repository:other:pull"'], SCOPE, None)
    assert isinstance(step, AskForToken)
    assert step.url.params["scope"] == "repository:other:pull"


def test_a_token_is_preferred_to_a_password_and_a_registry_token_is_used_as_it_is() -> None:
    both = ['Basic realm="x"', 'Bearer realm="https://a.io/token"']
    assert isinstance(next_step(both, SCOPE, LOGIN), AskForToken)
    assert next_step(both, SCOPE, Login(registry_token="as-it-is")) == Ready("Bearer as-it-is")
    assert next_step(both[:1], SCOPE, LOGIN) == Ready("Basic Y2k6aHVudGVyMg==")
    assert next_step(both[:1], SCOPE, None) is None


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Negotiate", "neither a token nor a password"),
        ("", "neither a token nor a password"),
        ('Bearer service="a"', "no token server that can be asked"),
        ('Bearer realm="file:///etc/passwd"', "no token server that can be asked"),
        ('Bearer realm="https://user@a.io/token"', "no token server that can be asked"),
        ('Bearer realm="http://a.io/token"', "no encryption"),
        ('Bearer realm="http://127.0.0.1/token"', "no encryption"),
    ],
)
def test_no_login_goes_where_it_could_be_read_or_to_nowhere(header: str, told: str) -> None:
    with pytest.raises(CannotAuthorize, match=told):
        next_step([header], SCOPE, LOGIN)


def test_only_a_registry_on_this_machine_may_have_its_token_server_there_without_encryption() -> None:
    assert isinstance(next_step(['Bearer realm="http://127.0.0.1:1/token"'], SCOPE, LOGIN, plain=True), AskForToken)
    with pytest.raises(CannotAuthorize, match="no encryption"):
        next_step(['Bearer realm="http://a.io/token"'], SCOPE, LOGIN, plain=True)


def test_tokens_are_read_under_both_their_names_and_nothing_else_is_taken_for_one() -> None:
    assert read_token(b'{"token": "a.b-c", "expires_in": 300}').value == "a.b-c"
    assert read_token(b'{"access_token": "abc="}') == Token("abc=", None)
    for bad in (b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": 1}', b"\xff"):
        with pytest.raises(CannotAuthorize, match="no token"):
            read_token(bad)


def test_a_token_is_kept_for_a_little_less_than_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    memory = TokenMemory()
    memory.keep(("a",), Token("first", 300.0))
    memory.keep(("b",), Token("second"))
    memory.keep(("c",), Token("third", 0.0))
    assert (memory.find(("a",)), memory.find(("b",)), memory.find(("c",))) == ("first", "second", None)
    now = 1051.0
    assert (memory.find(("a",)), memory.find(("b",))) == ("first", None)
    now = 1291.0
    assert memory.find(("a",)) is None
    memory.keep(("a",), Token("again", 300.0))
    memory.forget(("a",))
    assert memory.find(("a",)) is None
    assert "first" not in repr(Token("first"))


def test_the_memory_of_tokens_is_bounded() -> None:
    memory = TokenMemory()
    for number in range(1000):
        memory.keep((number,), Token("x", 300.0))
    assert memory.find((999,)) == "x"
    assert memory.find((0,)) is None
    assert len([number for number in range(1000) if memory.find((number,))]) == 256


def test_httpx_writes_a_question_as_the_specification_has_it() -> None:
    step = next_step(['Bearer realm="https://a.io/token",service="a b&c"'], "repository:a/b:pull", None)
    assert isinstance(step, AskForToken)
    assert httpx.QueryParams(step.url.query.decode()) == httpx.QueryParams(
        {"scope": "repository:a/b:pull", "service": "a b&c"}
    )
