"""Labels that are likely wrong, by confident learning (Northcutt, Jiang, Chuang, JAIR 2021), through cleanlab."""

import numpy as np

from duosent.inference.answered_posts import AnsweredPosts


def label_issues(posts: AnsweredPosts) -> list[dict]:
    """The posts whose label the scores speak against more than the model's own mistakes would explain.

    Confident learning counts how often posts of one label are scored like another one, by a threshold of each label
    that is the mean score of its posts, and takes as many of them for wrong (cleanlab's `prune_by_noise_rate`; of
    several labels a post each label is looked at apart). The scores must be those of posts that were not learnt from.

    Args:
        posts: with scores, and posts of two labels at least.

    Returns: the worst first: `place` in the part, `quality` (of the given label, in [0, 1], 0 is worst) and
        `suggested`, the labels of the highest scores.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.multilabel_classification import get_label_quality_scores as quality_of_several
    from cleanlab.rank import get_label_quality_scores

    scores = np.asarray(posts.scores, np.float64)
    if posts.several:
        labels = [np.flatnonzero(row).tolist() for row in posts.truth]
        wrong = find_label_issues(labels, scores, multi_label=True, n_jobs=1)
        quality = quality_of_several(labels, scores)
        best = scores > 0.5
    else:
        labels = posts.truth.argmax(axis=1)
        scores /= scores.sum(axis=1, keepdims=True)  # in single precision they sum to 1 but for rounding
        wrong = find_label_issues(labels, scores, n_jobs=1)
        quality = get_label_quality_scores(labels, scores)
        best = scores == scores.max(axis=1, keepdims=True)
    order = [post for post in np.argsort(quality, kind="stable").tolist() if wrong[post]]
    return [
        {
            "place": int(posts.places[post]),
            "quality": float(quality[post]),
            "suggested": posts.words(best[post]),
        }
        for post in order
    ]


__all__ = ["label_issues"]
