"""MDSE: modality-dependent sentiment exploring for multi-modal sentiment classification (ICASSP 2024).

Words and picture give shared features (what each draws from the other) and private ones (what is left of each when the
shared part is taken away); a modality-agnostic contrastive loss pulls all views of one sentiment together. Numbers in
brackets are the paper's equations; `docs/paper_index.md` lists every place where the code leaves the paper.
"""

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_mdse import MdseConfig
from duosent.modeling.attention import AttentionBlock
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.classifier import Classifier
from duosent.modeling.encoders import ImageTextPreTrainedModel, TwoTowers
from duosent.modeling.losses import IGNORED_LABEL, label_set_index, modality_agnostic_contrastive_loss
from duosent.modeling.masks import side_by_side
from duosent.modeling.outputs import MdseModelOutput, MdseOutput, wanted_states
from duosent.modeling.pooling import masked_mean


class FusionLayer(nn.Module):
    """FF of (7) and (8): two features side by side, `2D -> D`, GELU."""

    def __init__(self, config):
        super().__init__()
        self.linear = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """`(B, D)` and `(B, D)` -> `(B, D)`"""
        return self.dropout(self.activation(self.linear(torch.cat([first, second], dim=-1))))


class SummedSimilarity(nn.Module):
    """(3) and the sum in (4): a token's dot products with the other side's shared features, added up."""

    def forward(self, tokens: Tensor, shared: Tensor, shared_mask: Tensor | None) -> Tensor:
        """tokens `(B, N, D)`, shared `(B, M, D)`, its mask `(B, M)` or None -> `(B, N)`"""
        if shared_mask is not None:
            shared = shared * shared_mask.unsqueeze(-1)
        # sum_m x_n . s_m = x_n . sum_m s_m: the (N, M) map need not exist.
        return (tokens @ shared.sum(dim=1).unsqueeze(-1)).squeeze(-1)


class MeanSimilarity(nn.Module):
    """The mean instead of the sum, over sqrt(D): neither the other side's length nor the width changes its size."""

    def forward(self, tokens: Tensor, shared: Tensor, shared_mask: Tensor | None) -> Tensor:
        """tokens `(B, N, D)`, shared `(B, M, D)`, its mask `(B, M)` or None -> `(B, N)`"""
        mean = masked_mean(shared, shared_mask)  # (B, D)
        return (tokens @ mean.unsqueeze(-1)).squeeze(-1) * tokens.shape[-1] ** -0.5


class SoftmaxContrast(nn.Module):
    """(5) as printed: take away the importance itself."""

    def forward(self, importance: Tensor) -> Tensor:
        """`(B, N)` -> share that is kept, `(B, N)`"""
        return 1 - importance


class MaxContrast(nn.Module):
    """Take away the importance over its largest value in the post: the most shared token goes, whatever its share."""

    def forward(self, importance: Tensor) -> Tensor:
        """`(B, N)` -> share that is kept, `(B, N)`"""
        return 1 - importance / importance.amax(dim=-1, keepdim=True)


SIMILARITIES = {"sum": SummedSimilarity, "mean": MeanSimilarity}
CONTRASTS = {"softmax": SoftmaxContrast, "max": MaxContrast}


class PrivateFeatureLearning(nn.Module):
    """(3) to (6): what one side says that the other does not."""

    def __init__(self, config):
        super().__init__()
        self.similarity = SIMILARITIES[config.private_similarity]()
        self.contrast = CONTRASTS[config.private_contrast]()
        self.adaptation = AttentionBlock(config) if config.feature_adaptation else None

    def forward(self, tokens, mask, shared, shared_mask, output_attentions=False):
        """
        Args:
            tokens: `(B, N, D)`, the side's own; mask: `(B, N)`, or None for all.
            shared: `(B, M, D)`, what the other side drew from it (`f^s` of this side); shared_mask: `(B, M)` or None.

        Returns: private feature `(B, D)`, importance `(B, N)` of (4), private tokens `(B, N, D)`, map `(B, H, N, N)`
            or None.
        """
        similarity = self.similarity(tokens, shared, shared_mask)  # (B, N)
        if mask is not None:
            # -inf, not 0: a padded token must take no share of the softmax.
            similarity = similarity.masked_fill(~mask, -torch.inf)
        importance = similarity.softmax(dim=-1)  # (B, N)
        private = self.contrast(importance).unsqueeze(-1) * tokens  # (B, N, D)
        weights = None
        if self.adaptation is not None:
            private, weights = self.adaptation(private, private, mask, output_attentions)
        return masked_mean(private, mask), importance, private, weights


