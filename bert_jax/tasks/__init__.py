"""One file per task: how its batches become a loss and its metrics."""
