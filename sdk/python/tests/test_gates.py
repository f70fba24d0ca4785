"""The helpers for test suites: evaluation and gate as a test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import binary
from llmops import GateFailed, LlmopsError, assert_gate


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run([binary(), "init", "."], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def lower(project: Path) -> None:
    """Makes the simulated model answer badly."""
    config = project / "llmops.yaml"
    text = config.read_text()
    assert "    # quality: 1.0" in text
    config.write_text(text.replace("    # quality: 1.0", "    quality: 0.0"))


def test_a_good_project_passes(project: Path) -> None:
    scores = assert_gate(project=project, binary=binary())
    assert scores["verdict"] == "pass" and scores["overall"] > 0.9


def test_a_bad_one_is_a_failed_assertion_with_its_reasons(project: Path) -> None:
    lower(project)
    with pytest.raises(AssertionError) as raised:
        assert_gate(project=project, binary=binary())
    assert isinstance(raised.value, GateFailed) and raised.value.verdict == "fail"
    assert "overall_min" in str(raised.value)


def test_what_cannot_run_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(LlmopsError, match="no scores"):
        assert_gate(project=tmp_path, binary=binary())
    with pytest.raises(LlmopsError, match="LLMOPS_BINARY"):
        assert_gate(project=tmp_path, binary="no-such-command")
    with pytest.raises(ValueError):
        assert_gate(inconclusive="maybe")


def test_the_fixture_gates_in_a_suite_of_its_own(project: Path) -> None:
    (project / "test_quality.py").write_text("def test_quality(llmops_gate):\n    llmops_gate()\n")

    def run() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_quality.py"]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    good = run()
    assert good.returncode == 0, good.stdout + good.stderr
    lower(project)
    bad = run()
    assert bad.returncode == 1 and "the gate's verdict is fail" in bad.stdout, bad.stdout


def test_gates_that_run_at_once_do_not_read_each_other(project: Path) -> None:
    other = project.parent / f"{project.name}-worse"
    shutil.copytree(project, other)
    lower(other)
    reports = project.parent / f"{project.name}-reports"

    def verdict(folder: Path) -> str:
        try:
            return str(assert_gate(project=folder, binary=binary(), reports=reports)["verdict"])
        except GateFailed as failed:
            return failed.verdict

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(verdict, [project, other] * 3)) == ["pass", "fail"] * 3
    assert (reports / "scores.json").exists() and (reports / "gate.html").exists()
