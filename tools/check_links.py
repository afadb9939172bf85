#!/usr/bin/env python3
"""Prints every relative link of the Markdown files under version control whose file or heading does not exist.

So it does with code that a page takes from a file, and that is another there: what stands behind
`<!-- code of FILE -->` is what FILE has between `// [example]` and `// [/example]`. `--write` mends it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
TAKEN = re.compile(r"(<!-- code of (\S+) -->\n```cpp\n)(.*?)(```)", re.DOTALL)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What a forge gives to the headings, equal ones numbered, and what the page names itself."""
    found = set(re.findall(r'<a id="([^"]+)">', text))
    seen: dict[str, int] = {}
    for title in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


def broken(page: Path) -> list[str]:
    rows = []
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            rows.append(f"{page.relative_to(ROOT)}: {target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            rows.append(f"{page.relative_to(ROOT)}: {target}: no such heading")
    return rows


def example(file: str) -> str:
    return (ROOT / file).read_text().partition("// [example]\n")[2].partition("// [/example]\n")[0]


def outdated(page: Path, write: bool) -> list[str]:
    text = page.read_text()
    if write:
        page.write_text(TAKEN.sub(lambda found: found[1] + example(found[2]) + found[4], text))
        return []
    shown = [(found[2], found[3]) for found in TAKEN.finditer(text)]
    return [f"{page.relative_to(ROOT)}: {file} has other code" for file, code in shown if code != example(file)]


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    write = "--write" in sys.argv[1:]
    found = [row for page in listed for row in [*broken(ROOT / page), *outdated(ROOT / page, write)]]
    print("\n".join(found) or "links: every one resolves")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
