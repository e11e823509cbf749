"""RADM: residual attention and deep cross-modal interaction (2024, doi 10.19734/j.issn.1001-3695.2024.07.0285).

Two paths, one a modality, each attend to themselves and to the other one, layer by layer, with attention scores that
run on through an adaptive gate; a self-fusion encoder then reads both sequences as one. The source gives no formula
for the gate: the reading here is ours and stands in `docs/paper_index.md`.
"""

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import can_return_tuple

from duosent.configuration.configuration_radm import RadmConfig
from duosent.modeling.attention import FeedForward
from duosent.modeling.batch_loss import BatchLoss
from duosent.modeling.classification_losses import ClassificationLoss
from duosent.modeling.encoders import ImageTextPreTrainedModel, TwoTowers
from duosent.modeling.losses import answer_loss
from duosent.modeling.masks import side_by_side
from duosent.modeling.outputs import RadmModelOutput, RadmOutput, wanted_states
from duosent.modeling.residual_attention import AddedScores, GatedScores, OwnScores, ResidualAttention

# Of both sides together, on a CPU (`python -m benchmarks residual_attention`).
MOST_TOKENS_WRITTEN_OUT = 600


def build_combination(config: RadmConfig, layer: int) -> nn.Module:
    """How a layer's scores meet those before it. A stack's first layer has none before it, so no gate either."""
    if layer == 0 or config.residual_attention == "none":
        return OwnScores()
    return GatedScores(config.num_attention_heads) if config.residual_attention == "gated" else AddedScores()


class ResidualAttentionBlock(nn.Module):
    """Residual attention, then residual connection and layer norm."""

    def __init__(self, config: RadmConfig, layer: int):
        super().__init__()
        self.attention = ResidualAttention(config, build_combination(config, layer))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, query, context, context_mask, previous, with_maps):
        """As `ResidualAttention.forward`; the answer `(B, Q, D)` is added to the query and normalised."""
        answer, residual, trace = self.attention(query, context, context_mask, previous, with_maps)
        return self.norm(query + self.dropout(answer)), residual, trace


class InteractionLayer(GradientCheckpointingLayer):
    """One layer of both paths: self-attention in each modality, attention to the other one, feed-forward.

    The paths never share weights. Both look at what the other one is after its self-attention.
    """

    def __init__(self, config: RadmConfig, layer: int):
        super().__init__()
        self.text_self = ResidualAttentionBlock(config, layer)
        self.image_self = ResidualAttentionBlock(config, layer)
        self.text_cross = ResidualAttentionBlock(config, layer) if config.cross_modal else None
        self.image_cross = ResidualAttentionBlock(config, layer) if config.cross_modal else None
        self.text_feed_forward = FeedForward(config)
        self.image_feed_forward = FeedForward(config)

    def forward(self, text, image, text_mask, image_mask, previous, with_maps):
        """
        Args:
            text: `(B, T, D)`; image: `(B, P, D)`; text_mask: `(B, T)`; image_mask: `(B, P)`; None for all.
            previous: residual scores of the layer before, one a map: text self, image self, text to image, image to
                text (the last two only with `cross_modal`); four times None in the first layer.
            with_maps: see `ResidualAttention.forward`.

        Returns: text `(B, T, D)`, image `(B, P, D)`, the residual scores and the traces, each in the same order.
        """
        text, text_scores, text_trace = self.text_self(text, text, text_mask, previous[0], with_maps)
        image, image_scores, image_trace = self.image_self(image, image, image_mask, previous[1], with_maps)
        scores, traces = (text_scores, image_scores), (text_trace, image_trace)
        if self.text_cross is not None:
            asked_text, to_image, to_image_trace = self.text_cross(text, image, image_mask, previous[2], with_maps)
            image, to_text, to_text_trace = self.image_cross(image, text, text_mask, previous[3], with_maps)
            text = asked_text
            scores, traces = (*scores, to_image, to_text), (*traces, to_image_trace, to_text_trace)
        return self.text_feed_forward(text), self.image_feed_forward(image), scores, traces


