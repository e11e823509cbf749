"""Tiny classifiers, exported, for the tests."""

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CLASSIFIERS, TEXT, build
from torch.testing import assert_close

from duosent.inference.exported_program import export_program, graph_inputs
from duosent.inference.onnx_files import write_onnx
from duosent.inference.onnx_model import OnnxModelForImageTextClassification

LABELS = {0: "negative", 1: "neutral", 2: "positive"}


def tiny_classifier(name: str, tokenizer, **config):
    """A model of `duosent train --model NAME` that goes with the tests' tokenizer and image processor."""
    model_class, fields = CLASSIFIERS[name]
    towers = {"text_config": {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64}}
    return build(model_class, **{**towers, "id2label": LABELS, **fields, **config})


def save_checkpoint(model, processor, folder: Path) -> str:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def random_posts(rows: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Posts of different lengths, some without words, some without a picture, some without either."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, length + 1, (rows, 1), generator=generator)
    return {
        "input_ids": torch.randint(3, 50, (rows, length), generator=generator),
        "attention_mask": (torch.arange(length) < lengths).long(),
        "token_type_ids": torch.randint(0, 2, (rows, length), generator=generator),
        "text_present": torch.rand(rows, generator=generator) < 0.7,
        "pixel_values": torch.randn(rows, 3, 32, 32, generator=generator),
        "image_present": torch.rand(rows, generator=generator) < 0.7,
    }


@torch.no_grad()
def assert_the_same_logits(model, graph, rows: int, length: int, seed: int) -> None:
    """To 1e-4, or of large logits, as CNNs of random weights have them, to 1e-4 of the largest; on random posts as far
    as the graph reads them."""
    posts = random_posts(rows, length, seed)
    posts = {name: posts[name] for name in graph.inputs}
    logits = model(**posts).logits
    assert_close(graph(**posts).logits, logits, atol=1e-4 * max(1, float(logits.abs().max())), rtol=0)


def assert_graph_of(model, processor, folder: Path, examples: int) -> None:
    """Written, read and asked with posts of all sorts."""
    file = write_onnx(export_program(model, processor), folder)
    graph = OnnxModelForImageTextClassification.from_graph(model.config, graph_inputs(model, processor), file)

    @settings(max_examples=examples)
    @given(rows=st.integers(1, 9), length=st.integers(1, 40), seed=st.integers(0, 2**31))
    def holds(rows, length, seed):
        assert_the_same_logits(model, graph, rows, length, seed)

    holds()
