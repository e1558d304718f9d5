"""Files to text: names, formats, encodings, records, documents. Never imports JAX."""
