"""The way of files to a repository on the Hub, and what is said where it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from duosent.hub_cards.run_files import CardError


class PublishError(RuntimeError):
    """The Hub did not take it."""


def check_repo_id(repo_id: str) -> None:
    """
    Raises:
        CardError: for a name that no repository has.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise CardError(f"repo_id must be owner/name on the Hub, got {repo_id!r}.") from error


@contextmanager
def on_the_hub(repo_id: str) -> Iterator[None]:
    """Calls of the Hub, whose failures become one sentence.

    Raises:
        PublishError: if the Hub or the way to it failed.
    """
    try:
        yield
    except PublishError:
        raise
    except HfHubHTTPError as error:
        reason = " ".join(str(error).split())
        raise PublishError(f"The Hub does not take {repo_id}: {reason}") from error
    except Exception as error:  # of whatever library huggingface_hub speaks HTTP by
        reason = " ".join(str(error).split())
        raise PublishError(f"The way to the Hub broke, and the same command goes on with it: {reason}") from error


__all__ = ["PublishError", "check_repo_id", "on_the_hub"]
