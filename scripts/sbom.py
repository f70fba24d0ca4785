#!/usr/bin/env python3
"""sbom.py [FILE]: writes the software bill of materials of the llmops command as CycloneDX 1.6, from Cargo's own metadata.

Components are the crates that are built into the command, for the platform it runs on; crates that only tests use are left
out. The serial number follows from the content, so that the same Cargo.lock gives the same file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from typing import Any


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def checksums() -> dict[tuple[str, str], str]:
    """SHA-256 of each crate's archive, from Cargo.lock."""
    found: dict[tuple[str, str], str] = {}
    entry: dict[str, str] = {}
    with open("Cargo.lock", encoding="utf-8") as lock:
        for line in lock:
            key, _, value = line.partition(" = ")
            if line.startswith("[[package]]"):
                entry = {}
            elif key in ("name", "version", "checksum"):
                entry[key] = value.strip().strip('"')
                if len(entry) == 3:
                    found[entry["name"], entry["version"]] = entry["checksum"]
    return found


def built_in(metadata: dict[str, Any]) -> tuple[str, dict[str, list[str]]]:
    """The command's package, and what each package that is built into it depends on."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(p["id"] for p in metadata["packages"] if p["name"] == "llmops-cli")
    edges: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        package = waiting.pop()
        if package in edges:
            continue
        used = [d["pkg"] for d in nodes[package]["deps"] if any(k["kind"] is None for k in d["dep_kinds"])]
        edges[package] = sorted(used)
        waiting.extend(used)
    return root, edges


def component(package: dict[str, Any], sums: dict[tuple[str, str], str]) -> dict[str, Any]:
    name, version = package["name"], package["version"]
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
        "scope": "required",
    }
    if package.get("license"):
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("description"):
        found["description"] = " ".join(package["description"].split())
    if package.get("repository"):
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    if (name, version) in sums:
        found["hashes"] = [{"alg": "SHA-256", "content": sums[name, version]}]
    return found


def main() -> int:
    host = next(line.split(": ")[1] for line in subprocess.run(
        ["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines() if line.startswith("host"))
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    packages = {package["id"]: package for package in metadata["packages"]}
    root, edges = built_in(metadata)
    sums = checksums()
    components = sorted((component(packages[p], sums) for p in edges if p != root), key=lambda c: c["bom-ref"])
    reference = {p: f"pkg:cargo/{packages[p]['name']}@{packages[p]['version']}" for p in edges}
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**component(packages[root], sums), "type": "application", "name": "llmops"}},
        "components": components,
        "dependencies": [
            {"ref": reference[p], "dependsOn": sorted(reference[d] for d in used)}
            for p, used in sorted(edges.items(), key=lambda item: reference[item[0]])
        ],
    }
    content = json.dumps(bom, sort_keys=True).encode()
    bom["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)}"
    text = json.dumps(bom, indent=2) + "\n"
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    unlicensed = [c["name"] for c in components if "licenses" not in c]
    print(f"{len(components)} components; without a licence: {', '.join(unlicensed) or 'none'}", file=sys.stderr)
    return 1 if unlicensed else 0


if __name__ == "__main__":
    sys.exit(main())
