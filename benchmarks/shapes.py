"""Sizes of towers, fusion and posts, and made-up posts of these sizes."""

import argparse
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from transformers import BertConfig, ViTConfig

LABELS = 3


@dataclass(frozen=True)
class Shape:
    """How wide, how deep and how long.

    Args:
        text_tokens: of each post; image tokens are those of a picture of `image_size` in patches, and the [CLS].
        width: `D`, of the fusion, with its `mdse_heads`, `mdse_inner`, `radm_heads`, `radm_inner`.
        batch_size: posts of a training step or of a forward.
    """

    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_inner: int = 3072
    image_width: int = 768
    image_layers: int = 12
    image_heads: int = 12
    image_inner: int = 3072
    vocabulary: int = 30522
    text_tokens: int = 128
    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    mdse_heads: int = 8
    mdse_inner: int = 768
    radm_heads: int = 12
    radm_inner: int = 3072
    batch_size: int = 2

    @property
    def image_tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + 1

    def text_config(self, dropout: float) -> BertConfig:
        return BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.text_width,
            num_hidden_layers=self.text_layers,
            num_attention_heads=self.text_heads,
            intermediate_size=self.text_inner,
            max_position_embeddings=max(512, self.text_tokens),
            attention_probs_dropout_prob=dropout,
        )

    def image_config(self, dropout: float) -> ViTConfig:
        return ViTConfig(
            hidden_size=self.image_width,
            num_hidden_layers=self.image_layers,
            num_attention_heads=self.image_heads,
            intermediate_size=self.image_inner,
            image_size=self.image_size,
            patch_size=self.patch_size,
            attention_probs_dropout_prob=dropout,
        )

    def fusion_fields(self, model: str, dropout: float) -> dict:
        """Fields of the config of `mdse`, `radm` or `concat`, without the towers."""
        common = {"num_labels": LABELS}
        if model == "concat":
            return common
        common |= {"hidden_size": self.width, "attention_probs_dropout_prob": dropout}
        heads, inner = {"mdse": (self.mdse_heads, self.mdse_inner), "radm": (self.radm_heads, self.radm_inner)}[model]
        return common | {"num_attention_heads": heads, "intermediate_size": inner}


SHAPES = {
    # BERT-base and ViT-B/16, as in the papers.
    "paper": Shape(),
    # The same with texts as long as tweets.
    "tweet": Shape(text_tokens=32),
    # MiniLM (6 layers) and ViT-Tiny, which docs/results.md trains on two cores.
    "small": Shape(
        text_width=384,
        text_layers=6,
        text_inner=1536,
        image_width=192,
        image_heads=3,
        image_inner=768,
        text_tokens=32,
        width=384,
        radm_heads=6,
        radm_inner=768,
        batch_size=8,
    ),
}


def add_shape_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sizes")
    group.add_argument(
        "--shapes", nargs="+", choices=SHAPES, help="paper, tweet, small; each part has its own, unless given"
    )
    for field in fields(Shape):
        group.add_argument(f"--{field.name.replace('_', '-')}", type=int, metavar="N", help="instead of the shape's")


def chosen_shapes(options: argparse.Namespace, default: list[str]) -> dict[str, Shape]:
    """By name; sizes that were given apply to each."""
    given = {field.name: getattr(options, field.name) for field in fields(Shape)}
    given = {name: size for name, size in given.items() if size is not None}
    return {name: replace(SHAPES[name], **given) for name in options.shapes or default}


def made_up_batch(shape: Shape, seed: int, device: str = "cpu") -> dict[str, Tensor]:
    """Posts of one length with random words, pixels and labels: nothing is padded, so there is no mask."""
    generator = torch.Generator().manual_seed(seed)
    rows, size = shape.batch_size, shape.image_size
    batch = {
        "input_ids": torch.randint(5, shape.vocabulary, (rows, shape.text_tokens), generator=generator),
        "pixel_values": torch.randn(rows, 3, size, size, generator=generator),
        "labels": torch.arange(rows) % LABELS,
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}
