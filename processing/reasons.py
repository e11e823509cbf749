"""What an error of another library says, fit for a sentence of one's own."""


def reason_of(error: Exception) -> str:
    """Its message in one line without the full stop, or the name of its class where it has none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


__all__ = ["reason_of"]
