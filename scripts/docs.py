#!/usr/bin/env python3
"""docs.py BINARY [PAGE …]: runs what the documentation says, and compares what comes out with what it shows.

Blocks fenced with ```console are run, page by page, each page in an empty folder of its own:

    $ llmops gate            # exit 1
    ✗ FAIL …
    …

A line that begins with `$ ` is a command, `> ` goes on with it; what follows is its output. A line `…` stands for any
number of lines, `…` within a line for any text, and lines at the end that are not shown need not be there. `# exit N`
behind a command is the exit code that it must have; it is 0 otherwise. Commands of a page share folder and environment.
Port 8080 is replaced by a free one. Programs that a page left running are ended with it.

Links between pages, and from pages to files of the project, must lead somewhere.
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
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
EXIT = re.compile(r"\s+# exit (\d+)\s*$")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TIMEOUT = 120


@dataclass
class Step:
    line: int
    command: str
    code: int
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    for block in FENCE.finditer(text):
        if block[1] != "console":
            continue
        first = text[: block.start(2)].count("\n") + 1
        for offset, line in enumerate(block[2].splitlines()):
            if line.startswith("$ "):
                code = EXIT.search(line)
                command = EXIT.sub("", line[2:])
                found.append(Step(first + offset, command, int(code[1]) if code else 0))
            elif line.startswith("> ") and found and not found[-1].expected:
                found[-1].command += "\n" + line[2:]
            elif found:
                found[-1].expected.append(line.rstrip())
    return found


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
        self.page = page
        self.folder = Path(tempfile.mkdtemp(prefix="llmops-docs-"))
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "llmops").symlink_to(binary)
        self.work = self.folder / "work"
        self.work.mkdir()
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOPS_", "MLFLOW_", "SLACK_"))}
        self.env = {
            **kept, "PATH": f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}", "NO_COLOR": "1", "COLUMNS": "100",
            "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        self.groups: list[int] = []

    def run(self, step: Step) -> str | None:
        """What is wrong with a step, if anything."""
        state, output = self.folder / "state", self.folder / "output"
        command = step.command.replace("8080", str(self.port))
        script = (
            f"[ -f {state} ] && . {state}\nset -a\n{command}\ncode=$?\nset +a\n"
            f"{{ export -p; declare -f; printf 'cd %q\\n' \"$PWD\"; }} > {state}\nexit $code\n"
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


def run_page(binary: Path, page: Path) -> tuple[int, list[str]]:
    found = steps(page.read_text(encoding="utf-8"))
    if not found:
        return 0, []
    shell = Page(binary, page)
    try:
        for step in found:
            wrong = shell.run(step)
            if wrong is not None:
                # What follows depends on it.
                return len(found), [f"{page.relative_to(ROOT)}:{step.line}: $ {step.command}\n{wrong}"]
    finally:
        shell.close()
    return len(found), []


def broken_links(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    prose = FENCE.sub("", text)
    problems = []
    for target in LINK.findall(prose):
        path, _, _ = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            continue
        if not (page.parent / path).exists():
            problems.append(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
    return problems


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    binary = Path(sys.argv[1]).resolve()
    everything = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages = [Path(name).resolve() for name in sys.argv[2:]] or everything
    problems: list[str] = []
    commands = 0
    for page in pages:
        count, wrong = run_page(binary, page)
        commands += count
        problems += wrong + broken_links(page)
        if count:
            print(f"{'FAILED' if wrong else 'ok':>6}  {page.relative_to(ROOT)}: {count} commands")
    for problem in problems:
        print(f"\n{problem}", file=sys.stderr)
    print(f"{len(pages)} pages, {commands} commands, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
