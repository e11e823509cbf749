"""Which words and which parts of a picture moved an answer, by integrated gradients.

Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (ICML 2017), computed by captum.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from duosent.inference.label_odds import odds_of
from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.post_logits import model_inputs
from duosent.modeling.modeling_tombert import TombertForImageTextClassification
from duosent.training.checkpoints import CallError

# Of the difference that the attributions should sum to, where a caller names no other share; below the floor, in
# log-odds, rounding is all there is.
TOLERANCE, FLOOR = 0.01, 1e-4
# Points on a piece of the path, and on the whole path at most.
STEPS, MOST_STEPS = 16, 1024
# However short a piece is, it may use this share of the tolerance.
SHORTEST = 1 / 32
# Pieces in the model at once, each at one point or more.
PIECES_AT_ONCE = 16


class Attributions(NamedTuple):
    """
    Args:
        tokens: `(B, T)`, of each text token; 0 where none of a word stands. None of a model that reads no words.
        pixels: `(B, height, width)`, of each pixel as the model reads it, summed over colours. None of a model that
            reads no pictures.
        value, baseline_value: `(B,)`, log-odds of the label of the post and of its baseline.
        gap: `(B,)`, what the sum of all attributions is more than their difference; 0 if the integral were exact.
        steps: `(B,)`, points taken on the path from baseline to post.
    """

    tokens: Tensor | None
    pixels: Tensor | None
    value: Tensor
    baseline_value: Tensor
    gap: Tensor
    steps: Tensor


def check_attributions(model: PreTrainedModel) -> None:
    """
    Raises:
        CallError: without captum, and for TomBERT, which reads the target's words a second time, by themselves.
    """
    if importlib.util.find_spec("captum") is None:
        raise CallError(
            'The attributions need captum, which is not installed: pip install "duosent[explain]", or leave them '
            "out (--no-attributions)."
        )
    if isinstance(model, TombertForImageTextClassification):
        raise CallError(
            "TomBERT reads the target's words twice, which attributions do not cover: leave them out "
            "(--no-attributions)."
        )


def integrated_gradients(
    model: PreTrainedModel,
    batch: dict[str, Tensor],
    chosen: Tensor,
    word_tokens: Tensor,
    pad_token_id: int,
    tolerance: float = TOLERANCE,
) -> Attributions:
    """Attributions of one label's log-odds over input embeddings of the words and pixels of the picture.

    The baseline is the post without content: at each token of a word the embedding of the padding token (special
    tokens and positions stay), and a picture whose values are 0 as the model reads them, its mean colour.

    Along the straight path from there, the gradients of a piece must sum to what the log-odds change from its one end
    to its other. Where they do not, the piece is halved, so that the steps are where the model changes fast, until
    the post's attributions sum to the difference between post and baseline within `tolerance`, or `MOST_STEPS` are
    taken; the gap that is left is told.

    Args:
        batch: a collator's, with both sides. A side that a post lacks has attributions of 0.
        chosen: `(B,)`, index of the label of each post.
        word_tokens: `(B, T)` bool, True for tokens of words.
        pad_token_id: of the tokenizer.
        tolerance: share of that difference by which the sum may miss it, > 0; the larger, the fewer points are taken.

    Raises:
        CallError: see `check_attributions`.
    """
    check_attributions(model)
    from captum.attr import IntegratedGradients

    batch = model_inputs(model, batch)
    others = [name for name in batch if name != "pixel_values"]
    embedding = model.base_model.get_input_embeddings()
    sides, points, baselines = [], [], []
    if embedding is not None:
        with torch.no_grad():
            words = embedding(batch["input_ids"])  # (B, T, W)
            padding = embedding(torch.full_like(batch["input_ids"], pad_token_id))
        is_word = (word_tokens.to(model.device) & batch["text_present"][:, None]).unsqueeze(-1)
        sides.append("tokens")
        points.append(words)
        baselines.append(torch.where(is_word, padding, words))
    if model.base_model.vision_model is not None:
        sides.append("pixels")
        points.append(batch["pixel_values"])
        baselines.append(torch.zeros_like(batch["pixel_values"]))

    def value(*inputs: Tensor) -> Tensor:
        of_side = dict(zip(sides, inputs, strict=False))
        *rest, labels = inputs[len(sides) :]
        asked = dict(zip(others, rest, strict=True))
        asked["pixel_values"] = of_side.get("pixels")
        with instead_of_words(embedding, of_side["tokens"]) if "tokens" in of_side else nullcontext():
            return odds_of(model(**asked).logits.float(), labels, model.config)

    more = (*(batch[name] for name in others), chosen.to(model.device))
    with left_as_it_was(model):
        with torch.no_grad():
            at_post, at_baseline = (value(*ends, *more).cpu().double() for ends in (points, baselines))
        allowed = (tolerance * (at_post - at_baseline).abs()).clamp_min(FLOOR)  # (B,)
        # Summed on the CPU: not every accelerator knows double precision.
        parts = [torch.zeros(point.shape, dtype=torch.float64) for point in points]
        gap, steps = torch.zeros_like(at_post), torch.zeros(len(chosen), dtype=torch.long)
        # Pieces of the path that are still to be walked: whose they are, and where they begin and end.
        rows = torch.arange(len(chosen))
        low, high = torch.zeros_like(at_post), torch.ones_like(at_post)
        while len(rows):
            found, gaps = walk(IntegratedGradients(value), points, baselines, more, rows, low, high)
            steps.index_add_(0, rows, torch.full_like(rows, STEPS))
            fits = gaps.abs() <= allowed[rows] * (high - low).clamp_min(SHORTEST) / 2
            done = fits | (steps[rows] >= MOST_STEPS)
            for part, of_pieces in zip(parts, found, strict=True):
                part.index_add_(0, rows[done], of_pieces[done])
            gap.index_add_(0, rows[done], gaps[done])
            rows, low, high = rows[~done], low[~done], high[~done]
            middle = (low + high) / 2
            rows, low, high = torch.cat([rows, rows]), torch.cat([low, middle]), torch.cat([middle, high])

    found = dict(zip(sides, parts, strict=True))
    tokens, pixels = found.get("tokens"), found.get("pixels")
    return Attributions(
        None if tokens is None else tokens.sum(dim=-1),
        None if pixels is None else pixels.sum(dim=1),
        at_post,
        at_baseline,
        gap,
        steps,
    )


def walk(method, points, baselines, more, rows, low, high) -> tuple[list[Tensor], Tensor]:
    """Attributions of each piece of a path, and what their sum is more than its ends differ by.

    Args:
        method: captum's.
        points, baselines: of each side `(B, ...)`; more: what else the model is asked with, `(B, ...)`.
        rows: of each piece its post, `(N,)`; low, high: where it begins and ends, from 0 to 1.

    Returns: of each side `(N, ...)`, and gaps `(N,)`.
    """
    found, gaps = [], []
    for some in torch.arange(len(rows)).split(PIECES_AT_ONCE):
        own = rows[some]
        ends = [
            tuple(along(start[own], end[own], share[some]) for start, end in zip(baselines, points, strict=True))
            for share in (high, low)
        ]
        of_pieces, of_gaps = method.attribute(
            *ends,
            additional_forward_args=tuple(tensor[own] for tensor in more),
            n_steps=STEPS,
            internal_batch_size=PIECES_AT_ONCE,
            return_convergence_delta=True,
        )
        found.append([part.detach().cpu().double() for part in of_pieces])
        gaps.append(of_gaps.cpu().double())
    return [torch.cat(parts) for parts in zip(*found, strict=True)], torch.cat(gaps)


def along(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Points between `start` and `end`, `(N, ...)`, by their shares of the way, `(N,)`."""
    return torch.lerp(start, end, share.to(end).reshape(-1, *[1] * (end.ndim - 1)))


@contextmanager
def instead_of_words(embedding: nn.Module, words: Tensor) -> Iterator[None]:
    """For a while the embedding answers with these words, `(B, T, W)`, whatever it is asked."""
    hook = embedding.register_forward_hook(lambda module, inputs, output: words)
    try:
        yield
    finally:
        hook.remove()


__all__ = ["Attributions", "check_attributions", "integrated_gradients"]
