"""What a map of a post must beat to say something of the model: chance, and the picture's own edges.

A map of edges looks right to the eye and knows nothing of the model (Adebayo et al., Sanity Checks for Saliency Maps,
NeurIPS 2018); so does a map that stays the same when the model's weights are drawn at random.
"""

import copy

import numpy as np
import torch
from scipy.ndimage import sobel
from scipy.stats import spearmanr
from torch import Tensor
from transformers import PreTrainedModel

from duosent.inference.picture_maps import mean_over_patches


def edge_scores(pixel_values: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """How much edge each cell of a picture holds: the mean size of Sobel's gradient of its brightness.

    Args:
        pixel_values: `(3, height, width)`.
        grid: rows and columns of cells.

    Returns: `(C,)`, row by row.
    """
    brightness = pixel_values.mean(dim=0).numpy()
    size = np.hypot(sobel(brightness, axis=0), sobel(brightness, axis=1))
    return mean_over_patches(size, grid).ravel()


def randomised(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The same model with weights as at the start of training, towers included; the one given stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(copy.deepcopy(model.config))
    return fresh.to(model.device).eval()


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps of one post, from -1 to 1; 0 where one is the same everywhere."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


__all__ = ["edge_scores", "likeness", "randomised"]
