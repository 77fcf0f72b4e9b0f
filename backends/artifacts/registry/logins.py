"""Whose login a registry gets: the fleet file's first, then Docker's own, then what an AWS identity gives for Amazon ECR, then none."""

from quarterdeck.backends.artifacts.places import within
from quarterdeck.backends.artifacts.registry.amazon import amazon_login, is_amazon
from quarterdeck.backends.artifacts.registry.docker_config import Login, docker_login
from quarterdeck.backends.artifacts.registry.reference import Repository, parse_repository
from quarterdeck.backends.secrets import resolve_secrets
from quarterdeck.config.registries import RegistryLogins

NO_LOGINS = RegistryLogins()


async def login_for(repository: Repository, action: str, logins: RegistryLogins = NO_LOGINS) -> Login | None:
    """None: nobody has logged in, ask without. Raises ``BackendError`` when there is a login that can't be had: one of the fleet
    file's is never given up for another one."""
    if (found := logins.find(str(repository))) is not None:
        name, written = found
        values = await resolve_secrets({f"the password of {name}": written.password}, base=logins.base)
        return Login(written.username, values.values[f"the password of {name}"])
    login = await docker_login(repository, action)
    if login is None and is_amazon(repository):
        return await amazon_login(repository, action)
    return login


async def registry_auth(
    repository: str, *, logins: RegistryLogins = NO_LOGINS, deadline: float = 40.0
) -> dict[str, str] | None:
    """What Docker Engine's X-Registry-Auth wants for pulling from ``repository``; None: there is no login.

    ``serveraddress`` with ``username`` and ``password``, ``identitytoken`` or ``registrytoken``. The values are secrets: not for a
    log, nor for a traceback that shows variables. Raises ``BackendError``.
    """
    parsed = parse_repository(repository)
    action = "log in to the registry"
    async with within(deadline, str(parsed), action):
        login = await login_for(parsed, action, logins)
    if login is None:
        return None
    address = {"serveraddress": parsed.login_server}
    if login.identity_token:
        return {"identitytoken": login.identity_token, **address}
    if login.registry_token:
        return {"registrytoken": login.registry_token, **address}
    return {"username": login.username, "password": login.password, **address}
