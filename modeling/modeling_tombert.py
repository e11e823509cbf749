"""TomBERT: BERT for target-oriented multimodal sentiment classification (Yu and Jiang, IJCAI 2019).

The words are read with the target as their second segment. The target alone, read by the same tower, asks the picture
by cross-attention (target-image matching); its pooled answer and the words go through self-attention together.
"""

import inspect

import torch
from torch import Tensor, nn
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_tombert import TombertConfig
from duosent.modeling.attention import attention_blocks, self_attend
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.classifier import Classifier
from duosent.modeling.encoders import ImageTextPreTrainedModel, TokenProjection, TwoTowers
from duosent.modeling.masks import side_by_side
from duosent.modeling.outputs import BaselineOutput

# Where, after the last layer, the feature stands: the target's answer is the first token, the words' first the next.
POOLED = {"first": slice(0, 1), "cls": slice(1, 2), "both": slice(0, 2)}


def second_segment(input_ids: Tensor, mask: Tensor, separator: int) -> Tensor:
    """The tokens behind the first separator or run of separators: `<s> words </s></s> target </s>`, and the same with
    one separator in the middle.

    Args:
        input_ids: `(B, T)`; mask: `(B, T)`, True for real tokens.
        separator: its id.

    Returns: `(B, T)`, True for the target and the separator behind it; nowhere in a row of one segment.
    """
    separators = (input_ids == separator) & mask
    follows = nn.functional.pad(separators, (1, 0))[:, :-1]  # the token before is a separator
    runs = (separators & ~follows).cumsum(dim=-1)
    return mask & (runs > 0) & ~(separators & (runs == 1))


class TombertForImageTextClassification(BatchLoss, TwoTowers, ImageTextPreTrainedModel):
    """Target-sensitive words and picture, their multimodal encoder and a classifier.

    A post without a target asks the picture with one learned token; its words are read as one segment.

    The target is where `token_type_ids` is 1. A text tower whose tokenizer gives none (RoBERTa) names its separator in
    its config, `sep_token_id` or else `eos_token_id`: there the target is what stands behind the first one, or run.

    Raises:
        ValueError: for a text tower that takes no `token_type_ids` and names no separator (DistilBERT).
    """

    config: TombertConfig
    base_model_prefix = ""
    reads_prefix_tokens = False
    _no_split_modules = ["AttentionBlock"]

    def __init__(self, config: TombertConfig):
        super().__init__(config)
        self._build_towers(config)
        self._build_projections(config)
        self.separator = separator_of(self.text_model)
        self.target_projection = TokenProjection(self.text_model.config.hidden_size, config.hidden_size)
        self.matching_layers = attention_blocks(config, config.num_matching_layers)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.multimodal_layers = attention_blocks(config, config.num_multimodal_layers)
        self.pooled = POOLED[config.pooling]
        self.classifier = Classifier((self.pooled.stop - self.pooled.start) * config.hidden_size, config)
        self.classification_loss = ClassificationLoss(config.problem_type, config.task_sizes())
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        labels: Tensor | None = None,
        text_present: torch.BoolTensor | None = None,
        image_present: torch.BoolTensor | None = None,
        **kwargs,
    ) -> BaselineOutput:
        """
        Args:
            input_ids, attention_mask: `(B, T)`; pixel_values: `(B, 3, height, width)`. Either side may be None.
            token_type_ids: `(B, T)`, 1 for the target; None for a tower that has none, see the class.
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post.
            text_present, image_present: `(B,)` bool, False where a post lacks that side; without words, no target.

        Returns: `image_embeds` is the target's pooled answer, `fused_embeds` what is classified.

        Raises:
            ValueError: if both sides are None.
        """
        words, words_mask, picture, picture_mask = self.encode_pair(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present
        )
        if input_ids is None:
            target = self.target_projection.absent(len(pixel_values))  # (B, 1, D)
        else:
            target = self.encode_target(input_ids, attention_mask, token_type_ids, text_present)  # (B, S, D)
        for layer in self.matching_layers:
            target, _ = layer(target, picture, picture_mask)
        answer = torch.tanh(self.pooler(target[:, 0]))  # (B, D)

        tokens, mask = side_by_side(answer[:, None], None, words, words_mask)  # (B, 1 + T, D)
        tokens = self_attend(self.multimodal_layers, tokens, mask)
        fused_embeds = tokens[:, self.pooled].flatten(1)  # (B, D), both (B, 2D)
        logits = self.classifier(fused_embeds)  # (B, L)
        losses = {} if labels is None else self.losses(logits, labels)
        return BaselineOutput(**losses, logits=logits, image_embeds=answer, fused_embeds=fused_embeds)

    def encode_target(self, input_ids, attention_mask=None, token_type_ids=None, text_present=None) -> Tensor:
        """The target's own encoding, `[CLS] target [SEP]` through the text tower, at fusion width.

        Args: as for `run_text_tower`.

        Returns: `(B, S, D)`, `S` is `max_target_length`; a row without a target is the learned token.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.bool()  # (B, T)
        if text_present is not None:
            mask = mask & text_present.bool()[:, None]
        target = self.find_target(input_ids, mask, token_type_ids)  # (B, T)
        own = target | (mask & (mask.cumsum(dim=-1) == 1))  # with [CLS]
        # The target's tokens, in their order, to the front: a shape that does not depend on what they are, nor, for
        # torch.export, on which is longer, the text or the longest target.
        longest = self.config.max_target_length
        input_ids, own = (nn.functional.pad(tokens, (0, longest)) for tokens in (input_ids, own))
        positions = torch.arange(own.shape[1], device=own.device)
        order = (own.long() * own.shape[1] - positions).topk(longest, dim=-1).indices  # no two alike: stable
        tokens, own, _ = self.run_text_tower(input_ids.gather(1, order), own.gather(1, order))
        tokens, _ = self.target_projection(tokens, own, target.any(dim=-1))
        return tokens

    def find_target(self, input_ids, attention_mask, token_type_ids=None) -> Tensor:
        """`(B, T)`, True for the tokens of the target and the separator behind it; see the class."""
        mask = attention_mask.bool()
        if token_type_ids is not None:
            return mask & (token_type_ids == 1)
        if self.separator is None:
            return torch.zeros_like(mask)
        return second_segment(input_ids, mask, self.separator)


def separator_of(text_model: nn.Module) -> int | None:
    """Id of the token between words and target, None where only `token_type_ids` can tell them apart.

    Raises:
        ValueError: for a tower that has neither.
    """
    config = text_model.config
    for name in ("sep_token_id", "eos_token_id"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    if "token_type_ids" not in inspect.signature(text_model.forward).parameters:
        raise ValueError(
            "TomBERT finds the target by token_type_ids, or behind the sep_token_id or eos_token_id of the text "
            f"tower's config: text_config must have one of the three, which {config.model_type} has not."
        )
    return None


__all__ = ["TombertForImageTextClassification"]
