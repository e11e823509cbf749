"""What the speed claims rest on: `python -m benchmarks PART ...` (`make bench`), and scripts of their own."""
