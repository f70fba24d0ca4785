#!/usr/bin/env python3
"""llmops beside promptfoo: the same cases, the same local provider, two deterministic assertions, no cache.

Starts `llmops simulate` without latency, installs promptfoo from npm where it is missing, and prints cases per second of
both and their ratio. Everything stays on loopback.

usage: promptfoo.py [--cases 2000] [--concurrency 16] [--binary target/release/llmops] [--runs 3]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

CONFIG = """\
version: 1
project: peer
providers:
  local: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: none, max_concurrency: {concurrency}}}
targets:
  plain: {{prompt: plain, model: local/any}}
datasets:
  cases: {{path: cases.jsonl, type: benchmark}}
scoring:
  metrics:
    contains: {{weight: 0.5}}
    regex: {{weight: 0.5, pattern: "[a-z]"}}
"""


def start_simulator(binary: str, script: str) -> tuple[subprocess.Popen, int]:
    command = [binary, "simulate", "--port", "0", "--script", script]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    if not found:
        process.kill()
        sys.exit(f"the simulator did not start: {line}")
    return process, int(found.group(1))


def write_cases(folder: str, cases: int) -> None:
    os.makedirs(os.path.join(folder, "prompts"))
    with open(os.path.join(folder, "prompts/plain.yaml"), "w", encoding="utf-8") as file:
        file.write('name: plain\nversion: 1.0.0\ncontent: "{{ input }}"\n')
    with (
        open(os.path.join(folder, "cases.jsonl"), "w", encoding="utf-8") as data,
        open(os.path.join(folder, "script.jsonl"), "w", encoding="utf-8") as script,
    ):
        for i in range(cases):
            question, answer = f"What is the number of case {i}?", f"the number is {i}"
            data.write(json.dumps({"id": str(i), "prompt": question, "reference_response": answer}) + "\n")
            script.write(json.dumps({"input": question, "answer": answer + "."}) + "\n")


def run_llmops(binary: str, folder: str) -> float:
    shutil.rmtree(os.path.join(folder, ".llmops"), ignore_errors=True)
    started = time.monotonic()
    subprocess.run([binary, "--quiet", "eval", "--no-cache"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def write_promptfoo(folder: str, port: int, cases: int) -> str:
    tests = [
        {
            "vars": {"input": f"What is the number of case {i}?"},
            "assert": [
                {"type": "contains", "value": f"the number is {i}"},
                {"type": "regex", "value": "[a-z]"},
            ],
        }
        for i in range(cases)
    ]
    provider = {
        "id": "openai:chat:any",
        "config": {"apiBaseUrl": f"http://127.0.0.1:{port}/v1", "apiKey": "none"},
    }
    config = {"prompts": ["{{input}}"], "providers": [provider], "tests": tests}
    path = os.path.join(folder, "promptfooconfig.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return path


def run_promptfoo(program: str, config: str, concurrency: int, folder: str) -> float:
    home = os.path.join(folder, "promptfoo-home")
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": home}
    command = [program, "eval", "-c", config, "--no-cache", "--no-table", "--no-progress-bar", "-j", str(concurrency)]
    started = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 100):
        sys.exit(f"promptfoo failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    return time.monotonic() - started


def install_promptfoo(folder: str) -> str:
    program = os.path.join(folder, "node_modules/.bin/promptfoo")
    if not os.path.exists(program):
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "promptfoo"], check=True)
    return program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--binary", default="target/release/llmops")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    program = install_promptfoo(os.path.abspath(".dev/promptfoo"))
    folder = tempfile.mkdtemp(prefix="llmops-peer-")
    write_cases(folder, args.cases)
    simulator, port = start_simulator(binary, os.path.join(folder, "script.jsonl"))
    try:
        with open(os.path.join(folder, "llmops.yaml"), "w", encoding="utf-8") as file:
            file.write(CONFIG.format(port=port, concurrency=args.concurrency))
        config = write_promptfoo(folder, port, args.cases)
        ours = min(run_llmops(binary, folder) for _ in range(args.runs))
        theirs = min(run_promptfoo(program, config, args.concurrency, folder) for _ in range(args.runs))
        print(f"{args.cases} cases, {args.concurrency} at a time, best of {args.runs}, start-up included")
        print(f"llmops     {ours:7.3f} s {args.cases / ours:9.0f} cases/s")
        print(f"promptfoo  {theirs:7.3f} s {args.cases / theirs:9.0f} cases/s")
        print(f"ratio      {theirs / ours:7.1f}")
    finally:
        simulator.terminate()
        simulator.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
