"""CLMLF: contrastive learning and multi-layer fusion for multimodal sentiment detection (Li et al., Findings of NAACL
2022).

The tokens of both sides meet in transformer layers, attention pools them, and two contrastive tasks teach the pooled
feature beside its label: posts of one label belong together, and so do a post and its augmented self.
"""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_clmlf import ClmlfConfig
from duosent.modeling.attention import attention_blocks, self_attend
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.classifier import Classifier
from duosent.modeling.contrastive_tasks import data_based_contrastive_loss, label_based_contrastive_loss
from duosent.modeling.encoders import ImageTextPreTrainedModel, TwoTowers
from duosent.modeling.losses import label_set_index
from duosent.modeling.masks import side_by_side
from duosent.modeling.outputs import ClmlfOutput


class AttentionPooling(nn.Module):
    """`sum over n of softmax_n(w2 act(W1 x_n + b1) + b2) x_n`: the tokens' mean, weighted by what each says."""

    def __init__(self, config):
        super().__init__()
        self.hidden = nn.Linear(config.hidden_size, config.hidden_size // 2)
        self.activation = ACT2FN[config.hidden_act]
        self.score = nn.Linear(config.hidden_size // 2, 1)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """tokens `(B, N, D)`, mask `(B, N)`, True for real tokens, or None for all -> `(B, D)`"""
        scores = self.score(self.activation(self.hidden(tokens))).squeeze(-1)  # (B, N)
        if mask is not None:
            # -inf, not 0: a padded token must take no share of the softmax.
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = scores.softmax(dim=-1)  # (B, N)
        return (weights.unsqueeze(-2) @ tokens).squeeze(-2)


class ClmlfForImageTextClassification(BatchLoss, TwoTowers, ImageTextPreTrainedModel):
    """Multi-layer fusion with its classifier and its losses, `L_SC + lambda_lbcl L_LBCL + lambda_dbcl L_DBCL`.

    The augmented self of a training post is the same post in a second pass, under other dropout (Gao et al., SimCSE,
    EMNLP 2021). In evaluation mode, without dropout, it is the post itself.
    """

    config: ClmlfConfig
    base_model_prefix = ""
    _no_split_modules = ["AttentionBlock"]

    def __init__(self, config: ClmlfConfig):
        super().__init__(config)
        self._build_towers(config)
        self._build_projections(config)
        self.text_layers = attention_blocks(config, config.num_text_layers)
        self.image_layers = attention_blocks(config, config.num_image_layers)
        self.fusion_layers = attention_blocks(config, config.num_fusion_layers)
        self.pooling = AttentionPooling(config)
        self.classifier = Classifier(config.hidden_size, config)
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
    ) -> ClmlfOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids: `(B, T)`; pixel_values: `(B, 3, height, width)`. Either side
                may be None.
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post, which then
                share a label if their whole sets are equal.
            text_present, image_present: `(B,)` bool, False where a post lacks that side.

        Raises:
            ValueError: if both sides are None.
        """
        post = (input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present)
        fused_embeds = self.fuse(*post)  # R, (B, D)
        output = ClmlfOutput(logits=self.classifier(fused_embeds), fused_embeds=fused_embeds)
        if self.training and self.config.data_contrastive_weight:
            output.augmented_embeds = self.fuse(*post)
        if labels is None:
            return output
        predictions, targets = self.loss_inputs(output, labels)
        return ClmlfOutput(**self.losses(**predictions, **targets), **output)

    @property
    def compares_posts(self) -> bool:
        return bool(self.config.label_contrastive_weight or self.config.data_contrastive_weight)

    def loss_inputs(
        self, output: ClmlfOutput, labels: Tensor, **inputs
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `BatchLoss.loss_inputs`. Where posts are compared also their features, `(B, D)`."""
        predictions, targets = {"logits": output.logits}, {"labels": labels}
        if self.compares_posts:
            predictions["features"] = output.fused_embeds
        if self.config.data_contrastive_weight:
            seen_again = output.augmented_embeds
            predictions["augmented"] = output.fused_embeds if seen_again is None else seen_again
        return predictions, targets

    def losses(
        self,
        logits: Tensor,
        labels: Tensor,
        features: Tensor | None = None,
        augmented: Tensor | None = None,
        num_posts: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`L_SC + lambda_lbcl L_LBCL + lambda_dbcl L_DBCL`, with tasks each the mean over them."""
        terms, config = super().losses(logits, labels, num_posts), self.config
        temperature = config.contrastive_temperature
        if config.label_contrastive_weight:
            each = [label_based_contrastive_loss(features, groups, temperature) for groups in self._groups(labels)]
            loss = torch.stack(each).mean()
            terms |= {"label_contrastive_loss": loss, "loss": terms["loss"] + config.label_contrastive_weight * loss}
        if config.data_contrastive_weight:
            each = [data_based_contrastive_loss(features, augmented, own, temperature) for own in self._groups(labels)]
            loss = torch.stack(each).mean()
            terms |= {"data_contrastive_loss": loss, "loss": terms["loss"] + config.data_contrastive_weight * loss}
        return terms

    def _groups(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Which posts belong together, `(B,)` each: by their label, their whole set of labels, or by each task."""
        if self.config.tasks is not None:
            return labels.unbind(dim=-1)
        return (label_set_index(labels) if labels.ndim == 2 else labels,)

    def fuse(self, *post) -> Tensor:
        """Multi-layer fusion. Args as for `encode_pair`; returns the pooled feature `R (B, D)`."""
        text, text_mask, image, image_mask = self.encode_pair(*post)
        text = self_attend(self.text_layers, text, text_mask)
        image = self_attend(self.image_layers, image, image_mask)
        tokens, mask = side_by_side(text, text_mask, image, image_mask)
        return self.pooling(self_attend(self.fusion_layers, tokens, mask), mask)


__all__ = ["AttentionPooling", "ClmlfForImageTextClassification"]
