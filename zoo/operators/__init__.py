"""Single operators in shapes that networks use, ten of each kind: what `./dev bench --operators` times.

A case's id is `operators/<kind>-<number>`; its name says the shape and where it comes from.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from zoo.common import ZooModel
from zoo.operators import plain, products
from zoo.operators.case import Case

PREFIX = "operators/"


@cache
def cases() -> dict[str, Case]:
    """By id."""
    found: dict[str, Case] = {}
    counts: dict[str, int] = {}
    for case in (case for group in (*plain.GROUPS, *products.GROUPS) for case in group()):
        number = counts[case.kind] = counts.get(case.kind, 0) + 1
        found[f"{PREFIX}{case.kind.replace(' ', '-')}-{number}"] = case
    return found


def build(case_id: str) -> ZooModel:
    case = cases()[case_id]
    rng = torch.Generator().manual_seed(len(case.name))
    module, inputs = case.build(rng)
    for name, tensor in module.operator.state_dict().items():
        if not tensor.is_floating_point():
            continue
        fan = tensor[0].numel() if tensor.dim() > 1 else 1
        if "running" in name or tensor.dim() == 1 and name.endswith("weight"):
            nn.init.uniform_(tensor, 0.5, 1.5, generator=rng)
        else:
            nn.init.normal_(tensor, std=fan**-0.5, generator=rng)
    return ZooModel(module, inputs, tuple(f"y{i}" for i in range(module.times)), case.name)
