"""Whose certificates a registry may show, and where no encryption is needed: as Docker has it, less what it calls insecure."""

import ssl
from pathlib import Path

from quarterdeck.backends.artifacts.http_tries import certificates
from quarterdeck.backends.errors import THIS_MACHINE, BackendError

FOLDER = Path("/etc/docker/certs.d")


def has_certificates(authority: str) -> bool:
    """Whether somebody has set up TLS for host[:port] on this machine."""
    return (FOLDER / authority).is_dir()


def tls_context(registry: str, authority: str, action: str) -> ssl.SSLContext:
    """For a connection to ``authority`` on behalf of ``registry`` (both host[:port]): the system's authorities, and what lies in
    Docker's directories for both; a token server is mostly signed by whoever signed the registry.

    A client certificate is shown to the host that it lies there for, and to no other. Blocks. Raises ``BackendError``.
    """
    context = certificates()
    for folder in dict.fromkeys((FOLDER / registry, FOLDER / authority)):
        try:
            files = sorted(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _sorry(action, folder, error) from None
        for file in files:
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                elif file.suffix == ".cert" and folder.name == authority:
                    # No password is ever asked for on a terminal that may be somebody's screen.
                    context.load_cert_chain(file, file.with_suffix(".key"), password=lambda: b"")
            except (OSError, ValueError) as error:  # ssl's own error is an OSError
                raise _sorry(action, file, error) from None
    return context


def _sorry(action: str, path: Path, error: Exception) -> BackendError:
    reason = "it is no certificate with its key in PEM form"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        reason = error.strerror or "input/output error"
    return BackendError(THIS_MACHINE, action, f"{path} can't be used: {reason}", left="Nothing was changed")
