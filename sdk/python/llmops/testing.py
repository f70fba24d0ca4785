"""Gates in a test suite: the evaluation of a project as a test that fails when quality went down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from .client import Client
from .errors import GateFailed, LlmopsError

#: Exit codes of the command: yes, the answer is no, could not decide.
_YES, _NO, _UNDECIDED = 0, 1, 3


def assert_gate(
    suite: Optional[str] = None,
    *,
    project: Union[str, Path] = ".",
    baseline: Optional[str] = None,
    inconclusive: str = "fail",
    binary: Optional[str] = None,
    reports: Union[str, Path, None] = None,
    env: Optional[Mapping[str, str]] = None,
) -> Dict[str, Any]:
    """Evaluates a suite of the project in a folder with the ``llmops`` command, and gates the run.

    ``scores.json`` and ``gate.html`` are left in ``reports``, else in ``.llmops/pytest/SUITE`` of the project. Answers with the
    content of the former when the gate passes; raises :class:`~llmops.errors.GateFailed`, an
    assertion that failed, with the checks that did not hold, when it does not. ``inconclusive`` says what becomes of a
    gate that cannot decide: ``fail``, ``skip`` (of the pytest test) or ``pass``.
    """
    if inconclusive not in ("fail", "skip", "pass"):
        raise ValueError(f"inconclusive is `fail`, `skip` or `pass`, not {inconclusive!r}")
    command = _find(binary)
    folder = Path(reports) if reports is not None else Path(project) / ".llmops" / "pytest" / (suite or "default")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Tests that run at once each have files of their own, until they are whole.
    with tempfile.TemporaryDirectory(prefix=".gate-", dir=folder) as own:
        scores, report = Path(own) / "scores.json", Path(own) / "gate.html"
        evaluated = _run(command, ["eval", *([suite] if suite else []), "--output", str(scores)], project, env)
        if not scores.exists():
            raise LlmopsError(f"the evaluation came to no scores (exit {evaluated.returncode}):\n{evaluated.stderr}")
        run = json.loads(scores.read_text(encoding="utf-8"))["run"]
        arguments = ["gate", run, "--output", str(scores), "--report", str(report)]
        arguments += ["--baseline", baseline] if baseline else []
        gated = _run(command, arguments, project, env)
        if gated.returncode not in (_YES, _NO, _UNDECIDED):
            raise LlmopsError(f"the gate did not run (exit {gated.returncode}):\n{gated.stderr}")
        found: Dict[str, Any] = json.loads(scores.read_text(encoding="utf-8"))
        for file in (scores, report):
            if file.exists():
                file.replace(folder / file.name)
    _judge(found.get("verdict", "inconclusive"), found.get("checks", []), inconclusive)
    return found


def assert_run(
    client: Client,
    run: str = "latest",
    *,
    config: Optional[Mapping[str, Any]] = None,
    baseline: Optional[str] = None,
    inconclusive: str = "fail",
    timeout: float = 600.0,
) -> Dict[str, Any]:
    """Waits for a run on a server and gates it, as :func:`assert_gate` does in a folder."""
    found = client.wait(run, timeout)
    report = client.gate(found["id"], config=config, baseline=baseline)
    _judge(report["verdict"], list(report["checks"]), inconclusive)  # type: ignore[arg-type]
    return dict(report)


def _judge(verdict: str, checks: List[Dict[str, Any]], inconclusive: str) -> None:
    if verdict == "pass" or (verdict == "inconclusive" and inconclusive == "pass"):
        return
    unmet = [check for check in checks if check["status"] != "pass"]
    report = "\n".join(f"  {check['status']:<12} {check['name']}: {check['message']}" for check in unmet)
    if verdict == "inconclusive" and inconclusive == "skip":
        import pytest

        pytest.skip(f"the gate cannot decide\n{report}")
    raise GateFailed(verdict, report)


def _find(binary: Optional[str]) -> str:
    wanted = binary or os.environ.get("LLMOPS_BINARY") or "llmops"
    found = shutil.which(wanted)
    if found is None:
        raise LlmopsError(f"there is no `{wanted}`: install llmops, or set LLMOPS_BINARY to its path")
    return str(Path(found).resolve())


def _run(
    command: str, arguments: List[str], project: Union[str, Path], env: Optional[Mapping[str, str]]
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **(env or {}), "NO_COLOR": "1"}
    return subprocess.run(
        [command, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
