"""What pages of the documentation are made of: blocks, their marks, links, and commands that the text mentions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.M | re.S)
HIDDEN = re.compile(r"^<!-- run\n(.*?)^-->$", re.M | re.S)
MARK = re.compile(r"<!-- (not run|part of): ([^>]*?) -->\s*\Z")
TITLE = re.compile(r"""\btitle="([^"]+)\"""")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
INDENTED = re.compile(r"^    (?:\$ )?llmops .*$", re.M)

SHELLS = ("sh", "bash")


@dataclass
class Block:
    line: int
    language: str
    text: str
    title: str | None = None
    mark: str | None = None
    said: str = ""


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def blocks(text: str) -> list[Block]:
    """The fenced blocks, and the hidden ones, in the order of the page."""
    found: list[tuple[int, Block]] = []
    for match in FENCE.finditer(text):
        info = match[1].strip()
        title, mark = TITLE.search(info), MARK.search(text, 0, match.start())
        found.append((match.start(), Block(
            line_of(text, match.start(2)), info.split(" ")[0], match[2], title[1] if title else None,
            mark[1] if mark else None, mark[2] if mark else "",
        )))
    for match in HIDDEN.finditer(text):
        found.append((match.start(), Block(line_of(text, match.start(1)), "console", match[1])))
    return [block for _, block in sorted(found, key=lambda pair: pair[0])]


def prose(text: str) -> str:
    """The page without its blocks and comments; lines stay where they are."""
    for pattern in (FENCE, HIDDEN, re.compile(r"<!--.*?-->", re.S)):
        text = pattern.sub(lambda match: "\n" * match[0].count("\n"), text)
    return text


def mentions(text: str) -> list[tuple[int, str]]:
    """Commands of llmops in the running text, with their lines. What has a gap (…) is left out."""
    text = prose(text)
    found = [(line_of(text, match.start()), match[1]) for match in CODE.finditer(text)]
    return [(line, code) for line, code in found if code.startswith("llmops ") and "…" not in code]


def anchor(heading: str) -> str:
    """A heading's address, as GitHub and mkdocs make it, where they agree."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip())


def broken_links(page: Path) -> list[str]:
    text = prose(page.read_text(encoding="utf-8"))
    problems = []
    for target in LINK.findall(text):
        path, _, part = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / path if path else page
        if not there.exists():
            problems.append(f"the link to {target} leads nowhere")
        elif part and there.suffix == ".md":
            anchors = {anchor(heading) for heading in HEADING.findall(prose(there.read_text(encoding="utf-8")))}
            if part not in anchors:
                problems.append(f"the link to {target} names no heading there")
    return [f"{page.relative_to(ROOT)}: {problem}" for problem in problems]
