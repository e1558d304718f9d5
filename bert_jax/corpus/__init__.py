"""Raw text to pretraining batches: documents, sentences, pairs, packed rows. Never imports JAX."""
