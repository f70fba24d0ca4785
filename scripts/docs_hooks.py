"""Hooks of the documentation's site: pages made from the schemas, pages that the navigation does not name yet, and links to
files outside of docs/."""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from docs_reference import api_page, commands_page, keys_of_files
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()((?:\.\.?|schema)/[^)\s#]+)(#[^)\s]*)?(\))")


def on_config(config: Any) -> Any:
    """Pages that somebody added are under Operations until the navigation names them; decisions under their list."""
    named = set(re.findall(r"[\w./-]+\.md", json.dumps(config["nav"])))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    for section in config["nav"]:
        for title, items in section.items() if isinstance(section, dict) else ():
            if title == "Operations":
                items += sorted(page for page in pages - named if not page.startswith("adr/"))
            elif title == "For contributors":
                items += sorted(page for page in pages - named if page.startswith("adr/"))
    return config


def on_files(files: Files, config: Any) -> Files:
    files.append(File.generated(config, "api.md", content=api_page()))
    files.append(File.generated(config, "commands.md", content=commands_page(os.environ.get("LLMOPS_BINARY"))))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Links to files of the project that are no pages lead to the repository; the page of the files gets its keys."""
    folder = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri == "files.md":
        markdown += keys_of_files()

    def there(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        inside = posixpath.relpath(target, "docs")
        if files.get_file_from_path(inside) is not None and not inside.startswith(("..", "schema/")):
            return match[0]
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{match[1]}{config['repo_url']}/{kind}/main/{target}{match[3] or ''}{match[4]}"

    return LINK.sub(there, markdown)
