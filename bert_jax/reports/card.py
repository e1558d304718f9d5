"""The model card: README.md of an exported directory (Mitchell et al. 2019)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_jax.config import FinetuneConfig
from bert_jax.data.tokenizer import Tokenizer
from bert_jax.interop.huggingface import Exported
from bert_jax.tasks.task import Task

_AUTO = {
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
}
_TAGS = {
    "classification": "text-classification", "regression": "text-classification",
    "tagging": "token-classification", "question_answering": "question-answering",
}  # fmt: skip
_INPUTS = {
    "classification": '["A text to classify."]',
    "regression": '[("One sentence.", "Another sentence.")]',
    "tagging": '["Words that are tagged one by one"]',
    "question_answering": '[{"question": "Who wrote it?", "context": "Ada wrote it."}]',
}


def model_card(
    config: FinetuneConfig, encoder: Exported, task: Task, reports: Mapping[str, Mapping[str, Any]]
) -> str:
    """Data, tokenizer, training, scores with intervals, and how to use the model."""
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {_TAGS.get(config.task, 'feature-extraction')}",
        "tags: [bert, bert_jax]",
        "---",
        "",
        f"# {config.name or config.task}",
        "",
        f"A BERT for {config.task.replace('_', ' ')}, fine-tuned with bert_jax.",
        "",
        "## Scores",
        "",
        "| data | score | value | 95 % interval |",
        "|---|---|---|---|",
    ]
    for name, report in reports.items():
        for score, found in report["scores"].items():
            interval = f"{found['low']:.4f} … {found['high']:.4f}"
            value = f"{found['value']:.4f}"
            lines.append(f"| {name}, {report['examples']:,} | {score} | {value} | {interval} |")
    lines += [
        "",
        "The interval comes from resampling the examples of one run; other seeds differ too.",
        "",
        "## Use",
        "",
        "```python",
        "import bert_jax",
        "",
        'model = bert_jax.load("THIS DIRECTORY")',
        f"print(model.predict({_INPUTS.get(config.task, '[...]')}))",
        "```",
        "",
        "```python",
        f"from transformers import AutoTokenizer, {_AUTO.get(task.architecture, 'AutoModel')}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("THIS DIRECTORY")',
        f'model = {_AUTO.get(task.architecture, "AutoModel")}.from_pretrained("THIS DIRECTORY")',
        "```",
        "",
        "## Model",
        "",
        *_model(encoder, task, config),
        "",
        "## Training",
        "",
        "| setting | value |",
        "|---|---|",
    ]
    for name, value in dataclasses.asdict(config).items():
        if name not in ("runs_dir", "log_every", "dry_run", "tfds_data_dir", "distributed"):
            lines.append(f"| {name} | {value} |")
    return "\n".join(lines) + "\n"


def _model(encoder: Exported, task: Task, config: FinetuneConfig) -> list[str]:
    shape, tokenizer = encoder.config, encoder.tokenizer
    labels = f"Labels: {', '.join(task.labels)}." if task.labels else ""
    return [
        f"{shape.num_hidden_layers} layers, width {shape.hidden_size}, "
        f"{shape.num_attention_heads} heads, vocabulary {shape.vocab_size:,}, "
        f"up to {config.max_length} tokens. {_casing(tokenizer)} {labels}".rstrip(),
    ]


def _casing(tokenizer: Tokenizer) -> str:
    cased = "uncased" if tokenizer.casing.lowercase else "cased"
    return f"WordPiece, {cased}, accents {'off' if tokenizer.casing.strips_accents else 'kept'}."
