"""Benchmarks of the road to BERT; `python -m benchmarks.lineage` runs all of them."""
