"""Text to batches, with NumPy only: tokenizer, corpus, sentence pairs, packing, loading."""
