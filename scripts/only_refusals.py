"""Sends a request without a key to every operation of a server that names a role: each answers 401."""

import json
import os
import re
import sys
import urllib.error
import urllib.request

url = os.environ["LLMOPS_URL"]
document = json.load(urllib.request.urlopen(url + "/openapi.json"))
refused, problems = 0, []
for path, item in document["paths"].items():
    for method, operation in item.items():
        if method not in ("get", "put", "post", "patch", "delete") or not operation.get("security"):
            continue
        if not any("key" in needs for needs in operation["security"]):
            continue
        body = b"{}" if "requestBody" in operation else None
        request = urllib.request.Request(url + re.sub(r"\{[^}]*\}", "x", path), body, method=method.upper())
        request.add_header("content-type", "application/json")
        try:
            status = urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            status = error.code
        if status == 401:
            refused += 1
        else:
            problems.append(f"{method.upper()} {path} answers {status} without a key")
print(f"{refused} operations refuse to answer without a key")
print("\n".join(problems), file=sys.stderr)
sys.exit(1 if problems or refused < 30 else 0)
