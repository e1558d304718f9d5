"""Models: BERT and its heads."""
