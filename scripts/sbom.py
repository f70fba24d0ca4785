#!/usr/bin/env python3
"""sbom.py [FILE]: writes the software bill of materials of the llmops command as CycloneDX 1.6, from Cargo's own metadata and
the dashboard's package-lock.json.

Components are the crates that are built into the command, for the platform it runs on, and the packages of npm that the
dashboard in it is built of; what only tests and builds use is left out. The serial number follows from the content, so that the
same lock files give the same file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

DASHBOARD = Path("web/package-lock.json")


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


def npm_reference(name: str, version: str) -> str:
    return f"pkg:npm/{quote(name, safe='/')}@{version}"


def npm_component(name: str, package: dict[str, Any]) -> dict[str, Any]:
    reference = npm_reference(name, package["version"])
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": package["version"],
        "purl": reference,
        "scope": "required",
    }
    if package.get("license"):
        found["licenses"] = [{"expression": package["license"]}]
    algorithm, _, digest = package.get("integrity", "").partition("-")
    if digest:
        content = base64.b64decode(digest).hex()
        found["hashes"] = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}]
    return found


def npm(lock: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The dashboard and the packages that it is built of, as components, and what each of them depends on."""
    packages: dict[str, dict[str, Any]] = lock["packages"]

    def place(of: str, name: str) -> str | None:
        """Where Node finds a package from another: in its own folder, or in one above."""
        while True:
            at = f"{of}/node_modules/{name}".lstrip("/")
            if at in packages:
                return at
            if not of:
                return None
            of = of.rpartition("node_modules/")[0].rstrip("/")

    def is_built_in(at: str | None) -> bool:
        return at is not None and not packages[at].get("dev") and not packages[at].get("devOptional")

    root = packages[""]
    references = {at: npm_reference(at.rpartition("node_modules/")[2] or root["name"], package["version"])
                  for at, package in packages.items() if "version" in package}
    components, dependencies, waiting, seen = [], [], [""], {""}
    while waiting:
        at = waiting.pop()
        package = packages[at]
        component = npm_component(at.rpartition("node_modules/")[2] or root["name"], package)
        components.append(component)
        fields = ("dependencies",) if at == "" else ("dependencies", "optionalDependencies", "peerDependencies")
        names = {name for field in fields for name in package.get(field, {})}
        used = {found for name in names if is_built_in(found := place(at, name))}
        dependencies.append({"ref": component["bom-ref"], "dependsOn": sorted({references[one] for one in used})})
        waiting.extend(used - seen)
        seen |= used
    # One version may lie in several folders.
    unique = {component["bom-ref"]: component for component in components}
    merged: dict[str, set[str]] = {}
    for dependency in dependencies:
        merged.setdefault(dependency["ref"], set()).update(dependency["dependsOn"])
    return list(unique.values()), [{"ref": ref, "dependsOn": sorted(on)} for ref, on in merged.items()]


def main() -> int:
    host = next(line.split(": ")[1] for line in subprocess.run(
        ["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines() if line.startswith("host"))
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    packages = {package["id"]: package for package in metadata["packages"]}
    root, edges = built_in(metadata)
    sums = checksums()
    reference = {p: f"pkg:cargo/{packages[p]['name']}@{packages[p]['version']}" for p in edges}
    dependencies = [{"ref": reference[p], "dependsOn": sorted(reference[d] for d in used)} for p, used in edges.items()]
    dashboard, its_dependencies = npm(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    for dependency in dependencies:
        if dependency["ref"] == reference[root]:
            dependency["dependsOn"] = sorted([*dependency["dependsOn"], dashboard[0]["bom-ref"]])
    crates = [component(packages[p], sums) for p in edges if p != root]
    components = sorted([*crates, *dashboard], key=lambda c: c["bom-ref"])
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**component(packages[root], sums), "type": "application", "name": "llmops"}},
        "components": components,
        "dependencies": sorted([*dependencies, *its_dependencies], key=lambda d: d["ref"]),
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
