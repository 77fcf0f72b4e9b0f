"""The unit of work as one shell command for a host, and the algorithms that every row uses which can be told. Imports nothing that takes
time: what is measured imports it."""

from typing import Any

# The quickest that both sides have.
KEY_EXCHANGE = "curve25519-sha256"
CIPHER = "aes128-gcm@openssh.com"
HOST_KEY = "ssh-ed25519"

# Asks without a pause at first, then every 5 ms; ends with 1 when the service never answers the version.
_COMMAND = """
cd "$HOME" && mkdir -p {base} && cd {base} && {unpack}ln -sfn releases/{version} new && mv -T new current && cd -P current || exit 1
PORT={port} bin/service restart || exit 1
read -r address <"$HOME/address"
tries=0
until [ "$({ask} "http://$address:{port}/version" 2>/dev/null)" = {version} ]; do
tries=$((tries + 1)); [ $tries -lt 2000 ] || exit 1; [ $tries -lt 3 ] || sleep 0.005
done
"""
_UNPACK = "mkdir -p releases/{version} && tar -xz {source}-C releases/{version} && "


def command(spec: dict[str, Any], action: str, version: str, *, sent_before: bool = False) -> str:
    """A deploy unpacks what comes on its standard input; with ``sent_before`` the file that ``place_of_archive`` names."""
    source = f'-f "$HOME/{_archive(spec)}" ' if sent_before else ""
    unpack = _UNPACK.format(version=version, source=source) if action == "deploy" else ""
    return _COMMAND.format(base=spec["base"], version=version, port=spec["port"], ask=spec["ask"], unpack=unpack)


def artifact(spec: dict[str, Any], version: str) -> str:
    """The path of a version's tarball on this machine."""
    return f"{spec['artifacts']}/app-{version}.tar.gz"


def place_of_archive(spec: dict[str, Any], address: str) -> str:
    """Where on a host a tool puts the tarball that does not stream it."""
    return f"{spec['homes'][address]}/{_archive(spec)}"


def _archive(spec: dict[str, Any]) -> str:
    return f"{spec['base']}.tar.gz"
