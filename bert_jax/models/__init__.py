"""Models built from the layers: BERT and its heads."""
