"""Whisper-tiny of `transformers`, encoder and one step of the decoder, with seeded weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from zoo.common import ZooModel, seed_linear

FRAMES = 3000  # 30 s
POSITION = 137  # of the token whose step is the example: so many tokens are in the cache


def config() -> WhisperConfig:
    return WhisperConfig(attn_implementation="sdpa")  # the defaults are those of whisper-tiny


def seed_whisper(module: nn.Module, rng: torch.Generator) -> None:
    """Unit-variance projections, so that attention looks somewhere and GELU bends."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            seed_linear(layer, rng)
        elif isinstance(layer, nn.Conv1d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", generator=rng)
            nn.init.normal_(layer.bias, std=0.1, generator=rng)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, std=0.1, generator=rng)
        elif isinstance(layer, nn.LayerNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(layer.bias, std=0.1, generator=rng)


class Encoder(nn.Module):
    """mel 1×80×3000 → states 1×1500×384."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(config())

    def forward(self, mel: Tensor) -> Tensor:
        return self.encoder(mel).last_hidden_state


class DecoderStep(nn.Module):
    """One token after `position` others.

    token 1×1 and position 1 (int64); per layer the keys and values of up to 447 earlier tokens (1×6×447×64, of which
    those from `position` on do not count) and those of the encoder's states (1×6×1500×64) → logits 1×1×51865, and per
    layer this token's key and value (1×6×1×64), which belong at `position` of the next step's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.decoder = WhisperDecoder(config())
        self.past = self.decoder.config.max_target_positions - 1

    def forward(self, token: Tensor, position: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        layers = [caches[i : i + 4] for i in range(0, len(caches), 4)]
        own = DynamicCache([(keys, values) for keys, values, _, _ in layers])
        encoder = DynamicCache([(keys, values) for _, _, keys, values in layers])
        cache = EncoderDecoderCache(own, encoder)  # tells by its length that the encoder's part is complete
        slots = torch.arange(self.past + 1)
        mask = ((slots < position) | (slots == self.past)).view(1, 1, 1, -1)
        hidden = self.decoder.embed_tokens(token) + self.decoder.embed_positions.weight[position]
        for layer in self.decoder.layers:
            # The states of the encoder stand for "attend to it"; their keys and values are in the cache.
            hidden = layer(hidden, mask, encoder_hidden_states=hidden, past_key_values=cache)
        logits = self.decoder.layer_norm(hidden) @ self.decoder.embed_tokens.weight.T
        new = [part[:, :, self.past :] for layer in own.layers for part in (layer.keys, layer.values)]
        return logits, *new


def build_encoder() -> ZooModel:
    rng = torch.Generator().manual_seed(30)
    module = Encoder().eval()
    seed_whisper(module, rng)
    mel = torch.zeros(1, 80, FRAMES)
    for octave in (8, 64, 512, FRAMES):  # structure in time, as speech has; within about -1 … 1, as Whisper's log-mel
        noise = torch.randn(1, 80, octave, generator=rng)
        mel += 0.25 * nn.functional.interpolate(noise, size=FRAMES, mode="linear", align_corners=False)
    return ZooModel(
        module=module,
        inputs={"mel": mel},
        output_names=("states",),
        description="Whisper-tiny's encoder, 30 s, random weights",
    )


def build_decoder() -> ZooModel:
    rng = torch.Generator().manual_seed(31)
    module = DecoderStep().eval()
    seed_whisper(module, rng)
    settings = module.decoder.config
    heads, width = settings.decoder_attention_heads, settings.d_model // settings.decoder_attention_heads
    inputs = {"token": torch.tensor([[4242]]), "position": torch.tensor([POSITION])}
    outputs = ["logits"]
    for i in range(settings.decoder_layers):
        for kind, length in (("past", module.past), ("cross", settings.max_source_positions)):
            for part in ("key", "value"):
                states = torch.randn(1, heads, length, width, generator=rng)
                if kind == "past":
                    states[:, :, POSITION:] = 0
                inputs[f"{kind}_{part}_{i}"] = states
        outputs += [f"key_{i}", f"value_{i}"]
    return ZooModel(
        module=module,
        inputs=inputs,
        output_names=tuple(outputs),
        description="one step of Whisper-tiny's decoder with its cache, random weights",
    )
