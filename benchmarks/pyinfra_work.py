"""The unit of work as pyinfra's operations, as small as it can fairly be written; ``pyinfra_hosts.py`` says what it is."""

from pyinfra import host
from pyinfra.operations import files, server

if host.data.artifact:
    # Nothing is asked that need not be: the directory is there, and the tarball is another one each time.
    files.put(src=host.data.artifact, dest=host.data.archive, create_remote_dir=False, force=True)
server.shell(commands=[host.data.command])
