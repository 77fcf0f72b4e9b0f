"""Which SSH algorithms are offered: strong ones only, the quickest first. What is not listed here is never negotiated."""

from typing import Final

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

_KEY_EXCHANGES: Final = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
_MACS: Final = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_SAFE_WITHOUT_STRICT_KEX: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


def _known(wanted: tuple[str, ...], available: list[bytes]) -> list[str]:
    return [name for name in wanted if name.encode() in available]


KEY_EXCHANGES: Final = _known(_KEY_EXCHANGES, get_kex_algs())
CIPHERS: Final = _known(_CIPHERS, get_encryption_algs())
MACS: Final = _known(_MACS, get_mac_algs())
SIGNATURES: Final = _known(_SIGNATURES, get_public_key_algs())
CERTIFICATES: Final = _known(
    tuple(f"{name.removesuffix('@openssh.com')}-cert-v01@openssh.com" for name in _SIGNATURES),
    get_certificate_algs(),
)


def prefix_can_be_cut(connection: asyncssh.SSHClientConnection) -> str | None:
    """The cipher, where the start of the session could have been cut by somebody on the way (CVE-2023-48795, «Terrapin»).

    Without strict key exchange on both sides only AES-GCM is safe: ChaCha20-Poly1305 and encrypt-then-MAC are not.
    """
    # asyncssh has no public word for it; where the attribute is gone, the answer is the careful one.
    if getattr(connection, "_strict_kex", False):
        return None
    ciphers = (str(connection.get_extra_info("send_cipher")), str(connection.get_extra_info("recv_cipher")))
    return next((cipher for cipher in ciphers if cipher not in _SAFE_WITHOUT_STRICT_KEX), None)
