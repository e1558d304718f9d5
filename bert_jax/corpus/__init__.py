"""Documents to pretraining batches: sentences, pairs, packed rows. Never imports JAX."""
