"""Logins for Amazon ECR, which are made of an AWS identity: asked for through botocore, an extra, and kept in memory while they hold."""

import asyncio
import base64
import binascii
import os
import re
from datetime import UTC, datetime, timedelta

from quarterdeck.backends.artifacts.registry.docker_config import Login
from quarterdeck.backends.artifacts.registry.reference import Repository
from quarterdeck.backends.errors import BackendError, NotPermitted, Unreachable

_REGISTRY = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_IDENTITY = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_MARGIN = timedelta(minutes=5)
_KEPT_FOR = timedelta(minutes=15)
_CONNECT, _READ = 5, 15  # seconds

_kept: dict[tuple[str | None, ...], tuple[datetime, Login]] = {}


def is_amazon(repository: Repository) -> bool:
    return _REGISTRY.fullmatch(repository.registry) is not None


async def amazon_login(repository: Repository, action: str) -> Login:
    """A login of the AWS identity that botocore finds (variables, profile, role of the machine), good for some hours.

    Raises ``NotPermitted`` (no botocore, no identity, or it may not), ``Unreachable``, ``BackendError``.
    """
    key = (repository.registry, *(os.environ.get(name) for name in _IDENTITY))
    now = datetime.now(UTC)
    if (kept := _kept.get(key)) is not None and now < kept[0]:
        return kept[1]
    until, login = await asyncio.to_thread(_ask, repository, action)
    # Not for all of the twelve hours: whoever logs in to AWS as somebody else means it.
    _kept[key] = (min(until - _MARGIN, now + _KEPT_FOR), login)
    return login


def _ask(repository: Repository, action: str) -> tuple[datetime, Login]:
    match = _REGISTRY.fullmatch(repository.registry)
    assert match is not None
    host, left = str(repository), "Nothing was changed"
    try:
        from botocore.config import Config
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
            NoCredentialsError,
        )
        from botocore.session import Session
    except ImportError:
        raise NotPermitted(
            host,
            action,
            "for Amazon ECR there is no login of Docker's, and the package botocore is not installed",
            left=left,
            advice=f"Install it (pip install 'quarterdeck[ecr]'), or aws ecr get-login-password | "
            f"docker login --username AWS --password-stdin {repository.registry}",
        ) from None
    try:
        client = Session().create_client(
            "ecr",
            region_name=match["region"],
            config=Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 2}),
        )
        try:
            answer = client.get_authorization_token(registryIds=[match["account"]])
        finally:
            client.close()
        data = answer["authorizationData"][0]
        username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        until: datetime = data["expiresAt"]
    except NoCredentialsError:
        advice = "Set AWS_PROFILE, or give this machine a role that may pull"
        raise NotPermitted(host, action, "there is no AWS identity here", left=left, advice=advice) from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise NotPermitted(
            host,
            action,
            f"AWS gives no login ({code if re.fullmatch('[A-Za-z0-9.]{1,80}', code) else 'no reason given'})",
            left=left,
            advice="The AWS identity must be allowed ecr:GetAuthorizationToken, and ecr:BatchGetImage on the repository",
        ) from None
    except (ConnectionError, HTTPClientError):
        problem = f"no answer from Amazon ECR's API in {match['region']}"
        raise Unreachable(host, action, problem, left=left, advice="Try again, or look at the network") from None
    except BotoCoreError as error:
        problem = f"botocore can't ask for a login ({type(error).__name__})"
        raise NotPermitted(
            host, action, problem, left=left, advice="Look whether aws sts get-caller-identity works here"
        ) from None
    except (LookupError, ValueError, binascii.Error):
        raise BackendError(host, action, "what Amazon ECR's API answered can't be understood", left=left) from None
    return until, Login(username, password)
