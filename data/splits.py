"""Train, validation and test out of rows that were published in one piece."""

import hashlib

FOLDS = 10


def stratified_folds(labels: dict[str, str], fold: int, seed: int) -> dict[str, str]:
    """Divide ids 8 : 1 : 1 into `train`, `validation` and `test`, each label alike.

    The ids of a label are put in the order of a hash of seed and id, and dealt out to ten folds in turn, one label
    going on where the last one ended. Fold k is the test part, the next one (after the last the first) validation, the
    other eight train; so over k from 1 to 10 each row is tested once. Only ids, labels and seed decide, on any machine
    and in any version.

    Args:
        labels: label by id.
        fold: from 1 to 10.
        seed: of the order.

    Returns: part by id, in the order of `labels`.

    Raises:
        ValueError: for another fold.
    """
    if not 1 <= fold <= FOLDS:
        raise ValueError(f"fold must be from 1 to {FOLDS}, got {fold}.")

    def place(row: str) -> tuple[str, bytes]:
        return labels[row], hashlib.sha256(f"{seed}:{row}".encode()).digest()

    part_of_fold = {fold - 1: "test", fold % FOLDS: "validation"}
    parts = {row: part_of_fold.get(dealt % FOLDS, "train") for dealt, row in enumerate(sorted(labels, key=place))}
    return {row: parts[row] for row in labels}


__all__ = ["FOLDS", "stratified_folds"]
