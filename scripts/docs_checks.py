"""What can be said of blocks that are not run: commands exist with their options, YAML and JSON fit, Python compiles."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

from docs_blocks import ROOT, SHELLS, Block, line_of, prose

# A value that stands for something (FORMAT, CHANNEL), and an option that is named without its value.
PLACEHOLDER = re.compile(r"invalid value '[A-Z][A-Z_@|]*'|a value is required for '")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-[^}]*)?\}")


ROUTE = re.compile(r"(?<![\w.…])/api/v1/[\w/{}*…-]*\w")
VARIABLE_READ = re.compile(r'env = "([A-Z_]+)"|(?:env::var|get)\("([A-Z_]+)"\)')


class Checker:
    """Asks the binary; remembers what it said."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self.known: dict[tuple[str, ...], str | None] = {}

    def block(self, block: Block) -> str | None:
        """What is wrong with a block, if anything."""
        if block.language in SHELLS:
            return self.script(block.text)
        if block.language == "yaml":
            return self.yaml(block)
        try:
            if block.language == "json":
                parse_json(block.text)
            elif block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "python":
                compile(block.text, "block", "exec")
            elif block.language == "js" and shutil.which("node"):
                return node(block.text)
        except (ValueError, SyntaxError) as error:
            return str(error)
        return None

    def script(self, text: str) -> str | None:
        wrong = [self.command(line) for line in text.replace("\\\n", " ").splitlines()]
        return "\n".join(filter(None, wrong)) or None

    def command(self, line: str) -> str | None:
        """Whether every command of llmops in a line has the subcommand and the options that are named."""
        try:
            reader = shlex.shlex(line, posix=True, punctuation_chars=True)
            reader.whitespace_split = True
            words = list(reader)
        except ValueError:
            return None  # a part of something longer, such as a document in the script
        for start, word in enumerate(words):
            before = words[start - 1] if start else ";"
            if word != "llmops" or not (set(before) <= set(";|&()") or re.match(r"\w+=", before)):
                continue
            arguments = []
            for argument in words[start + 1:]:
                if set(argument) <= set(";|&<>()"):
                    break
                arguments.append(argument)
            wrong = self.arguments(tuple(arguments))
            if wrong:
                return f"{line.strip()}\n{wrong}"
        return None

    def mention(self, code: str) -> str | None:
        # Alternatives, optional parts and what several words have in common: the first of each.
        plain = re.sub(r"\[[^\]]*\]", "", code)
        return self.command(re.sub(r"(?<=\w)\|\w[\w|]*", "", plain))

    def arguments(self, arguments: tuple[str, ...]) -> str | None:
        if arguments not in self.known:
            self.known[arguments] = self.ask(arguments)
        return self.known[arguments]

    def ask(self, arguments: tuple[str, ...]) -> str | None:
        # The parser looks at what stands before --help, and nothing is done.
        said = subprocess.run([self.binary, *arguments, "--help"], capture_output=True, text=True, timeout=20)
        if said.returncode == 0 or PLACEHOLDER.search(said.stderr):
            return None
        return said.stderr.strip()

    def yaml(self, block: Block) -> str | None:
        if block.mark != "part of":
            return "a YAML block has a title that the page's commands use, or says `<!-- part of: llmops.yaml -->` before it"
        if block.said != "llmops.yaml":
            return None if block.said else "part of what?"
        head = "" if re.search(r"^version:", block.text, re.M) else "version: 1\nproject: docs\n"
        with tempfile.TemporaryDirectory(prefix="llmops-docs-") as folder:
            Path(folder, "llmops.yaml").write_text(head + block.text, encoding="utf-8")
            env = {"NO_COLOR": "1"} | {match[1]: "https://example.com/x" for match in VARIABLE.finditer(block.text)}
            said = subprocess.run(
                [self.binary, "provider", "list"], cwd=folder, env=env, capture_output=True, text=True, timeout=20,
            )
        return None if said.returncode == 0 else said.stderr.strip()


def unknown_routes(text: str) -> list[tuple[int, str]]:
    """Routes of the API that a page names and the OpenAPI document does not have. `{run}`, RUN and * stand for any."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    known = [re.sub(r"\{[^}]*\}", "*", path).split("/") for path in document["paths"]]
    found = []
    for match in ROUTE.finditer(prose(text)):
        parts = re.sub(r"\{[^}]*\}|\b[A-Z]{2,}\b|…", "*", match[0]).split("/")
        if not any(all("*" in (a, b) or a == b for a, b in zip(parts, path)) and len(parts) <= len(path) for path in known):
            found.append((line_of(text, match.start()), match[0]))
    return found


def unknown_variables() -> list[str]:
    """Environment variables that the sources read and docs/files.md does not name."""
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    read = {name for file in (ROOT / "crates").glob("*/src/**/*.rs")
            for pair in VARIABLE_READ.findall(file.read_text(encoding="utf-8")) for name in pair if name}
    return [f"docs/files.md: says nothing of the variable {name}" for name in sorted(read) if f"`{name}`" not in page]


def parse_json(text: str) -> None:
    """One document, or a document a line."""
    try:
        json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        for line in lines:
            json.loads(line)


def node(text: str) -> str | None:
    said = subprocess.run(
        ["node", "--input-type=module", "--check", "-"], input=text, capture_output=True, text=True, timeout=20,
    )
    return None if said.returncode == 0 else said.stderr.strip()
