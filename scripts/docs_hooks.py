"""Hooks of mkdocs: what docs/ links to outside itself belongs to the site, and whole folders to it.

The same links work on the site and in a checkout. A page of docs/ may link to any file of the
repository (`../SPECIFICATION.md`, `../configs/default.toml`); that file becomes a page or a
download of the site, at its own path in the repository. In the navigation "decisions/*" stands for
all pages of that folder, in their order by name; an empty or missing folder leaves its entry out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs/"
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[#)])")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(```|~~~)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder where the navigation names the folder."""
    docs = Path(config.docs_dir)

    def filled(items: list[Any]) -> Iterator[Any]:
        for item in items:
            if not isinstance(item, dict):
                yield item
                continue
            ((title, below),) = item.items()
            if isinstance(below, list):
                yield {title: [*filled(below)]}
            elif str(below).endswith("/*"):
                pages = sorted((docs / str(below)[:-2]).glob("*.md"), key=_order)
                if pages:
                    yield {title: [page.relative_to(docs).as_posix() for page in pages]}
            else:
                yield item

    config.nav = [*filled(config.nav or [])]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the navigation and pages name outside docs/, and what that links to."""
    wanted = [*_named(config.nav or [])]
    for file in files.documentation_pages():
        wanted += _targets(DOCS + file.src_uri, file.content_string)
    have = set()
    while wanted:
        path = wanted.pop()
        inside = path.startswith(DOCS) or files.get_file_from_path(path) is not None
        if inside or path in have or not (ROOT / path).is_file():
            continue
        have.add(path)
        file = File.generated(config, path, abs_src_path=str(ROOT / path))
        files.append(file)
        if file.is_documentation_page():
            wanted += _targets(path, file.content_string)
    return files


def _named(items: list[Any]) -> Iterator[str]:
    for item in items:
        for below in item.values() if isinstance(item, dict) else (item,):
            yield from _named(below) if isinstance(below, list) else (str(below),)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between files of the site."""
    del config, files
    here = _in_repository(page.file)

    def moved(link: str) -> str:
        target = posixpath.relpath(
            _on_site(_resolved(here, link)), posixpath.dirname(_on_site(here))
        )
        return target if (ROOT / _resolved(here, link)).is_file() else link

    return replaced(markdown, moved)


def replaced(markdown: str, change: Callable[[str], str]) -> str:
    """`markdown` with every relative link to a file changed; code blocks are left alone."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else _LINK.sub(lambda found: _changed(found[1], change), line))
    return "\n".join(lines)


def _changed(link: str, change: Callable[[str], str]) -> str:
    return link if _ELSEWHERE.match(link) or link.startswith("/") else change(link)


def links(markdown: str) -> list[str]:
    """The relative links to files in a text, without what follows a #."""
    found: list[str] = []

    def note(link: str) -> str:
        found.append(link)
        return link

    replaced(markdown, note)
    return found


def _targets(path: str, text: str) -> list[str]:
    return [_resolved(path, link) for link in links(text)]


def _resolved(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _in_repository(file: File) -> str:
    return file.src_uri if file.generated_by is not None else DOCS + file.src_uri


def _on_site(path: str) -> str:
    return path.removeprefix(DOCS)


def _order(page: Path) -> tuple[bool, str]:
    return page.name not in {"index.md", "README.md"}, page.name
