"""The two towers: any text encoder and any vision model, down to tokens of one width."""

import inspect

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedModel, TimmWrapperConfig
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from duosent.modeling.adapter_checkpoints import find_towers_file, merged_checkpoint
from duosent.modeling.masks import all_real
from duosent.modeling.pooling import masked_mean

# Tokens in front of the patches, as vision models name their parameters.
PREFIX_TOKENS = ("cls_token", "class_embedding", "distillation_token", "dist_token", "register_tokens", "reg_token")
# Parts of a vision model behind its last tokens: they would get no gradient, and that stops distributed training.
UNUSED_HEADS = ("pooler", "head", "pre_logits", "fc_norm", "attn_pool")
# The same under names that elsewhere stand for a part in use.
UNUSED_HEADS_OF = {
    "CLIPVisionModel": ("post_layernorm",),
    "ConvNextModel": ("layernorm",),
    "ConvNextV2Model": ("layernorm",),
    "MobileNetV3": ("conv_head", "norm_head"),
}
# What says to from_pretrained where in the Hub or its cache a file lies.
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
# What stands in for a patch that pre-training hides: no post has one.
UNREAD_PARAMETER = "mask_token"


def build_text_model(config) -> PreTrainedModel:
    """A text encoder with random weights and no pooler."""
    return _model_class(config)._from_config(config, **_without_pooler(config))


def build_vision_model(config) -> PreTrainedModel:
    """A vision model of transformers or timm with random weights, ending at its last tokens or grid."""
    if isinstance(config, TimmWrapperConfig):
        config.do_pooling = False
    model = _model_class(config)._from_config(config, **_without_pooler(config))
    trunk = trunk_of(model)
    for name in unused_heads(trunk):
        if isinstance(getattr(trunk, name, None), nn.Module):
            setattr(trunk, name, nn.Identity())
    return model


def trunk_of(model: PreTrainedModel) -> nn.Module:
    """The module that does the work: timm's own inside its wrapper, else the model itself."""
    return getattr(model, "timm_model", model)


def unused_heads(trunk: nn.Module) -> tuple[str, ...]:
    """Names of the parts behind the last tokens, whether or not this model has them."""
    return UNUSED_HEADS + UNUSED_HEADS_OF.get(type(trunk).__name__, ())


def pretrained_state(name_or_path: str, side: str) -> tuple:
    """Config and weights of a pretrained tower.

    Args:
        name_or_path: Hub name or folder; of a model with two towers (CLIP) the wanted one is taken.
        side: "text" or "vision".

    Returns: the tower's config and its state dict in float32.
    """
    config = AutoConfig.from_pretrained(name_or_path)
    config = getattr(config, f"{side}_config", config)
    model = _model_class(config).from_pretrained(name_or_path, dtype=torch.float32, **_without_pooler(config))
    model.config.dtype = None
    return model.config, model.state_dict()


def _model_class(config):
    try:
        return MODEL_MAPPING[type(config)]
    except KeyError:
        raise ValueError(f"AutoModel knows no model of model_type {config.model_type!r}.") from None


def _without_pooler(config) -> dict:
    takes_pooler = "add_pooling_layer" in inspect.signature(_model_class(config).__init__).parameters
    return {"add_pooling_layer": False} if takes_pooler else {}


def vision_width(model: PreTrainedModel) -> int:
    """Channels of a vision model's last tokens or grid cells.

    Raises:
        ValueError: if its config does not tell.
    """
    if hasattr(model, "timm_model"):
        return model.timm_model.num_features
    if hasattr(model.config, "hidden_sizes"):
        return model.config.hidden_sizes[-1]
    if hasattr(model.config, "hidden_size"):
        return model.config.hidden_size
    raise ValueError(
        f"vision_config must have hidden_size or hidden_sizes, which {type(model.config).__name__} has not: "
        "take timm's model of that name."
    )


def count_prefix_tokens(model: PreTrainedModel) -> int:
    """Tokens in front of the patches (class, distillation, registers); 0 for a CNN."""
    if hasattr(model, "timm_model"):
        return getattr(model.timm_model, "num_prefix_tokens", 0)
    prefixes = (p for name, p in model.named_parameters() if name.rsplit(".", 1)[-1] in PREFIX_TOKENS)
    return sum(p.numel() // p.shape[-1] for p in prefixes)


def grid_to_tokens(features: Tensor, channels_last: bool) -> Tensor:
    """A CNN's last grid, `(B, W, h, w)` or `(B, h, w, W)`, as `(B, h * w, W)`; a token sequence stays as it is."""
    if features.ndim == 3:
        return features
    return features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)


