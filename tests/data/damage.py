"""Damage that hypothesis does to a file's bytes."""

from hypothesis import strategies as st

SIGNS = [b"", b"\0", b'"', b"\t", b",", b"\n", b"\r", b"\xff", b"{", b"[", b"9", b"\\"]


def damaged(draw, content: bytes) -> bytes:
    """One byte, or one stretch of bytes, changed, lost or doubled."""
    start = draw(st.integers(0, len(content) - 1))
    stretch = content[start : start + draw(st.integers(1, 12))]
    sign = draw(st.sampled_from([*SIGNS, stretch * 2]))
    return content[:start] + sign + content[start + draw(st.integers(0, len(stretch))) :]
