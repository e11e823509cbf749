"""A checkpoint's answer to one post, or about several targets of one post."""

from duosent.inference.answer_rows import AnswerRows
from duosent.inference.backends import load_backend
from duosent.inference.post_logits import readable_posts
from duosent.processing.collator import ImageTextCollator
from duosent.training.checkpoints import CallError


def predict(
    checkpoint: str,
    text: str | None = None,
    image=None,
    target: str | None = None,
    device: str | None = None,
    consistent: bool = False,
    backend: str = "torch",
    confidence: float | None = None,
    abstain: bool = False,
    dtype: str | None = None,
) -> dict:
    """Label and scores of one post, or the answer to a question about a picture.

    Args:
        checkpoint: folder or Hub name.
        text, image: the post, or the question and its picture; either may be None. The picture is a path, bytes, a
            PIL image or an array.
        target: what `$T$` in the text stands for.
        device: "cpu", "cuda", ...; None takes the accelerator where there is one.
        consistent: of a model with several labels, take of the combinations that occurred in training the most
            probable one, so that the labels do not contradict one another.
        backend: "torch", or "onnx" for a folder that `duosent export` wrote.
        confidence: of a calibrated model, give too the set of labels that holds the true one with this probability,
            from 0.5 to 0.99; it may be empty.
        abstain: of a model calibrated for an accuracy, say too whether the best score is too low for it.
        dtype: of backend "torch", compute in "float32", "bfloat16" or "float16"; None for what was saved.

    Returns: `{"label": name, "scores": {name: score}}`. Scores are in [0, 1] and sum to 1; of a model with several
        labels a post each is its own probability, and `label` is the list of those above one half. With `confidence`
        also `label_set`, names, best first, and with `abstain` `withheld`, a bool.
        Of a model with several tasks `{"tasks": {task: {"label": name, "scores": {name: score}}}}`.
        Of a model that answers questions `{"answer": name, "scores": {name: score}}` with the five best answers, best
        first; a score is the expected agreement of annotators, each in [0, 1].

    Raises:
        CallError: if there is no such checkpoint, for an option that its model cannot follow, or for nothing in the
            post that the model reads.
    """
    post = {"text": text, "image": image, "target": target}
    how = {"consistent": consistent, "confidence": confidence, "abstain": abstain}
    [answer] = _predict(checkpoint, [post], (backend, device, dtype), how)
    return answer


def predict_targets(
    checkpoint: str,
    text: str | None,
    image,
    targets: list[str],
    device: str | None = None,
    consistent: bool = False,
    backend: str = "torch",
    confidence: float | None = None,
    abstain: bool = False,
    dtype: str | None = None,
) -> list[dict]:
    """What one post feels about each of several targets, in one call.

    Args:
        targets: at least one. Where the text holds `$T$`, each takes its place in turn; where it does not, the text
            stands as it is. Either way the model reads the target beside it.
        checkpoint, text, image, device, consistent, backend, confidence, abstain, dtype: as in `predict`.

    Returns: for each target, in order, what `predict` returns, and `target`.

    Raises:
        CallError: as `predict`, and for no target or an empty one.
    """
    if not targets or not all(target.strip() for target in targets):
        raise CallError(f"targets must be words, at least one, got {targets}.")
    posts = [{"text": text, "image": image, "target": target} for target in targets]
    how = {"consistent": consistent, "confidence": confidence, "abstain": abstain}
    answers = _predict(checkpoint, posts, (backend, device, dtype), how)
    return [{"target": target, **answer} for target, answer in zip(targets, answers, strict=True)]


def _predict(checkpoint: str, posts: list[dict], computed: tuple, how: dict) -> list[dict]:
    """
    Args:
        computed: backend, device and dtype, see `load_backend`.
        how: keywords of `AnswerRows`.
    """
    model, processor = load_backend(checkpoint, *computed)
    rows = AnswerRows(model, **how)
    batch = ImageTextCollator(processor)(posts)
    if not readable_posts(model, batch).all():
        raise CallError("The post must have a text or a picture that the model reads, got neither.")
    return rows.answers(batch)


__all__ = ["predict", "predict_targets"]