def tower_tokens(tower: PreTrainedModel, **inputs) -> Tensor:
    """A tower's last tokens `(B, N, W)`, or a CNN's last grid."""
    return tower(**inputs).last_hidden_state


def count_posts(input_ids: Tensor | None, pixel_values: Tensor | None) -> int:
    """Posts of a batch, of which either side may be None.

    Raises:
        ValueError: if both sides are None.
    """
    if input_ids is None and pixel_values is None:
        raise ValueError("input_ids or pixel_values must be given, got None for both.")
    # A shape, not len(): torch.export would take that for a constant.
    return pixel_values.shape[0] if input_ids is None else input_ids.shape[0]


class TokenProjection(nn.Module):
    """Brings a tower's tokens to fusion width and stands one learned token in for a side that a post lacks."""

    def __init__(self, tower_width: int, hidden_size: int):
        super().__init__()
        self.projection = nn.Identity() if tower_width == hidden_size else nn.Linear(tower_width, hidden_size)
        self.missing = nn.Parameter(torch.zeros(1, hidden_size))

    def forward(self, tokens: Tensor, mask: Tensor | None, present: Tensor) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            tokens: `(B, N, W)`, the tower's.
            mask: `(B, N)`, True for real tokens; None where all are, of posts that all have this side.
            present: `(B,)`, False where the post lacks this side.

        Returns: tokens `(B, N, D)` and mask `(B, N)` or None as before; an absent side is the learned token, alone
            unmasked, at position 0.
        """
        # Also where all are present: distributed training waits for a gradient of the learned token.
        tokens = torch.where(present[:, None, None], self.projection(tokens), self.missing)  # (B, N, D)
        if mask is None:
            return tokens, None
        first = torch.arange(mask.shape[1], device=mask.device) == 0  # (N,)
        # No torch.where: ONNX Runtime has none of booleans.
        return tokens, (mask & present[:, None]) | (first & ~present[:, None])

    def absent(self, batch_size: int) -> Tensor:
        """The learned token for a whole batch without this side, `(B, 1, D)`."""
        return self.missing.expand(batch_size, 1, -1)


class ImageTextPreTrainedModel(PreTrainedModel):
    """What all models of the package share: saving, loading from two towers, what transformers may do with them."""

    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # A mean loss that Trainer took for a sum would be multiplied by the accumulation steps.
    accepts_loss_kwargs = False

    @classmethod
    def from_encoders(cls, text: str | None, image: str | None, **config):
        """Start from two pretrained towers; everything else is new.

        Args:
            text, image: Hub names or folders. A baseline of one side takes None for the other.
            config: fields of the model's config.

        Raises:
            ValueError: for a config field that does not exist or is out of its range.
        """
        towers = {"text": text, "vision": image}
        states = {side: pretrained_state(name, side) for side, name in towers.items() if name is not None}
        configs = {f"{side}_config": tower_config for side, (tower_config, _) in states.items()}
        model = cls(cls.config_class(**configs, **config))
        for side, (_, state) in states.items():
            model._load_tower(side, state)
        return model

    def load_encoders(self, text: str | None, image: str | None) -> None:
        """Give the towers the weights of pretrained ones of the same shape.

        Args: as for `from_encoders`.
        """
        for side, name in {"text": text, "vision": image}.items():
            if name is not None:
                self._load_tower(side, pretrained_state(name, side)[1])

    def _load_tower(self, side: str, state: dict) -> None:
        tower = getattr(self.base_model, f"{side}_model")
        # Heads behind the tokens were cut off: nothing else may be missing or left over.
        heads = set(unused_heads(trunk_of(tower)))
        unused = {key for key in state if heads & set(key.split("."))}
        unused -= set(tower.state_dict())
        tower.load_state_dict({key: value for key, value in state.items() if key not in unused})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers. Adapters are merged into the towers that `towers.json` names, see `merged_checkpoint`;
        towers that the config freezes are frozen (loading makes every parameter trainable).
        """
        hub = {name: kwargs[name] for name in HUB_OPTIONS if kwargs.get(name) is not None}
        towers_file = find_towers_file(pretrained_model_name_or_path, **hub)
        if towers_file is not None:
            config = kwargs.pop("config", None) or cls.config_class.from_pretrained(
                pretrained_model_name_or_path, **hub
            )
            kwargs |= {
                "config": config,
                "state_dict": merged_checkpoint(cls(config), pretrained_model_name_or_path, towers_file, **hub),
            }
            pretrained_model_name_or_path = None
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # with output_loading_info=True
        model.base_model.freeze_towers()
        return loaded

    def save_pretrained(self, save_directory, *args, save_original_format: bool = False, **kwargs):
        """As in transformers, but for the names of the towers' tensors.

        `save_original_format=True` would write a nested tower under its old names, which Trainer's resume and its
        reload of the best model cannot read back.
        """
        super().save_pretrained(save_directory, *args, save_original_format=save_original_format, **kwargs)

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """transformers guesses it from the text of the model's file; our attention stands in a file of its own."""
        return True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, TokenProjection):
            init.normal_(module.missing, std=self.config.initializer_range)


