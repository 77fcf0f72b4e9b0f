"""Secrets: from references to values in memory, fingerprints to compare them by, and a mask for what is shown.

A value leaves here only as ``SecretValues``; it is in no error, log or repr.
"""

from quarterdeck.backends.secrets.fingerprints import fingerprint, fingerprints, same
from quarterdeck.backends.secrets.masking import MASK, Masker
from quarterdeck.backends.secrets.resolving import resolve_each, resolve_secrets

__all__ = ["MASK", "Masker", "fingerprint", "fingerprints", "resolve_each", "resolve_secrets", "same"]
