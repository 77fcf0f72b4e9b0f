"""moto's server, which answers as AWS does: a process on loopback, which checks signatures and rights of the users that it is given."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from botocore.session import Session

from tests.sshd import wait_for

ACCOUNT = "123456789012"
REGION = "eu-central-1"


def aws_program() -> str | None:
    """Where ``moto_server`` is: beside this Python, or where programs are looked for."""
    return shutil.which("moto_server", path=str(Path(sys.executable).parent)) or shutil.which("moto_server")


@dataclass(frozen=True)
class AccessKey:
    name: str
    secret: str = field(repr=False)


class AwsServer:
    """All of AWS's APIs answer at ``url``; ``log`` has a line for each request."""

    def __init__(self, folder: Path) -> None:
        program = aws_program()
        assert program is not None
        self.log = folder / "moto.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [program, "-H", "127.0.0.1", "-p", "0"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
            )
        try:
            wait_for(self._listening, "moto's server listens", 30)
        except BaseException:
            self.close()
            raise
        found = self._listening()
        assert found is not None
        self.url = found[1]

    def _listening(self) -> re.Match[str] | None:
        text = self.log.read_text()
        assert self.process.poll() is None, text
        return re.search(r"Running on (http://127\.0\.0\.1:[0-9]+)\s", text)

    def user(self, name: str, *actions: str) -> AccessKey:
        """The key of a new user who may do ``actions`` and nothing else; before ``check_rights`` only."""
        iam: Any = Session().create_client(
            "iam",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )
        iam.create_user(UserName=name)
        if actions:
            statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        iam.close()
        return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])

    def check_rights(self) -> None:
        """From now on who asks must have signed with a user's key, and that user must have the right."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0", trust_env=False).raise_for_status()

    def asked(self) -> list[str]:
        """The statuses of the API's answers so far."""
        return re.findall(r'"(?:\x1b\[[0-9;]*m)*POST / HTTP/1\.1(?:\x1b\[[0-9;]*m)*" ([0-9]{3})', self.log.read_text())

    def close(self) -> None:
        self.process.kill()  # it holds nothing that could be left
        self.process.wait(10)
