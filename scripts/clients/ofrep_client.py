"""The OpenFeature provider for Python against a running server: `python ofrep_client.py URL EXPECTED.json`."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    expected = json.load(file)
api.set_provider(OFREPProvider(url))
client = api.get_client()
checked, failed = 0, 0


def same(what, got, wanted):
    global checked, failed
    checked += 1
    if got != wanted or [type(x) for x in got] != [type(x) for x in wanted]:
        failed += 1
        print(f"{what}: got {got!r}, expected {wanted!r}", file=sys.stderr)


def ask(flag, value, context):
    methods = {bool: "boolean", str: "string", int: "integer", float: "float", dict: "object"}
    default = {bool: True, str: "default", int: -1, float: -1.0, dict: {"default": True}}[type(value)]
    return getattr(client, f"get_{methods[type(value)]}_details")(flag, default, context)


for row in expected["values"]:
    details = ask(row["flag"], row["value"], EvaluationContext(row["unit"], {"country": "DE"}))
    wanted = [row["value"], row["variant"], row["reason"]]
    same(f"{row['flag']} {row['unit']}", [details.value, details.variant, str(details.reason)], wanted)
    same(f"{row['flag']} metadata", [type(details.flag_metadata["experiment"]).__name__], ["str"])

unknown = client.get_string_details("no-such-flag", "default", EvaluationContext("u"))
same("unknown flag", [unknown.value, unknown.error_code.value], ["default", "FLAG_NOT_FOUND"])
nobody = client.get_boolean_details(expected["flag"], True, EvaluationContext())
same("without a key", [nobody.value, nobody.error_code.value], [True, "TARGETING_KEY_MISSING"])
mistyped = client.get_string_details(expected["flag"], "default", EvaluationContext("u"))
same("wrong type", [mistyped.value, mistyped.error_code.value], ["default", "TYPE_MISMATCH"])

print(f"{checked - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
