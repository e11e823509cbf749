"""Are a model's maps true? Each is put to the proof on posts, against chance, edges and a model that knows nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor
from tqdm import tqdm

from duosent.data.rationales import Rationale, load_rationales
from duosent.inference.explaining import Explainer
from duosent.inference.explanation import Explanation
from duosent.inference.faithfulness import Faithfulness, by_importance, faithfulness
from duosent.inference.held_picture import held_picture
from duosent.inference.hidden_parts import PostParts
from duosent.inference.left_as_it_was import left_as_it_was
from duosent.inference.map_controls import edge_scores, likeness, randomised
from duosent.inference.map_verdicts import Trial, verdicts
from duosent.inference.pointing_game import deciding_cells, deciding_words, hit
from duosent.inference.post_logits import post_logits
from duosent.inference.unlabelled_posts import unlabelled_posts
from duosent.modeling.label_scores import label_scores
from duosent.training.checkpoints import CallError

# Posts that are checked where a caller does not say how many, and those that the random model explains too.
LIMIT, RANDOMISED_POSTS = 200, 20
# Versions of a post in the model at once.
VERSIONS_AT_ONCE = 64


@dataclass
class Side:
    """The words of a post, or the cells of its picture: what can be hidden one by one. `U` units.

    Args:
        name: "words" or "picture".
        maps: name of each map -> `(U,)`, how much each unit matters.
        show: `(V, U)` bool, the units that are shown -> a batch of `V` posts.
        controls: name -> `(U,)`, what needs no model to tell.
        deciding: `(U,)` bool, the units that decide; None where that is not known, and where none of them does by
            itself: no map could hit.
    """

    name: str
    maps: dict[str, np.ndarray]
    show: Callable[[np.ndarray], dict[str, Tensor]]
    controls: dict[str, np.ndarray] = field(default_factory=dict)
    deciding: np.ndarray | None = None


def check_maps(
    explainer: Explainer,
    data: str,
    *,
    split: str | None = None,
    limit: int = LIMIT,
    columns: dict | None = None,
    random_orders: int = 3,
    seed: int = 0,
) -> dict:
    """How faithful each map of a model is on the posts of a table.

    Words and picture are checked apart: units of one side are hidden while the other side stays. The score that is
    followed is that of the answer; a map of no task in particular is checked on the first task.

    Args:
        explainer: of the model, which stays as it was.
        data: what `load_pairs` takes; where it tells the deciding parts (`duosent.data.rationales`), the pointing game
            is played too.
        split: which part; None where there is only one.
        limit: posts at most, from the first on.
        columns: keywords of `load_pairs`; a column that is not given is the one that the checkpoint was trained with.
        random_orders: the mean of so many stands for chance, for each post and side.
        seed: draws those orders, the random model's weights and the resamples of the intervals.

    Returns: `{"n": posts, "rejected": {id: reason}, "seed", "random_orders", "attribution_tolerance", "maps"}`: the
        tolerance is None without attributions, and the last as `duosent.inference.map_verdicts.verdicts` gives it.

    Raises:
        CallError: for an option that cannot be followed.
    """
    for name, value in (("limit", limit), ("random_orders", random_orders)):
        if value < 1:
            raise CallError(f"{name} must be >= 1, got {value}.")
    split, rows = unlabelled_posts(explainer.name, data, split, columns)
    rationales = load_rationales(data, split)
    rng = np.random.default_rng(seed)
    unlearnt = Explainer(
        randomised(explainer.model, seed),
        explainer.processor,
        attributions=explainer.attributions,
        attribution_tolerance=explainer.attribution_tolerance,
    )
    trials, rejected, explained = defaultdict(list), {}, 0
    for number in tqdm(range(min(limit, len(rows))), unit="post", desc="check"):
        row = rows[number]
        post = {name: row.get(name) for name in ("text", "image", "target")}
        try:
            found = explainer(**post)
        except (ValueError, OSError) as error:
            rejected[str(row["id"])] = str(error)
            continue
        explained += 1
        maps_of_chance = None
        if number < RANDOMISED_POSTS:  # of the same labels: another label's map would differ for its own sake
            maps_of_chance = unlearnt(**post, labels=[answer.label for answer in found.answers])
        rationale = Rationale() if rationales is None else rationales[number]
        for side in sides(explainer, post, found, rationale):
            others = {} if maps_of_chance is None else scores_by_map(maps_of_chance, side.name)
            with left_as_it_was(explainer.model):
                for name, trial in _trials(explainer, found, side, others, random_orders, rng):
                    trials[name, side.name].append(trial)
    return {
        "n": explained,
        "rejected": rejected,
        "seed": seed,
        "random_orders": random_orders,
        "attribution_tolerance": explainer.attribution_tolerance if explainer.attributions else None,
        "maps": verdicts(trials, seed),
    }


def sides(explainer: Explainer, post: dict, found: Explanation, rationale: Rationale) -> Iterator[Side]:
    """The sides of a post that some map says something of, and that have two units or more."""
    batch = explainer.collator([post])
    words, cells = scores_by_map(found, "words"), scores_by_map(found, "picture")
    grid = next((of.patches.shape for of in found.maps.values() if of.patches is not None), (1, 1))
    places = [list(word.tokens) for word in found.words]
    parts = PostParts(batch, places, grid, explainer.processor.tokenizer.pad_token_id)
    if words and len(places) > 1:
        known = rationale.words
        deciding = None if known is None else deciding_words([word.text for word in found.words], known)
        yield Side("words", words, parts.with_words, deciding=_if_any(deciding))
    if cells and grid[0] * grid[1] > 1:
        deciding = None if rationale.pixels is None else deciding_cells(rationale.pixels, grid)
        edges = {"edges": edge_scores(batch["pixel_values"][0], grid)}
        yield Side("picture", cells, parts.with_cells, edges, _if_any(deciding))


def _if_any(deciding: np.ndarray | None) -> np.ndarray | None:
    return None if deciding is None or not deciding.any() else deciding


def scores_by_map(found: Explanation, side: str) -> dict[str, np.ndarray]:
    """`(U,)` of each map that says something of a side, "words" or "picture"."""
    arrays = {name: of.words if side == "words" else of.patches for name, of in found.maps.items()}
    return {name: array.ravel() for name, array in arrays.items() if array is not None}


def _trials(
    explainer: Explainer,
    found: Explanation,
    side: Side,
    maps_of_chance: dict[str, np.ndarray],
    random_orders: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Trial]]:
    """What each map is worth on one side of a post."""
    units = len(next(iter(side.maps.values())))
    chance = [rng.permutation(units) for _ in range(random_orders)]
    for label, names in _maps_by_label(explainer, found, side).items():
        scored = [*(side.maps[name] for name in names), *side.controls.values()]
        orders = np.stack([*(by_importance(scores, rng) for scores in scored), *chance])
        with held_picture(explainer.model) if side.name == "words" else nullcontext():
            figures = faithfulness(_score(explainer, side, label), orders)
        of_maps, of_controls = figures[: len(names)], figures[len(names) : -random_orders]
        chance_figures = Faithfulness(*np.mean(figures[-random_orders:], axis=0))
        controls = {"random": chance_figures, **dict(zip(side.controls, of_controls, strict=True))}
        for name, of_map in zip(names, of_maps, strict=True):
            scores, other = side.maps[name], maps_of_chance.get(name)
            yield (
                name,
                Trial(
                    of_map,
                    controls,
                    None if other is None else likeness(scores, other),
                    None if side.deciding is None else hit(scores, side.deciding),
                    None if side.deciding is None else float(side.deciding.mean()),
                ),
            )


def _maps_by_label(explainer: Explainer, found: Explanation, side: Side) -> dict[int, list[str]]:
    """Index of a label -> the maps that are checked on its score."""
    label_of = {f"attributions_{answer.task}": answer.label for answer in found.answers}
    by_label = defaultdict(list)
    for name in side.maps:
        by_label[explainer.labels.index(label_of.get(name, found.answers[0].label))].append(name)
    return by_label


def _score(explainer: Explainer, side: Side, label: int) -> Callable[[np.ndarray], np.ndarray]:
    """`(V, U)` bool, the units that are shown -> `(V,)` scores of the label."""

    def score(shown: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(shown), VERSIONS_AT_ONCE):
            logits = post_logits(explainer.model, side.show(shown[start : start + VERSIONS_AT_ONCE]))
            parts.append(label_scores(logits, explainer.model.config)[:, label].numpy())
        return np.concatenate(parts)

    return score


__all__ = ["LIMIT", "Side", "check_maps", "scores_by_map", "sides"]
