"""Ten architectures of `transformers` that nobody tuned wasmkiln for: small sizes as published, seeded weights.

The bench runs them as a group of its own, to show what a model gains that is not among those it was made with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as hf
from torch import Tensor, nn

from zoo.common import ZooModel, calibrate_batch_norms, images, seed_linear

PREFILL = 40  # tokens of a prompt
SENTENCE = 64  # tokens of what an encoder reads


class Returning(nn.Module):
    """A model of `transformers` as a function of tensors that returns tensors."""

    def __init__(self, model: nn.Module, call: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.call(self.model, *inputs)


@torch.no_grad()
def seed(module: nn.Module, rng: torch.Generator) -> None:
    """Weights of unit variance, norms and tables that differ from element to element, whatever layers are called."""
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if isinstance(layer, nn.Linear):
                continue
            if "norm" in type(layer).__name__.lower() and name == "weight":
                nn.init.uniform_(parameter, 0.5, 1.5, generator=rng)
            elif isinstance(layer, nn.Conv1d | nn.Conv2d) and name == "weight":
                nn.init.kaiming_normal_(parameter, mode="fan_in", generator=rng)
            elif type(layer).__name__ == "Conv1D" and name == "weight":  # GPT-2's: inputs × outputs
                nn.init.normal_(parameter, std=parameter.shape[0] ** -0.5, generator=rng)
            elif isinstance(layer, nn.Embedding):
                nn.init.normal_(parameter, std=0.5, generator=rng)
            else:
                nn.init.normal_(parameter, std=0.1, generator=rng)
        if isinstance(layer, nn.Linear):
            seed_linear(layer, rng)


def make(
    model: nn.Module,
    call: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: dict[str, Tensor],
    output_names: tuple[str, ...],
    description: str,
) -> ZooModel:
    rng = torch.Generator().manual_seed(len(description))
    seed(model, rng)
    module = Returning(model, call).eval()
    if any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        calibrate_batch_norms(module, [images(2, inputs["image"].shape[-1], rng)])
    return ZooModel(module, inputs, output_names, description + ", random weights")


def tokens(count: int, vocabulary: int) -> Tensor:
    return torch.randint(0, vocabulary, (1, count), generator=torch.Generator().manual_seed(count))


def image(size: int) -> Tensor:
    return images(1, size, torch.Generator().manual_seed(size))


def gpt2() -> ZooModel:
    """A prompt of 40 tokens → logits of the next one, and keys and values of all layers."""
    model = hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=6, attn_implementation="sdpa"))

    def call(model: nn.Module, input_ids: Tensor) -> tuple[Tensor, ...]:
        out = model(input_ids=input_ids, use_cache=True, logits_to_keep=1)
        cache = [part for layer in out.past_key_values.layers for part in (layer.keys, layer.values)]
        return out.logits, *cache

    names = [f"{part}_{i}" for i in range(model.config.n_layer) for part in ("key", "value")]
    inputs = {"input_ids": tokens(PREFILL, model.config.vocab_size)}
    return make(model, call, inputs, ("logits", *names), f"DistilGPT-2's prefill of {PREFILL} tokens")


def electra() -> ZooModel:
    """ELECTRA-small, a sentence of 64 tokens of which 9 are padding."""
    settings = {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 1024}
    model = hf.ElectraModel(hf.ElectraConfig(**settings, embedding_size=128, attn_implementation="sdpa"))

    def call(model: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    mask = torch.ones(1, SENTENCE, dtype=torch.int64)
    mask[:, -9:] = 0
    inputs = {"input_ids": tokens(SENTENCE, model.config.vocab_size), "attention_mask": mask}
    return make(model, call, inputs, ("states",), f"ELECTRA-small, {SENTENCE} tokens")


def t5() -> ZooModel:
    """T5-small's encoder, a sentence of 64 tokens: RMS norms, positions as a bias of scores."""
    model = hf.T5EncoderModel(hf.T5Config(num_layers=6, vocab_size=32128, attn_implementation="eager"))

    def call(model: nn.Module, input_ids: Tensor) -> Tensor:
        return model(input_ids=input_ids).last_hidden_state

    inputs = {"input_ids": tokens(SENTENCE, model.config.vocab_size)}
    return make(model, call, inputs, ("states",), f"T5-small's encoder, {SENTENCE} tokens")


