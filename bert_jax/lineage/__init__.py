"""The road to BERT: LSTM seq2seq, attention, GNMT, the Transformer, the Neural Turing Machine.

In reading order:

- lstm: the LSTM cell, and its scan over a padded batch
- attention: Luong's and Bahdanau's scores, and the context vector
- lstm_decoders, seq2seq: LSTM decoders (fixed vector, attention, GNMT); encoder and whole model
- transformer_layers, transformer: the Transformer for translation
- decoding: greedy and beam search; batch_decoding: the same for many sentences, on all devices
- bitext, subwords, bitext_batches: pairs of sentences, their vocabulary, their batches
- translation: the objective, with label smoothing; evaluation: BLEU; translator: a trained model
- ntm_addressing, ntm: the Neural Turing Machine; copying: the tasks that it learns
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_jax.lineage.translator import Translator as Translator
    from bert_jax.lineage.translator import load_translator as load_translator


def __getattr__(name: str) -> Any:
    """Import the translator only when it is asked for: the data modules do without JAX."""
    if name in ("load_translator", "Translator"):
        from bert_jax.lineage import translator

        return getattr(translator, name)
    raise AttributeError(f"module 'bert_jax.lineage' has no attribute {name!r}")
