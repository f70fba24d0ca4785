#!/usr/bin/env python3
"""docs.py BINARY [PAGE …]: runs what the documentation says, and compares what comes out with what it shows.

Every page has an empty folder of its own (those of examples/ a copy of their example) and one shell for its blocks, which
share folder and environment:

    ```console                         commands with what they say
    $ llmops gate                      # exit 1
    ✗ FAIL …
    …
    ```

A line that begins with `$ ` is a command, `> ` goes on with it; what follows is its output. A line `…` stands for any
number of lines, `…` within a line for any text, and lines at the end that are not shown need not be there. `# exit N`, or
`# exit N: why`, behind a command is the exit code that it must have; it is 0 otherwise.

    ```sh                              a script; each of its commands must succeed, or the last one say `# exit N`
    ```python                          a program; those of a page are one, which grows
    ```yaml title="canary.yaml"        (or json, python …) a file that the commands below it find in their folder

What cannot be run says why, in a comment on the line before: `<!-- not run: needs a cluster -->`. It is checked all the
same: commands of llmops must exist with their options (those in the running text, too), JSON must parse, Python compile,
YAML that is `<!-- part of: llmops.yaml -->` be accepted by llmops. A block of which nothing is known is a mistake.
`<!-- run`, commands as in a console block, and `-->` are steps that a reader does not see.

Port 8080 is replaced by a free one. Programs that a page left running are ended with it. A page that imports the Python
client takes it from .dev/venv-sdk, which `scripts/ecosystem.sh BINARY quick` makes.

Links between pages, and from pages to files of the project, must lead somewhere, routes that the text names must be in the
OpenAPI document, and docs/files.md must name the environment variables that the sources read.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from docs_blocks import INDENTED, ROOT, SHELLS, Block, blocks, broken_links, line_of, mentions, prose
from docs_checks import Checker, unknown_routes, unknown_variables

EXIT = re.compile(r"\s+# exit (\d+)\b.*$")
CHECKED = ("yaml", "json", "toml", "python", "js", *SHELLS)
PAGES = ("README.md", "CONTRIBUTING.md", "deploy/README.md", "examples/*/README.md", "sdk/*/README.md", "docs/**/*.md")
CLIENT = ROOT / ".dev" / "venv-sdk" / "bin"
TIMEOUT = 120


@dataclass
class Step:
    line: int
    command: str
    code: int = 0
    expected: list[str] = field(default_factory=list)
    file: str | None = None


def console(block: Block) -> list[Step]:
    found: list[Step] = []
    for offset, line in enumerate(block.text.splitlines()):
        if line.startswith("$ "):
            code = EXIT.search(line)
            found.append(Step(block.line + offset, EXIT.sub("", line[2:]), int(code[1]) if code else 0))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1].command += "\n" + line[2:]
        elif found:
            found[-1].expected.append(line.rstrip())
    return found


def steps(block: Block) -> list[Step]:
    """What is done with a block when the page is run."""
    if block.mark == "not run":
        return []
    if block.language == "console":
        return console(block)
    if block.language in SHELLS:
        script = Step(block.line, f"set -e -o pipefail\n{block.text}")
        code = EXIT.search(block.text.rstrip())
        if code is None:
            return [script]
        before, last = block.text.rstrip().rsplit("\n", 1)
        script.command = f"set -e -o pipefail\n{before}"
        return [script, Step(block.line + before.count("\n") + 1, last, int(code[1]))]
    if block.title:
        return [Step(block.line, block.text, file=block.title)]
    if block.language == "python":
        return [Step(block.line, f"cat >>.page.py <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK\npython3 .page.py")]
    return []


def matches(expected: str, line: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, line) is not None


def differs(expected: list[str], lines: list[str]) -> str | None:
    """The first expected line that is not where it should be."""
    at, free = 0, False
    for wanted in expected:
        if wanted == "…":
            free = True
            continue
        candidates = range(at, len(lines)) if free else range(at, min(at + 1, len(lines)))
        found = next((n for n in candidates if matches(wanted, lines[n])), None)
        if found is None:
            return wanted
        at, free = found + 1, False
    return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Page:
    """A page's folder and shell."""

    def __init__(self, binary: Path, page: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="llmops-docs-"))
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "llmops").symlink_to(binary)
        self.work = self.folder / "work"
        if page.parent.parent == ROOT / "examples":
            shutil.copytree(page.parent, self.work)
        else:
            self.work.mkdir()
        self.port = free_port()
        own = ("LLMOPS_", "MLFLOW_", "SLACK_", "GITHUB_", "OTEL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        path = os.pathsep.join([str(self.folder / "bin"), str(CLIENT), kept["PATH"]])
        self.env = {
            **kept, "PATH": path, "NO_COLOR": "1", "COLUMNS": "100", "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(self.folder / "cache"), "HOME": str(self.folder),
        }
        self.groups: list[int] = []

    def run(self, step: Step) -> str | None:
        """What is wrong with a step, if anything."""
        state, output, given = self.folder / "state", self.folder / "output", self.folder / "given"
        command = step.command.replace("8080", str(self.port))
        if step.file is not None:
            given.write_text(command, encoding="utf-8")
            command = f"mkdir -p \"$(dirname '{step.file}')\" && cp {given} '{step.file}'"
        script = (
            f"[ -f {state} ] && . {state}\n"
            f"trap 'code=$?; set +ea; {{ export -p; declare -f; printf \"cd %q\\n\" \"$PWD\"; }} > {state}; exit $code' EXIT\n"
            f"set -a\n{command}\n"
        )
        with output.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
            self.groups.append(process.pid)
            try:
                code = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                return f"it took longer than {TIMEOUT} s"
        said = output.read_text(errors="replace").replace(str(self.port), "8080")
        lines = [line.rstrip() for line in said.splitlines()]
        if code != step.code:
            return f"it ended with {code}, not {step.code}:\n{said}"
        wanted = differs(step.expected, lines)
        return None if wanted is None else f"there is no line `{wanted}` where it should be in:\n{said}"

    def close(self) -> None:
        for group in self.groups:
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


def wants_client(found: list[Block]) -> bool:
    """Whether a page has a program that imports the Python client, or tests with its fixtures."""
    programs = (block.text for block in found if block.language == "python" and block.mark is None)
    return any("llmops" in text for text in programs)


def run_page(binary: Path, page: Path, found: list[Block], counts: Counter[str]) -> list[str]:
    if wants_client(found) and not (CLIENT / "python3").exists():
        print(f"skipped: {page.relative_to(ROOT)} needs the Python client: scripts/ecosystem.sh {binary} quick")
        counts["blocks skipped"] += len(found)
        return []
    shell: Page | None = None
    try:
        for block in found:
            for step in steps(block):
                shell = shell or Page(binary, page)
                wrong = shell.run(step)
                counts["commands run" if step.file is None else "files written"] += 1
                if wrong is not None:
                    # What follows depends on it.
                    return [f"{page.relative_to(ROOT)}:{step.line}: $ {step.command}\n{wrong}"]
    finally:
        if shell is not None:
            shell.close()
    return []


def check_page(checker: Checker, page: Path, found: list[Block], counts: Counter[str], excused: list[str]) -> list[str]:
    """What is wrong with what is not run."""
    name, text, problems = page.relative_to(ROOT), page.read_text(encoding="utf-8"), []
    for block in found:
        if steps(block):
            counts["blocks run"] += 1
        elif block.mark != "not run" and block.language not in ("yaml", "json", "toml", "text"):
            problems.append(f"{name}:{block.line}: a block of `{block.language}` that is not run: nothing says why")
            continue
        elif block.mark == "not run":
            counts["blocks excused"] += 1
            excused.append(f"{name}:{block.line}: {block.language}: {block.said}")
        if block.language in CHECKED and not (block.language == "yaml" and block.title):
            counts["blocks checked"] += not steps(block)
            wrong = checker.block(block)
            if wrong is not None:
                problems.append(f"{name}:{block.line}: {wrong}")
    for line, code in mentions(text):
        counts["commands in the text checked"] += 1
        wrong = checker.mention(code)
        if wrong is not None:
            problems.append(f"{name}:{line}: {wrong}")
    problems += [f"{name}:{line_of(text, match.start())}: `{match[0].strip()}` wants a fence"
                 for match in INDENTED.finditer(prose(text))]
    problems += [f"{name}:{line}: the API has no `{route}`" for line, route in unknown_routes(text)]
    return problems + broken_links(page)


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    binary = Path(sys.argv[1]).resolve()
    pages = [Path(name).resolve() for name in sys.argv[2:]] or [page for part in PAGES for page in sorted(ROOT.glob(part))]
    checker, counts, excused = Checker(binary), Counter[str](), list[str]()
    problems: list[str] = []
    for page in pages:
        found = blocks(page.read_text(encoding="utf-8"))
        before = counts["commands run"]
        wrong = check_page(checker, page, found, counts, excused) + run_page(binary, page, found, counts)
        problems += wrong
        print(f"{'FAILED' if wrong else 'ok':>6}  {page.relative_to(ROOT)}: {counts['commands run'] - before} commands", flush=True)
    if not sys.argv[2:]:
        problems += unknown_variables()
    for reason in excused:
        print(f"not run: {reason}")
    for problem in problems:
        print(f"\n{problem}", file=sys.stderr)
    print(", ".join([f"{len(pages)} pages", *(f"{count} {what}" for what, count in counts.items()), f"{len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
