"""The model card: README.md of an exported directory (Mitchell et al. 2019)."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from bert_jax.config import FinetuneConfig
from bert_jax.interop.huggingface import PretrainedModel
from bert_jax.reports.summary import format_interval, format_score
from bert_jax.tasks.task import Task

_PIPELINE_TAGS = {
    "classification": "text-classification", "multilabel": "text-classification",
    "regression": "text-classification", "tagging": "token-classification",
    "question_answering": "question-answering",
}  # fmt: skip
_NOT_SETTINGS = ("runs_dir", "log_every", "dry_run", "tfds_data_dir", "distributed", "grid")
_TASK_NAMES = {"multilabel": "multi-label classification"}
_EXAMPLE_INPUTS = {
    "classification": '["A text to classify."]',
    "multilabel": '["A text to label."]',
    "regression": '[("One sentence.", "Another sentence.")]',
    "tagging": '["Ada wrote it in London"]',
    "question_answering": '[{"question": "Who wrote it?", "context": "Ada wrote it."}]',
}


def model_card(
    config: FinetuneConfig,
    model: PretrainedModel,
    task: Task,
    reports: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return README.md: scores with intervals, how to use the model, its shape, its training.

    Args:
        config: the configuration of the run.
        model: the exported model; its shape and tokenizer are listed.
        task: the task, with its labels.
        reports: reports by the name of the data set, as `make_report` gives them.
    """
    kind = _TASK_NAMES.get(config.task, config.task.replace("_", " "))
    auto_model = f"AutoModel{task.head}"
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {_PIPELINE_TAGS.get(config.task, 'feature-extraction')}",
        f"tags: [{model.config.model_type}, bert_jax]",
        "---",
        "",
        f"# {escape_markdown(config.name or config.task)}",
        "",
        f"A {model.config.title} for {kind}, fine-tuned with bert_jax.",
        "",
        "## Scores",
        "",
        "| data | score | value | 95 % interval |",
        "|---|---|---|---|",
    ]
    for name, report in reports.items():
        for score, values in report["scores"].items():
            value, interval = format_score(values["value"]), format_interval(values)
            lines.append(f"| {name}, {report['examples']:,} | {score} | {value} | {interval} |")
    for name, report in reports.items():
        for line in report.get("warnings", []):
            lines += ["", f"**Warning, {name}:** {escape_markdown(line)}"]
    lines += [
        "",
        "Intervals are bootstrapped over the examples of one run and do not cover other seeds.",
        "",
        "## Use",
        "",
        "```python",
        "import bert_jax",
        "",
        'model = bert_jax.load("THIS DIRECTORY")',
        f"print(model.predict({_EXAMPLE_INPUTS.get(config.task, '[...]')}))",
        "```",
        "",
        "```python",
        f"from transformers import AutoTokenizer, {auto_model}",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("THIS DIRECTORY")',
        f'model = {auto_model}.from_pretrained("THIS DIRECTORY")',
        "```",
        "",
        "## Model",
        "",
        *_describe_model(model, task, config),
        "",
        "## Training",
        "",
        "| setting | value |",
        "|---|---|",
    ]
    for name, value in dataclasses.asdict(config).items():
        if name not in _NOT_SETTINGS:
            lines.append(f"| {name} | {escape_markdown(str(value))} |")
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Return a text on one line without a meaning in Markdown, also in a table's cell."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))


def _describe_model(model: PretrainedModel, task: Task, config: FinetuneConfig) -> list[str]:
    shape, tokenizer = model.config, model.tokenizer
    labels = f"Labels: {', '.join(map(escape_markdown, task.labels))}." if task.labels else ""
    if "thresholds" in task.options:
        labels += " A label is predicted from its threshold on, which was chosen on the dev data."
    return [
        f"{shape.num_hidden_layers} layers, width {shape.hidden_size}, "
        f"{shape.num_attention_heads} heads, vocabulary {shape.vocab_size:,}, "
        f"up to {config.max_length} tokens. {tokenizer.description}. {labels}".rstrip(),
    ]