class TwoTowers:
    """The towers inside a base model, for a `PreTrainedModel` to inherit beside its own class.

    Attributes:
        text_model, vision_model: the towers; None for a side that the config leaves out.
        text_projection, image_projection: their `TokenProjection`.
        reads_prefix_tokens: whether the model reads the image tokens in front of the patches (the class token).
        num_prefix_tokens: how many of them it reads.
        read_text, read_image: what runs a tower, `tower_tokens`; training may put in what remembers a frozen one.
    """

    read_text = read_image = staticmethod(tower_tokens)
    reads_prefix_tokens = True
    _text_held = _image_held = False

    def _build_towers(self, config) -> None:
        self.text_model = None if config.text_config is None else build_text_model(config.text_config)
        self.vision_model = None if config.vision_config is None else build_vision_model(config.vision_config)
        self.num_prefix_tokens = self._num_skipped_tokens = 0
        if self.vision_model is not None:
            prefix_tokens = count_prefix_tokens(self.vision_model)
            self.num_prefix_tokens = prefix_tokens if self.reads_prefix_tokens else 0
            self._num_skipped_tokens = prefix_tokens - self.num_prefix_tokens
            self._channels_last = getattr(trunk_of(self.vision_model), "output_fmt", None) == "NHWC"
        self.freeze_towers()

    def freeze_towers(self) -> None:
        """Take the gradient from the towers that the config freezes, and from what no forward reads."""
        if self.text_model is not None and self.config.freeze_text:
            self.text_model.requires_grad_(False)
        if self.vision_model is not None and self.config.freeze_image:
            self.vision_model.requires_grad_(False)
        if self.vision_model is not None:
            for name, parameter in self.vision_model.named_parameters():
                if name.endswith(UNREAD_PARAMETER):
                    parameter.requires_grad_(False)

    def hold_still(self, text: bool, image: bool) -> None:
        """Hold towers still for a while, as if the config froze them: no gradient, no dropout. Their parameters stay
        trainable, so that optimizer and distributed training know them from the start."""
        self._text_held, self._image_held = text, image
        self.train(self.training)

    def _build_projections(self, config) -> None:
        self.text_projection = TokenProjection(self.text_model.config.hidden_size, config.hidden_size)
        self.image_projection = TokenProjection(vision_width(self.vision_model), config.hidden_size)

    def train(self, mode: bool = True):
        super().train(mode)
        if (self.config.freeze_text or self._text_held) and self.text_model is not None:
            self.text_model.eval()
        if self.vision_model is None:
            return self
        if self.config.freeze_image or self._image_held:
            self.vision_model.eval()
        elif self.config.freeze_batch_norm:
            for module in self.vision_model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def run_text_tower(self, input_ids, attention_mask=None, token_type_ids=None, text_present=None):
        """Words to tokens.

        Args:
            input_ids: `(B, T)`.
            attention_mask: `(B, T)`, 1 for real tokens; None for all.
            token_type_ids: `(B, T)`, 1 in the second segment; None for one segment.
            text_present: `(B,)` bool; a row without a single real token counts as absent too. None for all.

        Returns: tokens `(B, T, W)`, mask `(B, T)` and presence `(B,)`; no mask where neither of the two is given.
        """
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        if attention_mask is None and text_present is None:
            tokens = self._read_text(input_ids=input_ids, **segments)
            return tokens, None, all_real(tokens)[:, 0]
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = mask.bool()  # (B, T)
        present = mask.any(dim=-1)  # (B,)
        if text_present is not None:
            present = present & text_present.bool()
        # The tower may not meet a row without keys: NaN there would reach every gradient.
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        readable = mask | (first & ~present[:, None])
        tokens = self._read_text(input_ids=input_ids, attention_mask=readable.to(input_ids.dtype), **segments)
        return tokens, mask, present

    def _read_text(self, **inputs: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._text_held):
            return self.read_text(self.text_model, **inputs)

    def run_image_tower(self, pixel_values, image_present=None):
        """Picture to tokens.

        Args:
            pixel_values: `(B, 3, height, width)`, normalised.
            image_present: `(B,)` bool; None for all.

        Returns: tokens `(B, N, W)`, mask `(B, N)` and presence `(B,)`; no mask where `image_present` is None. Prefix
            tokens only if `reads_prefix_tokens`.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._image_held):
            pixel_values = pixel_values.to(self.vision_model.dtype)
            features = self.read_image(self.vision_model, pixel_values=pixel_values)
        tokens = grid_to_tokens(features, self._channels_last)[:, self._num_skipped_tokens :]  # (B, N, W)
        mask = all_real(tokens)
        return (tokens, None, mask[:, 0]) if image_present is None else (tokens, mask, image_present.bool())

    def pool_text_tower(self, input_ids, attention_mask=None, token_type_ids=None, text_present=None):
        """Words to one feature, the mean of their tokens `(B, W)`, and presence `(B,)`. Args: as `run_text_tower`."""
        tokens, mask, present = self.run_text_tower(input_ids, attention_mask, token_type_ids, text_present)
        return masked_mean(tokens, mask), present

    def pool_image_tower(self, pixel_values, image_present=None):
        """Picture to one feature `(B, W)`, see `pool_image`, and presence `(B,)`. Args: as `run_image_tower`."""
        tokens, mask, present = self.run_image_tower(pixel_values, image_present)
        return self.pool_image(tokens, mask), present

    def pool_image(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """The picture's [CLS], or the mean of the cells of a tower without one: `(B, N, W)`, `(B, N)` -> `(B, W)`"""
        return tokens[:, 0] if self.num_prefix_tokens else masked_mean(tokens, mask)

    def encode_pair(self, input_ids, attention_mask, pixel_values, token_type_ids, text_present, image_present):
        """Both sides at fusion width, with one learned token for a side that is not there.

        Args: as for `run_text_tower` and `run_image_tower`; `input_ids` or `pixel_values` may be None for the whole
            batch.

        Returns: text tokens `(B, T, D)`, text mask `(B, T)`, image tokens `(B, N, D)`, image mask `(B, N)`; None for
            a mask that hides nothing, as far as that is known without a look at it.

        Raises:
            ValueError: if both sides are None.
        """
        batch_size = count_posts(input_ids, pixel_values)
        if input_ids is None:
            text_tokens, text_mask = self.text_projection.absent(batch_size), None
        else:
            tower = self.run_text_tower(input_ids, attention_mask, token_type_ids, text_present)
            text_tokens, text_mask = self.text_projection(*tower)
        if pixel_values is None:
            image_tokens, image_mask = self.image_projection.absent(batch_size), None
        else:
            image_tokens, image_mask = self.image_projection(*self.run_image_tower(pixel_values, image_present))
        return text_tokens, text_mask, image_tokens, image_mask

    def get_input_embeddings(self) -> nn.Module | None:
        """The words'; None in a model that reads no words."""
        return None if self.text_model is None else self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def get_text_features(self, input_ids, attention_mask=None, **kwargs) -> BaseModelOutputWithPooling:
        """What the text tower says: its output, `pooler_output` the mean of the real tokens `(B, W)`."""
        output = self.text_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        mask = None if attention_mask is None else attention_mask.bool()
        return _with_mean(output, output.last_hidden_state, mask)

    @can_return_tuple
    def get_image_features(self, pixel_values, **kwargs) -> BaseModelOutputWithPooling:
        """What the image tower says: its output, `pooler_output` the mean of its tokens or grid cells `(B, W)`."""
        output = self.vision_model(pixel_values=pixel_values, **kwargs)
        tokens = grid_to_tokens(output.last_hidden_state, self._channels_last)
        return _with_mean(output, tokens, None)


def _with_mean(output, tokens: Tensor, mask: Tensor | None) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(
        last_hidden_state=output.last_hidden_state,
        pooler_output=masked_mean(tokens, mask),
        hidden_states=output.get("hidden_states"),
        attentions=output.get("attentions"),
    )


__all__ = [
    "ImageTextPreTrainedModel",
    "TokenProjection",
    "TwoTowers",
    "build_text_model",
    "build_vision_model",
    "count_posts",
    "count_prefix_tokens",
    "grid_to_tokens",
    "tower_tokens",
    "vision_width",
]