class FusionEncoderLayer(GradientCheckpointingLayer):
    """One layer of the self-fusion encoder: residual self-attention over both sequences, feed-forward."""

    def __init__(self, config: RadmConfig, layer: int):
        super().__init__()
        self.attention = ResidualAttentionBlock(config, layer)
        self.feed_forward = FeedForward(config)

    def forward(self, tokens, mask, previous, with_maps):
        """tokens `(B, T + P, D)`, mask `(B, T + P)` or None -> tokens, residual scores, trace"""
        tokens, scores, trace = self.attention(tokens, tokens, mask, previous, with_maps)
        return self.feed_forward(tokens), scores, trace


class RadmPreTrainedModel(ImageTextPreTrainedModel):
    config: RadmConfig
    base_model_prefix = "radm"
    _no_split_modules = ["InteractionLayer", "FusionEncoderLayer"]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, RadmModel):
            init.normal_(module.modality_embedding, std=self.config.initializer_range)


class RadmModel(TwoTowers, RadmPreTrainedModel):
    """The features of RADM: both towers, the interaction network and the self-fusion encoder."""

    def __init__(self, config: RadmConfig):
        super().__init__(config)
        self._build_towers(config)
        self._build_projections(config)
        self.interaction_layers = nn.ModuleList(
            InteractionLayer(config, layer) for layer in range(config.num_interaction_layers)
        )
        self.modality_embedding = nn.Parameter(torch.zeros(2, config.hidden_size))  # text, image
        self.fusion_layers = nn.ModuleList(
            FusionEncoderLayer(config, layer) for layer in range(config.num_fusion_layers)
        )
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
        output_cross_scores: bool = False,
        output_gates: bool = False,
        **kwargs,
    ) -> RadmModelOutput:
        """
        Args:
            input_ids, attention_mask, token_type_ids: `(B, T)`; pixel_values: `(B, 3, height, width)`. Either side
                may be None.
            text_present, image_present: `(B,)` bool, False where a post lacks that side.
            output_attentions, output_cross_scores, output_gates: also return those; attention is then written out.
            output_hidden_states: also return the tokens between the layers.

        Raises:
            ValueError: if both sides are None.
        """
        maps = self.config.output_attentions if output_attentions is None else output_attentions
        states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        text, text_mask, image, image_mask = self.encode_pair(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present
        )
        with_maps = maps or output_cross_scores or output_gates or self._writes_attention_out(text, image)

        hidden_states, traces, cross_scores = [], [], []
        if states:
            joined, text, image = join(text, image)
            hidden_states.append(joined)
        scores = (None, None, None, None)
        for layer in self.interaction_layers:
            text, image, scores, layer_traces = layer(text, image, text_mask, image_mask, scores, with_maps)
            if states:
                joined, text, image = join(text, image)
                hidden_states.append(joined)
            traces.extend(layer_traces)
            cross_scores.append(scores[2:])

        text_type, image_type = self.modality_embedding
        tokens, mask = side_by_side(text + text_type, text_mask, image + image_type, image_mask)  # (B, T + P, D)
        scores = None
        for layer in self.fusion_layers:
            tokens, scores, trace = layer(tokens, mask, scores, with_maps)
            hidden_states.append(tokens)
            traces.append(trace)

        text_embeds = tokens[:, 0]  # (B, D)
        image_embeds = self.pool_image(tokens[:, text.shape[1] :], image_mask)  # (B, D)
        return RadmModelOutput(
            fused_embeds=torch.cat([text_embeds, image_embeds], dim=-1),
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            last_hidden_state=tokens,
            hidden_states=wanted_states(tuple(hidden_states), states),
            attentions=tuple(trace.weights for trace in traces) if maps else None,
            cross_scores=tuple(cross_scores) if output_cross_scores and self.config.cross_modal else None,
            gates=tuple(trace.gate for trace in traces if trace.gate is not None) if output_gates else None,
        )

    def _writes_attention_out(self, text: Tensor, image: Tensor) -> bool:
        """Whether attention goes by way of its maps: where `eager` asks for it, and where that is the faster way.

        A CPU multiplies wide heads no faster than narrow ones, so it is faster with maps while these are small; its
        fused attention knows no dropout, and would build maps for it. A graph that is compiled takes the way for texts
        of any length.
        """
        if self.config._attn_implementation == "eager":
            return True
        if text.device.type != "cpu" or self.config._attn_implementation != "sdpa" or torch.compiler.is_compiling():
            return False
        dropped = self.training and self.config.attention_probs_dropout_prob > 0
        return dropped or text.shape[1] + image.shape[1] <= MOST_TOKENS_WRITTEN_OUT


