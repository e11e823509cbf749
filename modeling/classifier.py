"""The classifier of MDSE, (9), which the baselines share."""

from torch import Tensor, nn
from transformers.activations import ACT2FN


class Classifier(nn.Module):
    """`W -> W/2 -> L` with dropout in front of each linear layer.

    Args:
        width: `W` of the feature.
        config: gives `classifier_dropout`, `hidden_act` and `num_labels`.
    """

    def __init__(self, width: int, config):
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.hidden = nn.Linear(width, width // 2)
        self.activation = ACT2FN[config.hidden_act]
        self.output = nn.Linear(width // 2, config.num_labels)

    def forward(self, feature: Tensor) -> Tensor:
        """`(B, W)` -> `(B, L)`"""
        return self.output(self.dropout(self.activation(self.hidden(self.dropout(feature)))))


__all__ = ["Classifier"]
