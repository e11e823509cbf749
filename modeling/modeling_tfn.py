"""TFN: Tensor Fusion Network for multimodal sentiment analysis (Zadeh et al., EMNLP 2017), for words and picture.

A small network gives each side a feature; the outer product of both, each with a 1 behind it, holds the features alone
and every product of two of them; one linear layer reads it.
"""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_tfn import TfnConfig
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.classifier import Classifier
from duosent.modeling.encoders import ImageTextPreTrainedModel, TwoTowers, count_posts, vision_width
from duosent.modeling.outputs import BaselineOutput


class SideNetwork(nn.Module):
    """One side's embedding subnetwork: `W -> D -> D`, an activation after each."""

    def __init__(self, tower_width: int, config):
        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.first = nn.Linear(tower_width, config.hidden_size)
        self.second = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, pooled: Tensor, present: Tensor) -> Tensor:
        """
        Args:
            pooled: `(B, W)`, the tower's feature.
            present: `(B,)`, False where the post lacks this side.

        Returns: `(B, D)`; zeros for an absent side, so that [h; 1] leaves the other side's own feature alone.
        """
        feature = self.activation(self.second(self.activation(self.first(self.dropout(pooled)))))
        return torch.where(present[:, None], feature, 0.0)


class TensorFusion(nn.Module):
    """`W ([h_text; 1] outer [h_image; 1]) + b`, the tensor flattened."""

    def __init__(self, config):
        super().__init__()
        self.linear = nn.Linear((config.hidden_size + 1) ** 2, config.hidden_size)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """`(B, D)` and `(B, D)` -> `(B, D)`"""
        outer = with_one(text)[:, :, None] * with_one(image)[:, None, :]  # (B, D + 1, D + 1)
        return self.linear(outer.flatten(1))


def with_one(feature: Tensor) -> Tensor:
    """`(B, D)` -> `(B, D + 1)`, a 1 behind each row."""
    return torch.cat([feature, feature.new_ones(feature.shape[0], 1)], dim=-1)


class TfnForImageTextClassification(BatchLoss, TwoTowers, ImageTextPreTrainedModel):
    """Pool both towers, give each side its network, fuse, classify.

    Words are the mean of their tokens; a picture is its [CLS], or the mean of the cells of a tower without one.
    """

    config: TfnConfig
    base_model_prefix = ""
    fusion_class = TensorFusion

    def __init__(self, config):
        super().__init__(config)
        self._build_towers(config)
        self.text_network = SideNetwork(self.text_model.config.hidden_size, config)
        self.image_network = SideNetwork(vision_width(self.vision_model), config)
        self.fusion = self.fusion_class(config)
        self.activation = ACT2FN[config.hidden_act]
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
    ) -> BaselineOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids: `(B, T)`; pixel_values: `(B, 3, height, width)`. Either side
                may be None.
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post.
            text_present, image_present: `(B,)` bool, False where a post lacks that side.

        Raises:
            ValueError: if both sides are None.
        """
        batch_size = count_posts(input_ids, pixel_values)
        absent = self.classifier.hidden.weight.new_zeros(batch_size, self.config.hidden_size)
        text_embeds = image_embeds = absent
        if input_ids is not None:
            pooled = self.pool_text_tower(input_ids, attention_mask, token_type_ids, text_present)
            text_embeds = self.text_network(*pooled)  # (B, D)
        if pixel_values is not None:
            image_embeds = self.image_network(*self.pool_image_tower(pixel_values, image_present))  # (B, D)

        fused_embeds = self.activation(self.fusion(text_embeds, image_embeds))  # (B, D)
        logits = self.classifier(fused_embeds)  # (B, L)
        losses = {} if labels is None else self.losses(logits, labels)
        return BaselineOutput(
            **losses,
            logits=logits,
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            fused_embeds=fused_embeds,
        )


__all__ = ["SideNetwork", "TensorFusion", "TfnForImageTextClassification", "with_one"]
