"""examples/dvc with real DVC: dataset build, evaluation, gate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Project, binary

DVC = Path(sys.executable).with_name("dvc")


@pytest.fixture
def pipeline(tmp_path: Path) -> Project:
    folder = tmp_path / "dvc"
    shutil.copytree(ROOT / "examples" / "dvc", folder, ignore=shutil.ignore_patterns(".llmops", "data", "reports"))
    found = Project(folder)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "llmops").symlink_to(binary())
    found.env["PATH"] = f"{tools}{os.pathsep}{DVC.parent}{os.pathsep}{found.env['PATH']}"
    found.env["DVC_NO_ANALYTICS"] = "1"
    for command in (["git", "init", "-q"], [str(DVC), "init", "-q"]):
        subprocess.run(command, cwd=folder, env=found.env, check=True, capture_output=True)
    return found


def repro(pipeline: Project) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(DVC), "repro"], cwd=pipeline.folder, env=pipeline.env, capture_output=True, text=True, check=False
    )


def test_the_pipeline_runs_and_runs_again_only_what_changed(pipeline: Project) -> None:
    first = repro(pipeline)
    assert first.returncode == 0, first.stdout + first.stderr
    assert len((pipeline.folder / "data" / "golden.jsonl").read_text().splitlines()) == 6
    assert (pipeline.folder / "reports" / "gate.html").stat().st_size > 1000
    again = repro(pipeline)
    assert "up to date" in again.stdout and "Running stage" not in again.stdout, again.stdout

    pipeline.replace("llmops.yaml", "max_drop: 0.05", "max_drop: 0.04")
    gate_only = repro(pipeline)
    assert "Running stage 'gate'" in gate_only.stdout and "Running stage 'eval'" not in gate_only.stdout, gate_only.stdout

    pipeline.run("baseline", "promote", "latest")
    pipeline.replace("prompts/helpdesk.yaml", "one sentence", "two sentences")
    changed = repro(pipeline)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "Running stage 'eval'" in changed.stdout and "Running stage 'build_dataset'" not in changed.stdout

    shown = subprocess.run(
        [str(DVC), "metrics", "show", "--json"], cwd=pipeline.folder, env=pipeline.env, capture_output=True, text=True
    )
    assert '"overall"' in shown.stdout and '"verdict": "pass"' in shown.stdout, shown.stdout + shown.stderr


def test_a_bad_model_stops_the_pipeline(pipeline: Project) -> None:
    pipeline.replace("llmops.yaml", "seed: 7", "seed: 7, quality: 0.0")
    said = repro(pipeline)
    assert said.returncode != 0
    assert "exited with 1" in said.stderr, said.stdout + said.stderr


def test_bad_data_stops_the_pipeline(pipeline: Project) -> None:
    pipeline.replace("raw/questions.jsonl", '"category": "billing"', '"category": "shipping"')
    said = repro(pipeline)
    assert said.returncode != 0
    assert "Running stage 'eval'" not in said.stdout
    assert "shipping" in said.stdout + said.stderr
