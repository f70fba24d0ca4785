"""Configurations of promptfoo, run by promptfoo and, imported, by llmops: the same tests must pass and fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Project

PROMPTFOO = ROOT / ".dev" / "promptfoo" / "node_modules" / ".bin" / "promptfoo"
FIXTURE = ROOT / "crates" / "cli" / "tests" / "fixtures" / "promptfoo"

pytestmark = pytest.mark.skipif(not PROMPTFOO.exists(), reason="promptfoo is not installed: it comes from npm")


def run_promptfoo(folder: Path, config: str) -> "dict[str, bool]":
    """Whether each test passed, by its description."""
    environment = {
        **os.environ, "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(folder / ".p"),
        "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1", "CI": "1",
    }
    command = [str(PROMPTFOO), "eval", "-c", config, "--no-cache", "--no-progress-bar", "-o", "out.json"]
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (folder / "out.json").exists(), said.stdout + said.stderr
    results = json.loads((folder / "out.json").read_text())["results"]["results"]
    return {result["testCase"].get("description") or str(n): bool(result["success"]) for n, result in enumerate(results)}


def run_llmops(folder: Path, config: str) -> "dict[str, bool]":
    project = Project(folder)
    project.run("import", "promptfoo", config, "--output", "made")
    made = Project(folder / "made")
    made.run("eval")
    failed = {item["sample_id"] for item in made.json("run", "show", "latest", "--failed", "--limit", "500")["items"]}
    errored = made.json("run", "show", "latest", "--errored", "--limit", "500")["items"]
    assert errored == [], errored
    lines = (folder / "made" / "datasets" / "tests.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    return {sample["metadata"].get("description", sample["id"]): sample["id"] not in failed for sample in samples}


def only_echo(folder: Path) -> str:
    """The fixture without the providers and assertions that ask a model, and each test once."""
    shutil.copytree(FIXTURE, folder, dirs_exist_ok=True)
    config = yaml.safe_load((folder / "promptfooconfig.yaml").read_text())
    config["providers"] = ["echo"]
    config["prompts"] = config["prompts"][:1]
    graded = {"Needs a model", "Needs a program"}
    config["tests"] = [test for test in config["tests"] if isinstance(test, str) or test.get("description") not in graded]
    for test in config["tests"]:
        # A test of promptfoo is known by its description; those of one list would share it.
        if isinstance(test, dict) and "description" not in test:
            test["vars"] = {"question": "first of two"}
            test["description"] = "From a list"
    (folder / "echo.yaml").write_text(yaml.safe_dump(config))
    return "echo.yaml"


def test_the_same_tests_pass_and_fail(tmp_path: Path) -> None:
    config = only_echo(tmp_path)
    theirs = run_promptfoo(tmp_path, config)
    ours = run_llmops(tmp_path, config)
    assert len(theirs) >= 13
    assert ours == theirs
    assert set(ours.values()) == {True, False}


ASSERTIONS = [
    ("equals", {"type": "equals", "value": "Echo: a b"}),
    ("equals fails", {"type": "equals", "value": "Echo: a"}),
    ("not equals", {"type": "not-equals", "value": "Echo: a"}),
    ("contains is exact", {"type": "contains", "value": "echo"}),
    ("icontains", {"type": "icontains", "value": "echo"}),
    ("icontains any", {"type": "icontains-any", "value": ["nope", "ECHO"]}),
    ("icontains all", {"type": "icontains-all", "value": ["A B", "ECHO"]}),
    ("contains all fails", {"type": "contains-all", "value": ["a", "z"]}),
    ("contains any list", {"type": "contains-any", "value": "z, b"}),
    ("starts", {"type": "starts-with", "value": "Echo"}),
    ("not starts", {"type": "not-starts-with", "value": "Echo"}),
    ("regex", {"type": "regex", "value": "^Echo: [ab ]+$"}),
    ("regex fails", {"type": "regex", "value": "^[0-9]+$"}),
    ("is json fails", {"type": "is-json"}),
    ("contains json fails", {"type": "contains-json"}),
    ("levenshtein", {"type": "levenshtein", "value": "Echo: a c", "threshold": 1}),
    ("levenshtein fails", {"type": "levenshtein", "value": "Something else", "threshold": 3}),
    ("rouge", {"type": "rouge-n", "value": "Echo: a b", "threshold": 0.9}),
    ("rouge fails", {"type": "rouge-n", "value": "nothing in common", "threshold": 0.5}),
    ("words", {"type": "word-count", "value": 3}),
    ("words fails", {"type": "word-count", "value": {"max": 2}}),
    ("refusal fails", {"type": "is-refusal"}),
]


def test_every_kind_of_assertion_agrees(tmp_path: Path) -> None:
    tests = [
        {"description": name, "vars": {"text": "a b", "n": str(n)}, "assert": [assertion]}
        for n, (name, assertion) in enumerate(ASSERTIONS)
    ]
    json_tests = [
        ("json", '{"a": 1}', {"type": "is-json"}),
        ("json schema", '{"a": 2}', {"type": "is-json", "value": {"required": ["a"]}}),
        ("json schema fails", '{"a": 3}', {"type": "is-json", "value": {"required": ["b"]}}),
        ("json inside", 'see {"a": 1} there', {"type": "contains-json", "value": {"type": "object", "required": ["a"]}}),
        ("refuses", "I'm sorry, but I can't help with that.", {"type": "is-refusal"}),
    ]
    bare = [
        {"description": name, "vars": {"text": text}, "assert": [assertion]} for name, text, assertion in json_tests
    ]
    for name, prompt, cases in (("plain", "Echo: {{text}}", tests), ("bare", "{{text}}", bare)):
        folder = tmp_path / name
        folder.mkdir()
        config = {"prompts": [prompt], "providers": ["echo"], "tests": cases}
        (folder / "promptfooconfig.yaml").write_text(yaml.safe_dump(config))
        theirs = run_promptfoo(folder, "promptfooconfig.yaml")
        ours = run_llmops(folder, "promptfooconfig.yaml")
        assert ours == theirs
