"""Those of the untuned models that `./dev bench OPTIONS` asks for: by name, as `untuned`, or for a whole report."""

from __future__ import annotations

import argparse

import zoo

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--models")
parser.add_argument("--report", action="store_true")
options, _ = parser.parse_known_args()
names = options.models.split(",") if options.models else ["untuned"] if options.report else []
print(",".join(name for name in zoo.UNTUNED if name in names or "untuned" in names))
