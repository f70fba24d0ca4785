"""Pairs per second of this crate's ROUGE and of PyPI rouge_score on the same pairs, one core each, and their ratio.

    pip install rouge_score==0.1.2
    python benches/rouge_vs_python.py
"""

import json
import pathlib
import random
import subprocess
import sys
import time

from rouge_score.rouge_scorer import RougeScorer

sys.path.append(str(pathlib.Path(__file__).parent.parent / "tests" / "fixtures"))
from generate_rouge import TYPES, WORDS

PAIRS = 400
TOKENS = 80


def main():
    rng = random.Random(1)
    pairs = [[" ".join(rng.choices(WORDS, k=TOKENS)) for _ in range(2)] for _ in range(PAIRS)]
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    for stem in (False, True):
        scorer = RougeScorer(TYPES, use_stemmer=stem)
        start = time.perf_counter()
        for candidate, reference in pairs:
            scorer.score(reference, candidate)
        python = PAIRS / (time.perf_counter() - start)
        command = ["cargo", "run", "-q", "--release", "-p", "llmops-metrics", "--example", "rouge", "--", "--time"]
        ours = float(subprocess.run(command + ["--stem"] * stem, input=lines, text=True, capture_output=True,
                                    check=True).stdout)
        print(f"{'stemmed' if stem else 'plain':8} rouge_score {python:8.0f} pairs/s   llmops {ours:8.0f} pairs/s   "
              f"ratio {ours / python:.0f}")


if __name__ == "__main__":
    main()
