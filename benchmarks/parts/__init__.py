"""The parts of `python -m benchmarks`: each says what it measures, adds its options and gives rows."""
