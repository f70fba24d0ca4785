"""A real server, started from the llmops command that LLMOPS_BINARY names, and its clients."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from llmops import Client

KEY = "llmops_for-the-tests-of-the-python-client-alone"
CONFIG = """\
version: 1
project: sdk
providers:
  sim: {kind: simulator}
"""


def binary() -> str:
    found = shutil.which(os.environ.get("LLMOPS_BINARY", "llmops"))
    if found is None:
        pytest.exit("LLMOPS_BINARY must name the llmops command that is tested", returncode=2)
    return str(Path(found).resolve())


class Server:
    """A server that can be stopped and started again at its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        (folder / "llmops.yaml").write_text(CONFIG)
        self.process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        log = self.folder / "log"
        environment = {**os.environ, "LLMOPS_ADMIN_KEY": KEY}
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [binary(), "serve", "--listen", f"127.0.0.1:{self.port}"],
                cwd=self.folder, env=environment, stderr=stderr, text=True,
            )
        for _ in range(400):
            said = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
            if said:
                self.port = int(said[1])
                return
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"the server does not say its address: {log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, KEY) as client:
        yield client