class MdsePreTrainedModel(ImageTextPreTrainedModel):
    config: MdseConfig
    base_model_prefix = "mdse"
    _no_split_modules = ["AttentionBlock"]


class MdseModel(TwoTowers, MdsePreTrainedModel):
    """The features of MDSE: both towers, shared and private features, and their fusion."""

    reads_prefix_tokens = False

    def __init__(self, config: MdseConfig):
        super().__init__(config)
        self._build_towers(config)
        self._build_projections(config)
        self.shared_image = AttentionBlock(config)
        self.shared_text = AttentionBlock(config)
        self.private_image = PrivateFeatureLearning(config) if config.image_private else None
        self.private_text = PrivateFeatureLearning(config) if config.text_private else None
        self.image_fusion = FusionLayer(config) if config.image_private else None
        self.text_fusion = FusionLayer(config) if config.text_private else None
        self.fusion = FusionLayer(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        text_present: torch.BoolTensor | None = None,
        image_present: torch.BoolTensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | list[int] | None = None,
        output_importance: bool = False,
        **kwargs,
    ) -> MdseModelOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids: `(B, T)`; pixel_values: `(B, 3, height, width)`. Either side
                may be None.
            text_present, image_present: `(B,)` bool, False where a post lacks that side.
            output_attentions, output_hidden_states, output_importance: also return those maps.

        Raises:
            ValueError: if both sides are None.
        """
        maps = self.config.output_attentions if output_attentions is None else output_attentions
        states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        z, z_mask, v, v_mask = self.encode_pair(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present
        )

        # (1) What the words draw from the picture is T long, what the picture draws from the words P long.
        image_shared, image_shared_map = self.shared_image(z, v, v_mask, maps)  # f_v^s (B, T, D)
        text_shared, text_shared_map = self.shared_text(v, z, z_mask, maps)  # f_z^s (B, P, D)
        # (2)
        shared = masked_mean(*side_by_side(image_shared, z_mask, text_shared, v_mask))  # f^s (B, D)

        image_embeds, text_embeds = shared, shared
        image_importance = text_importance = None
        hidden_states = (z, v, image_shared, text_shared)
        attentions = (image_shared_map, text_shared_map)
        if self.private_image is not None:
            # (3) to (6), (7)
            private, image_importance, private_tokens, private_map = self.private_image(
                v, v_mask, image_shared, z_mask, maps
            )
            image_embeds = self.image_fusion(shared, private)  # f_v (B, D)
            hidden_states += (private_tokens,)
            attentions += () if private_map is None else (private_map,)
        if self.private_text is not None:
            private, text_importance, private_tokens, private_map = self.private_text(
                z, z_mask, text_shared, v_mask, maps
            )
            text_embeds = self.text_fusion(shared, private)  # f_z (B, D)
            hidden_states += (private_tokens,)
            attentions += () if private_map is None else (private_map,)

        return MdseModelOutput(
            fused_embeds=self.fusion(image_embeds, text_embeds),  # (8), f (B, D)
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            hidden_states=wanted_states(hidden_states, states),
            attentions=attentions if maps else None,
            text_importance=text_importance if output_importance else None,
            image_importance=image_importance if output_importance else None,
        )


class MdseForImageTextClassification(BatchLoss, MdsePreTrainedModel):
    """MDSE with its classifier (9) and its loss, `L_SC + contrastive_weight * L_MACL`."""

    def __init__(self, config: MdseConfig):
        super().__init__(config)
        self.mdse = MdseModel(config)
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
        text_labels: Tensor | None = None,
        image_labels: Tensor | None = None,
        text_present: torch.BoolTensor | None = None,
        image_present: torch.BoolTensor | None = None,
        **kwargs,
    ) -> MdseOutput:
        """
        Args:
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post; with
                tasks `(B, tasks)` class indices.
            text_labels, image_labels: the same, of the words alone and of the picture alone; where one is None or
                -100, the post's label serves.
            Others: see `MdseModel.forward`.
        """
        features = self.mdse(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present, **kwargs
        )
        logits = self.classifier(features.fused_embeds)  # (9), (B, L)
        output = MdseOutput(logits=logits, **features)
        if labels is None:
            return output
        predictions, targets = self.loss_inputs(
            output, labels, text_labels, image_labels, input_ids, pixel_values, text_present, image_present
        )
        return MdseOutput(**self.losses(**predictions, **targets), logits=logits, **features)

    @property
    def compares_posts(self) -> bool:
        return self.config.contrastive_weight != 0

    def loss_inputs(
        self,
        output: MdseOutput,
        labels: Tensor,
        text_labels: Tensor | None = None,
        image_labels: Tensor | None = None,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        text_present: Tensor | None = None,
        image_present: Tensor | None = None,
        **inputs,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `BatchLoss.loss_inputs`. With a contrastive loss also the `V` contrastive views of each post,
        `views (B, V, D)`, and `labels_of_views`, `(B, V)`, `(B, V, L)` or `(B, V, tasks)`."""
        predictions, targets = {"logits": output.logits}, {"labels": labels}
        if self.compares_posts:
            labels_of_views = {
                "image": view_labels(image_labels, labels, presence(pixel_values, image_present, labels)),
                "text": view_labels(text_labels, labels, presence(input_ids, text_present, labels)),
                "fused": labels,
            }
            views = self.config.contrastive_views
            predictions["views"] = torch.stack([output[f"{view}_embeds"] for view in views], dim=1)
            targets["labels_of_views"] = torch.stack([labels_of_views[view] for view in views], dim=1)
        return predictions, targets

    def losses(
        self,
        logits: Tensor,
        labels: Tensor,
        views: Tensor | None = None,
        labels_of_views: Tensor | None = None,
        num_posts: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`L_SC + contrastive_weight * L_MACL`, the latter by (10), (11) over the rows of all views,
        with tasks the mean over them."""
        terms = super().losses(logits, labels, num_posts)
        if views is None:
            return terms
        views = views.transpose(0, 1).flatten(0, 1)  # (V B, D)
        labels = labels_of_views.transpose(0, 1).flatten(0, 1)  # (V B,), (V B, L) or (V B, tasks)
        if self.config.tasks is not None:
            contrasts = [self._contrast(views, of_task) for of_task in labels.unbind(dim=-1)]
            terms["contrastive_loss"] = torch.stack(contrasts).mean()
        else:
            terms["contrastive_loss"] = self._contrast(views, label_set_index(labels) if labels.ndim == 2 else labels)
        terms["loss"] = terms["loss"] + self.config.contrastive_weight * terms["contrastive_loss"]
        return terms

    def _contrast(self, views: Tensor, labels: Tensor) -> Tensor:
        """views `(V B, D)`, labels `(V B,)` -> scalar"""
        return modality_agnostic_contrastive_loss(
            views, labels, temperature=self.config.contrastive_temperature, form=self.config.contrastive_form
        )


def presence(side: Tensor | None, present: Tensor | None, labels: Tensor) -> Tensor:
    """`(B,)`, False where a post lacks this side."""
    if side is None:
        return torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    return torch.ones(len(labels), dtype=torch.bool, device=labels.device) if present is None else present.bool()


def view_labels(of_view: Tensor | None, of_post: Tensor, present: Tensor) -> Tensor:
    """Labels of one view for the contrastive loss.

    Args:
        of_view: `(B,)` or `(B, L)`, -100 where the view has no label of its own, or None.
        of_post: the posts' labels, of the same shape; they serve where the view has none.
        present: `(B,)`; a side that is not there has no feature to pull and gets -100.
    """
    labels = of_post if of_view is None else torch.where(of_view == IGNORED_LABEL, of_post, of_view)
    return labels.masked_fill(~(present if labels.ndim == 1 else present[:, None]), IGNORED_LABEL)


__all__ = ["MdseForImageTextClassification", "MdseModel", "MdsePreTrainedModel"]
