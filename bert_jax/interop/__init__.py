"""Checkpoints of others: Hugging Face directories, Google's TF1 files; StableHLO and ONNX out."""
