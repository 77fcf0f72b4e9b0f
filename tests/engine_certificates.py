"""Certificates for engines that listen on TCP, and for those who ask them: an authority of the tests' own."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Makes certificates; ``directory(name, …)`` is one as the fleet file's ``tls`` wants it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        self._own = self._make(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))

    def _make(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, basic: x509.BasicConstraints, address: str = ""
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).add_extension(basic, critical=True)
        made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
            now + datetime.timedelta(days=1)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            made = made.add_extension(names, critical=False)
        return made.sign(self._key, hashes.SHA256())

    def directory(self, name: str, address: str = "") -> Path:
        place = self._place / name
        place.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._make(subject, key, x509.BasicConstraints(ca=False, path_length=None), address)
        pem = serialization.Encoding.PEM
        (place / "ca.pem").write_bytes(self._own.public_bytes(pem))
        (place / "cert.pem").write_bytes(made.public_bytes(pem))
        (place / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return place


def tls_arguments(server: Path, address: str, port: int) -> list[str]:
    return [
        *("-H", f"tcp://{address}:{port}", "--tlsverify", "--tlscacert", f"{server}/ca.pem"),
        *("--tlscert", f"{server}/cert.pem", "--tlskey", f"{server}/key.pem"),
    ]
