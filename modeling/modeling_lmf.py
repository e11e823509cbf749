"""LMF: efficient low-rank multimodal fusion with modality-specific factors (Liu et al., ACL 2018), for two sides.

The linear layer of TFN with the weight `W = sum over r of w_text^(r) outer w_image^(r)`. Then
`W ([h_text; 1] outer [h_image; 1]) = sum over r of (w_text^(r) [h_text; 1]) * (w_image^(r) [h_image; 1])`: the tensor
need never exist.
"""

import torch
from torch import Tensor, nn
from transformers import initialization as init

from duosent.configuration.configuration_lmf import LmfConfig
from duosent.modeling.modeling_tfn import TfnForImageTextClassification, with_one


class LowRankFusion(nn.Module):
    """`sum over r of (w_text^(r) [h_text; 1]) * (w_image^(r) [h_image; 1]) + b`."""

    def __init__(self, config):
        super().__init__()
        rank, width = config.fusion_rank, config.hidden_size
        self.text_factors = nn.Parameter(torch.zeros(rank, width + 1, width))
        self.image_factors = nn.Parameter(torch.zeros(rank, width + 1, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """`(B, D)` and `(B, D)` -> `(B, D)`"""
        text = torch.einsum("bi,rio->bro", with_one(text), self.text_factors)  # (B, r, D)
        image = torch.einsum("bi,rio->bro", with_one(image), self.image_factors)  # (B, r, D)
        return (text * image).sum(dim=1) + self.bias


class LmfForImageTextClassification(TfnForImageTextClassification):
    """TFN with its fusion of low rank."""

    config: LmfConfig
    fusion_class = LowRankFusion

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, LowRankFusion):
            # Xavier's deviation: a product of two factors drawn at 0.02 would start with next to no gradient.
            for factors in (module.text_factors, module.image_factors):
                width = factors.shape[-1]
                init.normal_(factors, std=(2 / (2 * width + 1)) ** 0.5)
            init.zeros_(module.bias)


__all__ = ["LmfForImageTextClassification", "LowRankFusion"]
