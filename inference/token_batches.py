"""Posts with texts of similar length side by side, in batches of no more than so many tokens."""

from collections.abc import Sequence

# Words of a usual post, special tokens included: what a token budget is worth in posts.
USUAL_TOKENS = 128
# Pixels on a side of what a network without patches counts as one: the strides of most convolutional networks.
STRIDE = 32


def token_batches(lengths: Sequence[int], picture_tokens: int, batch_size: int, batch_tokens: int) -> list[list[int]]:
    """Places of posts, batch by batch, the shortest texts first.

    A batch has as many tokens as its posts times its longest text and a picture together; it holds no more of them
    than the budget, unless a single post does.

    Args:
        lengths: tokens of each text.
        picture_tokens: of a picture.
        batch_size: posts of a batch at most, > 0.
        batch_tokens: the budget, > 0.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        cost = lengths[place] + picture_tokens  # of every post of the batch, since this one is the longest so far
        if batches and len(batches[-1]) < batch_size and (len(batches[-1]) + 1) * cost <= batch_tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def picture_tokens(config, height: int, width: int) -> int:
    """How many patches, or cells of `STRIDE` pixels on a side, a picture has; 0 for a model that reads none.

    Args:
        config: the model's.
        height, width: of the pictures that it gets.
    """
    tower = config.vision_config
    if tower is None:
        return 0
    patch = getattr(tower, "patch_size", None) or STRIDE
    rows, columns = patch if isinstance(patch, list | tuple) else (patch, patch)
    return (height // rows) * (width // columns)


def usual_budget(batch_size: int, tokens_of_picture: int) -> int:
    """The tokens of a batch of usual posts, which is cut only where texts are longer."""
    return batch_size * (USUAL_TOKENS + tokens_of_picture)


__all__ = ["picture_tokens", "token_batches", "usual_budget"]