def join(text: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both sequences as one, `(B, T + P, D)`, and its two parts, cut from it so that a gradient reaches it."""
    joined = torch.cat([text, image], dim=1)
    return joined, joined[:, : text.shape[1]], joined[:, text.shape[1] :]


class RadmForImageTextClassification(BatchLoss, RadmPreTrainedModel):
    """RADM with its classifier: both [CLS] side by side -> dropout -> `L`."""

    def __init__(self, config: RadmConfig):
        super().__init__(config)
        self.radm = RadmModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
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
    ) -> RadmOutput:
        """
        Args:
            labels: `(B,)` class indices, -100 for none; `(B, L)` of 0 and 1 for several labels a post; with
                tasks `(B, tasks)` class indices.
            Others: see `RadmModel.forward`. Labels of the words alone or the picture alone are taken and not used.
        """
        features = self.radm(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present, **kwargs
        )
        logits = self.classifier(self.dropout(features.fused_embeds))  # (B, L)
        losses = {} if labels is None else self.losses(logits, labels)
        return radm_output(losses, logits, features)


class RadmForVisualQuestionAnswering(BatchLoss, RadmPreTrainedModel):
    """RADM that answers a question about a picture: pre-training on VQA v2, `L` candidate answers (3,129).

    `RadmForImageTextClassification.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)` takes all of
    its checkpoint but the head.
    """

    def __init__(self, config: RadmConfig):
        super().__init__(config)
        self.radm = RadmModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        labels: torch.FloatTensor | None = None,
        text_present: torch.BoolTensor | None = None,
        image_present: torch.BoolTensor | None = None,
        **kwargs,
    ) -> RadmOutput:
        """
        Args:
            input_ids: `(B, T)`, the question.
            labels: `(B, L)` in [0, 1], the score of each answer.
            Others: see `RadmModel.forward`.
        """
        features = self.radm(
            input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present, **kwargs
        )
        logits = self.classifier(self.dropout(features.fused_embeds))  # (B, L)
        losses = {} if labels is None else self.losses(logits, labels)
        return radm_output(losses, logits, features)

    def losses(self, logits: Tensor, labels: Tensor, num_posts: Tensor | None = None) -> dict[str, Tensor]:
        loss = answer_loss(logits, labels, num_posts)
        return {"loss": loss, "classification_loss": loss}

    def count_posts(self, labels: Tensor) -> Tensor:
        """All: a question without a known answer has scores of 0."""
        return torch.tensor(len(labels), device=labels.device)


def radm_output(losses: dict[str, Tensor], logits: Tensor, features: RadmModelOutput) -> RadmOutput:
    return RadmOutput(
        **losses,
        logits=logits,
        text_embeds=features.text_embeds,
        image_embeds=features.image_embeds,
        fused_embeds=features.fused_embeds,
        hidden_states=features.hidden_states,
        attentions=features.attentions,
        cross_scores=features.cross_scores,
        gates=features.gates,
    )


__all__ = ["RadmForImageTextClassification", "RadmForVisualQuestionAnswering", "RadmModel", "RadmPreTrainedModel"]
