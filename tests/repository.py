"""A real git repository for tests, with commits whose authors and times are the test's own."""

import os
import subprocess
from pathlib import Path


class RealRepository:
    """``path``: a bare repository, as a server has it. ``work``: a clone in which commits are made and pushed."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "api.git"
        self.work = directory / "work"
        self.count = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._run("init", "--quiet", "--bare", "--initial-branch=main", str(self.path), folder=directory)
        self._run("init", "--quiet", "--initial-branch=main", str(self.work), folder=directory)
        self.git("remote", "add", "origin", str(self.path))

    def git(self, *arguments: str) -> str:
        return self._run(*arguments, folder=self.work)

    def commit(self, subject: str, *, author: str = "maya", tag: str = "", branch: str = "main") -> str:
        """Pushed; its whole name."""
        self.count += 1
        (self.work / "file").write_text(f"{self.count}\n")
        self.git("add", "file")
        time = f"2026-11-29T10:{self.count:02}:00+00:00"
        environment = {
            "GIT_AUTHOR_NAME": author,
            "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": author,
            "GIT_COMMITTER_EMAIL": "a@example.com",
            "GIT_AUTHOR_DATE": time,
            "GIT_COMMITTER_DATE": time,
        }
        self._run("commit", "--quiet", "-m", subject, folder=self.work, environment=environment)
        if tag:
            self._run("tag", "-a", tag, "-m", tag, folder=self.work, environment=environment)
        self.git("push", "--quiet", "--tags", "origin", f"HEAD:{branch}")
        return self.git("rev-parse", "HEAD").strip()

    @staticmethod
    def _run(*arguments: str, folder: Path, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={
                **os.environ,
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_CONFIG_SYSTEM": "/dev/null",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout
