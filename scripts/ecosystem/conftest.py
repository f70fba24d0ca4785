"""The llmops command that LLMOPS_BINARY names, in folders of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

ADMIN_KEY = "llmops_for-these-tests-alone-1234567890"
ROOT = Path(__file__).resolve().parent.parent.parent


def binary() -> str:
    found = shutil.which(os.environ.get("LLMOPS_BINARY", "llmops"))
    if found is None:
        pytest.exit("LLMOPS_BINARY must name the llmops command that is tested", returncode=2)
    return str(Path(found).resolve())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def words(text: str) -> str:
    """A text with its line breaks taken out: tables wrap their notices."""
    return " ".join(text.split())


class Project:
    """A project folder, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Nothing of the caller's own installation may reach the test.
        self.env: Dict[str, str] = {
            name: value for name, value in os.environ.items() if not name.startswith(("LLMOPS_", "MLFLOW_"))
        }
        self.env["NO_COLOR"] = "1"

    def run(self, *arguments: str, code: Optional[int] = 0, **env: str) -> "subprocess.CompletedProcess[str]":
        said = subprocess.run(
            [binary(), *arguments], cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, check=False
        )
        if code is not None:
            assert said.returncode == code, f"llmops {arguments} ended with {said.returncode}\n{said.stdout}\n{said.stderr}"
        return said

    def json(self, *arguments: str, code: int = 0, **env: str) -> Any:
        return json.loads(self.run("--json", *arguments, code=code, **env).stdout)

    def scores(self) -> Dict[str, Any]:
        return json.loads((self.folder / "scores.json").read_text())

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))


def serve(project: Project) -> "tuple[subprocess.Popen[str], str]":
    """`llmops serve` in a project's folder, and where it listens. ADMIN_KEY opens it."""
    log = project.folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [binary(), "serve", "--listen", "127.0.0.1:0"], cwd=project.folder, stderr=stderr, text=True,
            env={**project.env, "LLMOPS_ADMIN_KEY": ADMIN_KEY},
        )
    return process, address(process, log, r"http://127\.0\.0\.1:\d+")


def address(process: "subprocess.Popen[str]", log: Path, pattern: str) -> str:
    """What a process says of where it listens."""
    for _ in range(400):
        said = re.search(pattern, log.read_text())
        if said:
            return said[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of examples/support-bot."""
    folder = tmp_path / "support-bot"
    shutil.copytree(ROOT / "examples" / "support-bot", folder, ignore=shutil.ignore_patterns(".llmops"))
    return Project(folder)
