"""What a thread makes ahead comes in order, with its errors, and no more of it than asked for."""

import threading
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duosent.inference.read_ahead import read_ahead


@given(items=st.lists(st.integers()), ahead=st.integers(1, 4))
def test_the_same_items_in_order(items, ahead):
    assert list(read_ahead(iter(items), ahead)) == items


def test_an_error_comes_where_it_happened():
    def broken():
        yield 1
        yield 2
        raise KeyError("gone")

    found = []
    with pytest.raises(KeyError, match="gone"):
        for item in read_ahead(broken(), 1):
            found.append(item)
    assert found == [1, 2]


def test_nothing_is_made_before_it_is_wanted_or_beyond_what_fits():
    made = []

    def count():
        for number in range(100):
            made.append(number)
            yield number

    items = read_ahead(count(), 2)
    assert not made
    assert next(items) == 0
    time.sleep(0.3)
    assert len(made) == 4  # one taken, two that wait, one that finds no room
    threads = threading.active_count()
    with closing(items):
        assert next(items) == 1
    assert len(made) <= 5 and threading.active_count() == threads - 1
