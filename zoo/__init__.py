"""The model zoo: the real models that demos, tests and the bench share.

Each has a `build() -> ZooModel`; nothing is downloaded.
"""

from __future__ import annotations

import os
from importlib import import_module

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from zoo.common import DEFAULT_OUT, ZooModel  # noqa: E402  (the variable must be set first)

# id → module:function; ids are those of the bench's JSON.
MODELS: dict[str, str] = {
    "digits": "zoo.digits:build",
    "minilm": "zoo.minilm:build",
    "resnet50": "zoo.resnet50:build",
    "mobilenetv2": "zoo.mobilenetv2:build",
    "bert-base": "zoo.bert_base:build",
    "yolov8n": "zoo.yolov8n:build",
    "whisper-encoder": "zoo.whisper:build_encoder",
    "whisper-decoder": "zoo.whisper:build_decoder",
}

# Only the bench runs these: blocks of networks, and matmul-64 … matmul-1024.
BLOCKS: dict[str, str] = {
    "vocoder": "zoo.blocks:vocoder",
    "unet": "zoo.blocks:unet",
    "group-norm": "zoo.blocks:group_norm",
}
# Models that nobody tuned for: a group of its own in the bench.
UNTUNED: dict[str, str] = {
    name: f"zoo.untuned:{name}"
    for name in ("gpt2", "electra", "t5", "vit", "segformer", "swin", "convnext", "mobilevit", "clip", "wav2vec2")
}
MATMULS: dict[str, int] = {f"matmul-{size}": size for size in (64, 128, 256, 512, 1024)}


def build(model_id: str) -> ZooModel:
    """Builds one model by its id: a module in eval mode with example inputs."""
    if model_id.startswith("operators/"):
        return import_module("zoo.operators").build(model_id)
    if model_id in MATMULS:
        return import_module("zoo.matmul").build(MATMULS[model_id])
    modules = MODELS | BLOCKS | UNTUNED
    if model_id not in modules:
        raise KeyError(f"no model {model_id!r} in the zoo; there are {', '.join([*modules, *MATMULS])}")
    module, _, function = modules[model_id].partition(":")
    return getattr(import_module(module), function)()


__all__ = ["BLOCKS", "DEFAULT_OUT", "MATMULS", "MODELS", "UNTUNED", "ZooModel", "build"]
