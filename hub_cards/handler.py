"""An Inference Endpoint of a checkpoint: JSON with words and pictures in, labels and scores out.

    {"inputs": {"text": "What a day", "image": "<base64>"}, "parameters": {"top_k": 3}}

`inputs` is a post or a list of posts, each an object with `text`, `image` and, for models of targets, `target`, or
the words alone. A picture is base64, a data: URI of it, or, where the endpoint allows it, an address on the web. The
answer is that of the pipeline `image-text-classification`, or `{"error": "one sentence"}`.

Set for the endpoint, as environment variables: DUOSENT_ALLOW_URLS (1 to fetch pictures, never from private addresses;
0), DUOSENT_MAX_POSTS of a request (32), DUOSENT_MAX_CHARACTERS of a text (20000), DUOSENT_MAX_BYTES (10485760) and
DUOSENT_MAX_PIXELS (50000000) of a picture, DUOSENT_TIMEOUT in seconds for fetching one (5).
"""

import logging
import os
from pathlib import Path

from transformers import pipeline

logger = logging.getLogger(__name__)

PARAMETERS = ("top_k", "threshold", "consistent", "function_to_apply", "confidence", "abstain")


class EndpointHandler:
    """
    Args:
        path: folder of the checkpoint; where it is empty, that of this file.
    """

    def __init__(self, path: str = ""):
        self.max_posts = _setting("MAX_POSTS", 32)
        self.max_characters = _setting("MAX_CHARACTERS", 20000)
        self.classify = pipeline(
            "image-text-classification",
            model=path or str(Path(__file__).resolve().parent),
            trust_remote_code=True,
            allow_paths=False,
            allow_urls=_setting("ALLOW_URLS", 0) == 1,
            max_bytes=_setting("MAX_BYTES", 10 * 2**20),
            max_pixels=_setting("MAX_PIXELS", 50_000_000),
            timeout=_setting("TIMEOUT", 5),
        )

    def __call__(self, data):
        """A request, as JSON gives it, to what JSON can hold. It never raises."""
        try:
            posts = self._posts(data)
            answers = self.classify(posts if isinstance(posts, list) else [posts], **_parameters(data))
            return answers if isinstance(posts, list) else answers[0]
        except ValueError as error:
            return {"error": " ".join(str(error).split())}
        except Exception:
            logger.exception("A request could not be answered.")
            return {"error": "The request could not be answered."}

    def _posts(self, data):
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError('A request must be an object with "inputs".')
        unknown = sorted(set(map(str, data)) - {"inputs", "parameters"})
        if unknown:
            raise ValueError(f"A request has inputs and parameters, got {unknown[0][:50]!r}.")
        posts = data["inputs"]
        if isinstance(posts, list) and not 1 <= len(posts) <= self.max_posts:
            raise ValueError(f"inputs must hold 1 to {self.max_posts} posts, got {len(posts)}.")
        for post in posts if isinstance(posts, list) else [posts]:
            self._check_post(post)
        return posts

    def _check_post(self, post) -> None:
        """What the pipeline would take from somebody who is trusted, and JSON can hold, and lengths."""
        if not isinstance(post, str | dict):
            raise ValueError(f"A post must be an object or a string, got {type(post).__name__}.")
        for name in ("text", "target"):
            words = post if isinstance(post, str) else post.get(name)
            if isinstance(words, str) and len(words) > self.max_characters:
                raise ValueError(f"{name} must have {self.max_characters} characters at most, got {len(words)}.")
        image = None if isinstance(post, str) else post.get("image")
        if not isinstance(image, str | None):
            raise ValueError(f"image must be a string with base64, got {type(image).__name__}.")


def _parameters(data: dict) -> dict:
    parameters = {} if data.get("parameters") is None else data["parameters"]
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters must be an object, got {type(parameters).__name__}.")
    for name in parameters:
        if name not in PARAMETERS:
            raise ValueError(f"parameters are {', '.join(PARAMETERS)}, got {str(name)[:50]!r}.")
    return parameters


def _setting(name: str, usual: int) -> int:
    value = os.environ.get(f"DUOSENT_{name}", str(usual))
    if not value.isdecimal():
        raise ValueError(f"DUOSENT_{name} must be a whole number, got {value!r}.")
    return int(value)


__all__ = ["EndpointHandler"]
