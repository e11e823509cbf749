"""What many posts together say of a map: does it beat its controls beyond noise, and may it be trusted?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from duosent.inference.faithfulness import Faithfulness
from duosent.inference.significance import bootstrap_p_value, holm, percentile_interval, resampled_posts

RESAMPLES = 2000
SIGNIFICANT = 0.05
# A map that ranks the parts of a post so much like that of a model of random weights shows the post, not the model.
MOST_LIKE_RANDOM = 0.5
# Of these a control's figure less the map's is the gain; of the others the map's less the control's.
SMALL_IS_GOOD = ("deletion", "sufficiency")
# A map is trusted by its curves; the other two figures are read off the same scores.
DECISIVE = ("deletion", "insertion")
CONTROL_NAMES = {"random": "random orders", "edges": "the picture's edges"}


@dataclass(frozen=True)
class Trial:
    """What a map is worth on one side of one post.

    Args:
        figures: of the map.
        controls: of what it must beat, by name; "random" among them.
        likeness: rank correlation with the map of a model of random weights; None where that was not asked.
        hit, chance: of the pointing game; None where the deciding part is not known.
    """

    figures: Faithfulness
    controls: dict[str, Faithfulness]
    likeness: float | None = None
    hit: float | None = None
    chance: float | None = None


def verdicts(trials: Mapping[tuple[str, str], list[Trial]], seed: int) -> list[dict]:
    """One entry for each map and side.

    `figures` and `controls` are means over posts. `gains` has for each control and figure `mean`, `low` and `high`, by
    how much the map is better, with its 95 % bootstrap interval over posts, and `p`, of "as good as the control",
    corrected for all curves, controls, maps and sides of the call (Holm). `trusted` says that both curves beat every
    control (p < 0.05; of n posts p is 1 / 2^(n - 1) or more) and that the map is not that of a random model; `why`
    says what it fails.

    Args:
        trials: name of the map and of the side -> the posts, one or more.
        seed: of the resamples.

    Returns: `[{"map", "side", "n", "figures", "controls", "gains", "likeness", "pointing", "trusted", "why"}]`.
        `likeness` is None, or `mean`, `low` and `high`, and `n`; `pointing` None, or `hits`, `chance` (means over the
        posts where the deciding part is known), `low`, `high` of the hits, and `n`.
    """
    entries = [_entry(name, side, of, seed) for (name, side), of in trials.items()]
    curves = [
        entry["gains"][control][figure] for entry in entries for control in entry["gains"] for figure in DECISIVE
    ]
    for curve, p in zip(curves, holm(np.array([curve["p"] for curve in curves])), strict=True):
        curve["p"] = float(p)
    for entry in entries:
        entry["why"] = _failings(entry)
        entry["trusted"] = not entry["why"]
    return entries


def _entry(name: str, side: str, trials: list[Trial], seed: int) -> dict:
    known = [trial for trial in trials if trial.hit is not None]
    alike = [trial.likeness for trial in trials if trial.likeness is not None]
    pointing = None
    if known:
        of_posts = [trial.hit for trial in known]
        hits = _interval(of_posts, _resampled_means(of_posts, seed))
        pointing = {"hits": hits.pop("mean"), "chance": float(np.mean([trial.chance for trial in known])), **hits}
        pointing["n"] = len(known)
    return {
        "map": name,
        "side": side,
        "n": len(trials),
        "figures": _means([trial.figures for trial in trials]),
        "controls": {control: _means([trial.controls[control] for trial in trials]) for control in trials[0].controls},
        "gains": {control: _gains(trials, control, seed) for control in trials[0].controls},
        "likeness": {**_interval(alike, _resampled_means(alike, seed)), "n": len(alike)} if alike else None,
        "pointing": pointing,
    }


def _gains(trials: list[Trial], control: str, seed: int) -> dict[str, dict[str, float]]:
    gains = {}
    for figure in Faithfulness._fields:
        sign = -1 if figure in SMALL_IS_GOOD else 1
        differences = [
            sign * (getattr(trial.figures, figure) - getattr(trial.controls[control], figure)) for trial in trials
        ]
        means = _resampled_means(differences, seed)
        gains[figure] = _interval(differences, means)
        if figure in DECISIVE:
            gains[figure]["p"] = max(bootstrap_p_value(means), least_p_value(len(trials)))
    return gains


def least_p_value(posts: int) -> float:
    """The smallest p value that so many posts can show: that of a two-sided sign test where all of them agree.

    Of very few posts all resamples are alike, and the bootstrap alone would be sure.
    """
    return 0.5 ** (posts - 1)


def _failings(entry: dict) -> list[str]:
    """One sentence for each thing that speaks against a map."""
    why = []
    for control, gains in entry["gains"].items():
        for figure in DECISIVE:
            if not (gains[figure]["mean"] > 0 and gains[figure]["p"] < SIGNIFICANT):
                why.append(f"Its {figure} is not better than that of {CONTROL_NAMES[control]}.")
    if entry["likeness"] is not None and entry["likeness"]["high"] > MOST_LIKE_RANDOM:
        why.append("A model of random weights has much the same map.")
    return why


def _interval(values: list[float], means: np.ndarray) -> dict[str, float]:
    """Mean of a figure over posts, and its 95 % bootstrap percentile interval.

    Args:
        means: `_resampled_means` of the values.
    """
    low, high = percentile_interval(means)
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def _resampled_means(values: list[float], seed: int) -> np.ndarray:
    """Means over posts that are drawn with replacement, `(S,)`."""
    weights = np.concatenate(list(resampled_posts(len(values), RESAMPLES, seed)))
    return weights.astype(np.float64) @ np.asarray(values) / len(values)


def _means(figures: list[Faithfulness]) -> dict[str, float]:
    return Faithfulness(*np.mean(figures, axis=0).tolist())._asdict()


__all__ = ["Trial", "verdicts"]
