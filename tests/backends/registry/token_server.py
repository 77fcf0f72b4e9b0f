"""A token server as the Distribution specification describes it: what it signs is verified by a real registry."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.backends.artifacts.http_server import Handler, Site, http_site
from tests.backends.registry.certificates import Signed, sign

ISSUER, SERVICE = "token server of the tests", "registry of the tests"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class TokenServer:
    """``passwords`` by user, ``identities`` (refresh tokens) to users; what is below ``public/`` may be pulled by anybody."""

    site: Site
    signer: Signed
    passwords: dict[str, str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    lifetime: int = 300
    asked: list[dict[str, Any]] = field(default_factory=list)  # what came in: method, authorization, fields
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def realm(self) -> str:
        return f"{self.site.url}/token"

    def auth(self, folder: Path) -> dict[str, Any]:
        """As docker-registry's configuration has it."""
        bundle, _ = self.signer.write(folder, "token-server")
        return {"token": {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}}

    def sign(self, repository: str, actions: list[str], subject: str = "") -> str:
        """A JSON Web Token (ES256) with the certificate in it."""
        now = int(time.time())
        der = self.signer.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": now + 3600,
            "nbf": now - 60,
            "iat": now,
            "jti": str(time.monotonic_ns()),
            "access": [{"type": "repository", "name": repository, "actions": actions}] if actions else [],
        }
        text = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.signer.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def answer(self, handler: Handler) -> None:
        text = handler.posted.decode() if handler.command == "POST" else urlsplit(handler.path).query
        fields = {name: values[0] for name, values in parse_qs(text).items()}
        authorization = handler.headers.get("Authorization", "")
        with self._guard:
            self.asked.append({"method": handler.command, "authorization": authorization, **fields})
        user = ""
        if handler.command == "POST":
            user = self.identities.get(fields.get("refresh_token", ""), "")
            if not user or fields.get("grant_type") != "refresh_token" or not fields.get("client_id"):
                handler.send(401, {})
                return
        elif authorization:
            user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            if self.passwords.get(user) != password:
                handler.send(401, {})
                return
        _, repository, actions = fields["scope"].split(":")
        granted = [one for one in actions.split(",") if one == "pull" and (user or repository.startswith("public/"))]
        token = self.sign(repository, granted, user)
        # The two names that token servers use: of the specification, and of OAuth 2.
        named = "access_token" if handler.command == "POST" else "token"
        handler.send(
            200,
            {"Content-Type": "application/json"},
            json.dumps({named: token, "expires_in": self.lifetime}).encode(),
        )


class _AnyPath(dict[str, Any]):
    """Every path is answered by one function, which reads the query itself."""

    def __init__(self, server: TokenServer) -> None:
        super().__init__()
        self._server = server

    def get(self, key: str, default: Any = None) -> Any:
        return self._server.answer if key.partition("?")[0] == "/token" else default


@contextmanager
def token_server() -> Iterator[TokenServer]:
    with http_site() as site:
        server = TokenServer(site, sign("token server"))
        site.answers = _AnyPath(server)
        yield server
