"""Exits 0 when two JSON files have the same shape and texts, and numbers equal to 1e-9.

    python same_numbers.py FIRST SECOND        - is standard input
"""

import json
import math
import sys


def differences(first, second, path="$"):
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            yield from differences(first[key], second[key], f"{path}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, pair in enumerate(zip(first, second)):
            yield from differences(*pair, f"{path}[{index}]")
    elif isinstance(first, float) and isinstance(second, float):
        both_nan = math.isnan(first) and math.isnan(second)
        if not both_nan and not math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{path}: {first} and {second}"
    elif first != second:
        yield f"{path}: {first!r} and {second!r}"


def read(path):
    return json.load(sys.stdin if path == "-" else open(path, encoding="utf-8"))


found = list(differences(read(sys.argv[1]), read(sys.argv[2])))
print("\n".join(found[:20]), end="\n" if found else "")
sys.exit(bool(found))
