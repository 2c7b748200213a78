"""Puts the pages of the site together in `.site/pages`, for `make site` to build: docs/, and what else belongs there.

A link to something else outside of docs/ leads nowhere in the site, so its words stay and the link goes.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ROOT / ".site" / "pages"
FROM_THE_ROOT = ("ARCHITECTURE.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#]+)([^)]*)\)")


def main() -> None:
    """Begin anew: a page that was removed is to be missed by those that link to it."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(DOCS, PAGES, ignore=shutil.ignore_patterns("*.py", "*.1", "__pycache__"))
    for name in FROM_THE_ROOT:
        (PAGES / name).write_text((ROOT / name).read_text(encoding="utf-8").replace("](docs/", "]("), encoding="utf-8")
    (PAGES / "decisions" / "index.md").write_text(_decisions(), encoding="utf-8")
    for page in PAGES.rglob("*.md"):
        page.write_text(_within(page, page.read_text(encoding="utf-8")), encoding="utf-8")


def _decisions() -> str:
    titles = ((path.name, path.read_text(encoding="utf-8").partition("\n")[0]) for path in DOCS.glob("decisions/*.md"))
    rows = [f"- [{title.removeprefix('# ')}]({name})" for name, title in sorted(titles)]
    return "# Decisions\n\nWhy things are as they are, with what was measured.\n\n" + "\n".join(rows) + "\n"


def _within(page: Path, text: str) -> str:
    def kept(link: re.Match[str]) -> str:
        words, target, anchor = link.groups()
        if target.endswith(FROM_THE_ROOT):
            target = target.removeprefix("../")
        if "://" in target or (page.parent / target).resolve().is_relative_to(PAGES):
            return f"[{words}]({target}{anchor})"
        return words

    return LINK.sub(kept, text)


if __name__ == "__main__":
    main()
