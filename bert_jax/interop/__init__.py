"""Formats of other frameworks: Hugging Face and Google TF1 checkpoints, StableHLO, ONNX."""