def vit() -> ZooModel:
    """ViT-tiny with patches of 16 pixels: 197 tokens of 192 channels."""
    settings = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "num_labels": 1000}
    model = hf.ViTForImageClassification(hf.ViTConfig(**settings, attn_implementation="sdpa"))

    def call(model: nn.Module, image: Tensor) -> Tensor:
        return model(pixel_values=image).logits

    return make(model, call, {"image": image(224)}, ("logits",), "ViT-tiny, 224×224")


def segformer() -> ZooModel:
    """SegFormer-B0: attention to shrunken images, depthwise convolutions between linear layers, 150 classes."""
    model = hf.SegformerForSemanticSegmentation(hf.SegformerConfig(num_labels=150))

    def call(model: nn.Module, image: Tensor) -> Tensor:
        return model(pixel_values=image).logits

    return make(model, call, {"image": image(256)}, ("logits",), "SegFormer-B0, 256×256")


def swin() -> ZooModel:
    """Swin-tiny: attention in windows of 7×7 that shift from layer to layer."""
    model = hf.SwinForImageClassification(hf.SwinConfig(num_labels=1000, attn_implementation="eager"))

    def call(model: nn.Module, image: Tensor) -> Tensor:
        return model(pixel_values=image).logits

    return make(model, call, {"image": image(224)}, ("logits",), "Swin-tiny, 224×224")


def convnext() -> ZooModel:
    """ConvNeXt-tiny: 7×7 depthwise convolutions, layer norms of channels, GELU."""
    model = hf.ConvNextForImageClassification(hf.ConvNextConfig(num_labels=1000))

    def call(model: nn.Module, image: Tensor) -> Tensor:
        return model(pixel_values=image).logits

    return make(model, call, {"image": image(224)}, ("logits",), "ConvNeXt-tiny, 224×224")


def mobilevit() -> ZooModel:
    """MobileViT-small: inverted residuals, and transformers over every fourth pixel."""
    model = hf.MobileViTForImageClassification(hf.MobileViTConfig(num_labels=1000))

    def call(model: nn.Module, image: Tensor) -> Tensor:
        return model(pixel_values=image).logits

    return make(model, call, {"image": image(256)}, ("logits",), "MobileViT-small, 256×256")


def clip() -> ZooModel:
    """A CLIP of TinyCLIP's sizes: an image of 197 tokens and a text of 77 → how well they match, and embeddings."""
    vision = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 10, "num_attention_heads": 4}
    text = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = hf.CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 16}, projection_dim=512)
    config._attn_implementation = "sdpa"
    model = hf.CLIPModel(config)

    def call(model: nn.Module, image: Tensor, input_ids: Tensor) -> tuple[Tensor, ...]:
        out = model(pixel_values=image, input_ids=input_ids)
        return out.logits_per_image, out.image_embeds, out.text_embeds

    inputs = {"image": image(224), "input_ids": tokens(77, model.config.text_config.vocab_size)}
    return make(model, call, inputs, ("match", "image_embedding", "text_embedding"), "TinyCLIP, image and text")


def wav2vec2() -> ZooModel:
    """Wav2vec 2.0 of DistilHuBERT's depth: two seconds of sound through strided 1-d convolutions and two layers."""
    model = hf.Wav2Vec2Model(hf.Wav2Vec2Config(num_hidden_layers=2, attn_implementation="sdpa"))

    def call(model: nn.Module, sound: Tensor) -> Tensor:
        return model(sound).last_hidden_state

    sound = torch.randn(1, 32000, generator=torch.Generator().manual_seed(16))
    return make(model, call, {"sound": sound}, ("states",), "wav2vec 2.0 of two layers, two seconds")
