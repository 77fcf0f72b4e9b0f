"""What an error tells: a secret is masked before anything is cut, and the advice is never cut off."""

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.ssh.answer import parse, require
from quarterdeck.backends.secrets import Masker

SECRET = "s3cret-value-of-forty-characters-length!"
MASK = Masker([SECRET]).mask


@pytest.mark.parametrize("cut", range(0, 41, 5))
@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (b"M error failed cannot write\n", "errors"),
        (b"M output\n%s\nM end-output\nM error command 3 start\n", "output"),
        (b"", "errors"),
    ],
)
def test_a_secret_is_masked_wherever_a_long_line_is_cut(cut: int, answer: bytes, where: str) -> None:
    line = (f"Permission denied: {SECRET}" + "x" * (300 - cut)).encode()
    told = answer % line if where == "output" else answer
    with pytest.raises(BackendError) as refused:
        require("web-1", "switch", parse("M", told, line if where == "errors" else b"", 1))
    text = refused.value.told(MASK)
    assert not any(SECRET[start : start + 8] in text for start in range(len(SECRET) - 8)), text
    assert "****" in text


def test_a_long_problem_is_shortened_and_its_advice_is_whole() -> None:
    error = BackendError(
        "web-1", "switch", "y" * 5000, left="nothing was changed there", advice="make room " + "z" * 300
    )
    assert len(str(error)) < 1100
    assert str(error).endswith("Make room " + "z" * 300)
