"""Baselines: words only, picture only, or both towers side by side, under the classifier of MDSE."""

import torch
from torch import Tensor
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_baselines import BaselineConfig
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.classifier import Classifier
from duosent.modeling.encoders import ImageTextPreTrainedModel, TwoTowers, count_posts, vision_width
from duosent.modeling.outputs import BaselineOutput


class BaselineForImageTextClassification(BatchLoss, TwoTowers, ImageTextPreTrainedModel):
    """Pool each tower that the config has, join the features, classify.

    Words are the mean of their tokens; a picture is its [CLS], or the mean of the cells of a tower without one. A side
    that a post lacks is a feature of zeros.
    """

    config: BaselineConfig
    base_model_prefix = ""

    def __init__(self, config: BaselineConfig):
        super().__init__(config)
        self._build_towers(config)
        width = 0
        if self.text_model is not None:
            width += self.text_model.config.hidden_size
        if self.vision_model is not None:
            width += vision_width(self.vision_model)
        self.classifier = Classifier(width, config)
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
            input_ids, attention_mask, token_type_ids: `(B, T)`; pixel_values: `(B, 3, height, width)`. A side that
                the config leaves out is not read.
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post; with
                tasks `(B, tasks)` class indices.
            text_present, image_present: `(B,)` bool.

        Raises:
            ValueError: if both sides are None.
        """
        batch_size = count_posts(input_ids, pixel_values)
        text_embeds = image_embeds = None
        if self.text_model is not None:
            text_embeds = self.classifier.hidden.weight.new_zeros(batch_size, self.text_model.config.hidden_size)
            if input_ids is not None:
                pooled, present = self.pool_text_tower(input_ids, attention_mask, token_type_ids, text_present)
                text_embeds = pooled * present[:, None]  # (B, W)
        if self.vision_model is not None:
            image_embeds = self.classifier.hidden.weight.new_zeros(batch_size, vision_width(self.vision_model))
            if pixel_values is not None:
                pooled, present = self.pool_image_tower(pixel_values, image_present)
                image_embeds = pooled * present[:, None]  # (B, W)

        features = [embeds for embeds in (text_embeds, image_embeds) if embeds is not None]
        logits = self.classifier(torch.cat(features, dim=-1))  # (B, L)
        losses = {} if labels is None else self.losses(logits, labels)
        return BaselineOutput(
            **losses,
            logits=logits,
            text_embeds=text_embeds,
            image_embeds=image_embeds,
        )


__all__ = ["BaselineForImageTextClassification"]
