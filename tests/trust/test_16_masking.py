"""Promise 16, the part of what commands print: no secret is left in a text that went through the mask, however it was written.

Seen to fail without the form in hex: in the seven cases of it.
"""

import pytest

from quarterdeck.backends.secrets import Masker
from tests.trust.canaries import CANARIES, ENCODINGS
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(16)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("canary", CANARIES)
def test_no_piece_of_a_secret_is_left_in_an_output(canary: str, encoding: str, promise: Promises) -> None:
    secret = CANARIES[canary]
    written = ENCODINGS[encoding](secret)
    text = f"12:00:00 deploying\nGET /?t={written} 200\n{written}\nconnecting as {written}, done\n"
    masked = Masker([secret, "another-secret-of-somebody"]).mask(text)
    for line in written.splitlines():
        for start in range(max(1, len(line) - 9)):
            assert line[start : start + 10] not in masked
    assert masked.startswith("12:00:00 deploying\nGET /?t=")
    assert masked.endswith(", done\n")
    promise(16).count("texts masked")
