"""BERT-base of `transformers` at 1×128, with seeded weights that keep attention and GELU busy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from zoo.common import ZooModel, seed_linear

LENGTH = 128
PADDING = 17  # so that the attention mask matters


class BertBase(nn.Module):
    """input_ids, attention_mask 1×128 → last_hidden_state 1×128×768, pooler_output 1×768."""

    def __init__(self) -> None:
        super().__init__()
        self.model = BertModel(BertConfig(attn_implementation="sdpa"))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        out = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return out.last_hidden_state, out.pooler_output


def seed_bert(module: nn.Module, rng: torch.Generator) -> None:
    """Unit-variance projections; transformers' own 0.02 would leave attention uniform and GELU linear."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            seed_linear(layer, rng)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=rng)
        elif isinstance(layer, nn.LayerNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(layer.bias, std=0.1, generator=rng)


def build() -> ZooModel:
    rng = torch.Generator().manual_seed(12)
    module = BertBase().eval()
    seed_bert(module, rng)
    input_ids = torch.randint(0, module.model.config.vocab_size, (1, LENGTH), generator=rng)
    attention_mask = torch.ones(1, LENGTH, dtype=torch.int64)
    input_ids[:, -PADDING:] = 0
    attention_mask[:, -PADDING:] = 0
    return ZooModel(
        module=module,
        inputs={"input_ids": input_ids, "attention_mask": attention_mask},
        output_names=("last_hidden_state", "pooler_output"),
        description="BERT-base, sequence of 128, random weights",
    )
