"""ELECTRA in Hugging Face's files."""

from bert_jax.config import ElectraConfig
from bert_jax.interop.bert import BERT, encoder_names
from bert_jax.interop.family import Family

ELECTRA = Family(
    config=ElectraConfig,
    prefix="electra.",
    names={
        **encoder_names("electra."),
        "bert.embeddings.project": "electra.embeddings_project",
        "mlm.dense": "generator_predictions.dense",
        "mlm.norm": "generator_predictions.LayerNorm",
        "mlm.bias": "generator_lm_head.bias",
        "classifier.dense": "classifier.dense",
        "classifier.out_proj": "classifier.out_proj",
        "classifier": "classifier",
        "qa_outputs": "qa_outputs",
    },
    decoder="generator_lm_head",
    required=BERT.required,
    activations=BERT.activations,
)
