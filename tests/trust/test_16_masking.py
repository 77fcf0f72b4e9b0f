"""Promise 16, the part of what commands print: no secret is left in a text that went through the mask, however it was written."""

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from quarterdeck.backends.secrets import Masker
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(16)

CANARIES = {
    "plain": "canaryQ7f3a9ZkP0w",
    "url": "postgres://app:cAnary/9+k=ry@db.internal:5432/app?sslmode=require&x=1",
    "quotes": """ca'na"ry\\7$f3`a9! #%{x}""",
    "every mark": "~ca!n#$%^&*()_+-={}[]|:;<>?,./'\"\\`~ry 7",
    "unicode": "canäry/ключ/秘密/7f3a",
    "long": "canary" + "".join(f"{number * 7919 % 99991:05d}" for number in range(60)),
    "lines": "canary-first-line-77\ncanary\tsecond 'line' 88\ncanary-third-line-99",
}


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        input=given,
        encoding="utf-8",
        capture_output=True,
        check=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )


def lower_percent(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def traced(shell: str) -> Callable[[str], str]:
    """What ``set -x`` writes when the secret is an argument."""
    return lambda secret: run(shell, "-xc", ': "$1"', "sh", secret).stderr.partition("+ : ")[2]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 by the program, in lines": lambda secret: run("base64", given=secret).stdout,
    "base64 with its newline": lambda secret: base64.b64encode(f"{secret}\n".encode()).decode(),
    "base64 of user and password": lambda secret: base64.b64encode(f"ci:{secret}".encode()).decode(),
    "base64 of a form": lambda secret: base64.b64encode(f"t={secret}&".encode()).decode(),
    "percent": lambda secret: quote(secret, safe=""),
    "percent, slashes kept": lambda secret: quote(secret),
    "percent, lower case": lambda secret: lower_percent(quote(secret, safe="")),
    "a form": lambda secret: quote_plus(secret),
    "JSON": lambda secret: json.dumps(secret),
    "JSON, unicode kept": lambda secret: json.dumps(secret, ensure_ascii=False),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "JSON with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "hex": lambda secret: secret.encode().hex(),
    "hex, upper case": lambda secret: secret.encode().hex().upper(),
    "quoted for a shell": lambda secret: shlex.quote(secret),
    "quoted by printf of bash": lambda secret: run("bash", "-c", 'printf %q "$1"', "sh", secret).stdout,
    "quoted by bash": lambda secret: run("bash", "-c", 'echo "${1@Q}"', "sh", secret).stdout,
    "declared by bash": lambda secret: run("bash", "-c", 'S="$1"; declare -p S', "sh", secret).stdout.partition("=")[2],
    "traced by bash": traced("bash"),
    "traced by sh": traced("sh"),
    "Python's repr": lambda secret: repr(secret),
}


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
