"""The road to BERT, tried: each module is one row, `python -m benchmarks.lineage` runs all."""
