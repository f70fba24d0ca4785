#!/usr/bin/env python3
"""Cost of the engine itself: N samples through the in-process simulator with exact_match and rouge_l.

Prints CPU time per sample (user and system, all threads) and peak memory of `llmops dataset build` and `llmops eval`.

usage: engine.py [--samples 1000000] [--binary target/release/llmops] [--keep DIR]
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

CONFIG = """\
version: 1
project: engine-cost
providers:
  sim: {kind: simulator, seed: 1}
targets:
  plain: {prompt: plain, model: sim/any}
datasets:
  big: {path: big.jsonl, type: benchmark}
scoring:
  metrics:
    exact_match: {weight: 0.5}
    rouge_l: {weight: 0.5}
"""
PROMPT = """\
name: plain
version: 1.0.0
system: Answer in one sentence.
content: "Question {{ input }}"
"""
WORDS = "order parcel refund invoice customer account password delivery warranty garden basil fern light water".split()


def write_project(folder: str, samples: int) -> None:
    os.makedirs(os.path.join(folder, "prompts"))
    for name, text in (("llmops.yaml", CONFIG), ("prompts/plain.yaml", PROMPT)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    rng = random.Random(7)
    with open(os.path.join(folder, "big.jsonl"), "w", encoding="utf-8") as file:
        for i in range(samples):
            question = f"number {i}: " + " ".join(rng.choices(WORDS, k=8)) + "?"
            answer = " ".join(rng.choices(WORDS, k=12)) + "."
            line = {"id": f"s{i}", "category": f"c{i % 5}", "prompt": question, "reference_response": answer}
            file.write(json.dumps(line) + "\n")


def measure(command: list[str], folder: str) -> tuple[float, float, float]:
    """Seconds of CPU, seconds of wall clock, megabytes at the peak."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if status != 0:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--binary", default="target/release/llmops")
    parser.add_argument("--keep", help="use this folder and leave it there")
    args = parser.parse_args()
    folder = args.keep or tempfile.mkdtemp(prefix="llmops-engine-")
    project = os.path.join(folder, "project")
    try:
        shutil.rmtree(project, ignore_errors=True)
        write_project(project, args.samples)
        binary = os.path.abspath(args.binary)
        print(f"{args.samples} samples, {resource.getpagesize()} byte pages, {os.cpu_count()} cores")
        for name, command in (("dataset build", ["dataset", "build", "big"]), ("eval", ["eval"])):
            cpu, wall, peak = measure([binary, "--quiet", *command], project)
            per_sample = cpu / args.samples * 1e6
            rate = args.samples / wall
            print(f"{name:14} {per_sample:7.1f} µs CPU/sample {peak:7.0f} MB peak {wall:7.1f} s {rate:9.0f} samples/s")
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
