#!/usr/bin/env python3
"""Who may include whom (docs/architecture.md): prints every include that breaks the rule."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EVERYONE = {"support"}
ALLOWED = {
    "support": set(),
    "jit": {"jit"},
    "ir": {"ir", "jit"},
    "format": {"format", "ir", "jit"},
    "tuner": {"tuner", "jit"},
    "runtime": {"runtime", "format", "ir", "tuner", "jit"},
}
# Of the layer below, these see the types only.
HEADERS_ONLY = {"ir": ("jit", {"jit/kernel_spec.h", "jit/expr.h"}), "format": ("ir", {"ir/graph.h", "ir/size_code.h"})}


def broken() -> list[str]:
    rows = []
    for layer, allowed in ALLOWED.items():
        for path in sorted([*(ROOT / layer).rglob("*.h"), *(ROOT / layer).rglob("*.cpp")]):
            for line, text in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'#include "((\w+)/[^"]+)"', text)
                if not match or match[2] not in ALLOWED or match[2] in EVERYONE:
                    continue
                limited = HEADERS_ONLY.get(layer)
                if match[2] not in allowed or (limited and limited[0] == match[2] and match[1] not in limited[1]):
                    rows.append(f"{path.relative_to(ROOT)}:{line}: {layer} may not include {match[1]}")
            if layer == "jit" and path.parent.name == "kernels":
                for line, text in enumerate(path.read_text().splitlines(), 1):
                    if "backends/" in text:
                        rows.append(f"{path.relative_to(ROOT)}:{line}: a kernel names a backend")
    return rows


if __name__ == "__main__":
    found = broken()
    print("\n".join(found) or "layers: every include keeps the rule")
    sys.exit(bool(found))
