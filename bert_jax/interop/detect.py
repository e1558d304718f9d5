"""The architecture of other people's weights, by their names: config.json is often silent or wrong.

`bert-base-uncased` calls itself a BertForMaskedLM and holds everything of a BertForPreTraining;
older models name no architecture at all.
"""

from collections.abc import Collection, Mapping

import numpy as np

from bert_jax.interop.config_json import ParsedConfig
from bert_jax.models.architectures import ARCHITECTURES

WITH_MLM = ("BertForMaskedLM", "BertForPreTraining")
UNTIED_DECODER = "cls.predictions.decoder.kernel"
BUFFERS = ("position_ids", "token_type_ids")  # constants that some versions of transformers save


def has_pooler(names: Collection[str]) -> bool:
    """Return True if the weights, by their names in the flat form, have a pooler."""
    return "bert.pooler.dense.kernel" in names


def choose_architecture(parsed: ParsedConfig, names: Collection[str]) -> str:
    """Return the one of `ARCHITECTURES` that uses most of the weights.

    A fine-tuned head that config.json names stays what it is; a pretraining model becomes the
    largest one whose heads are there; what has no name goes by its weights alone.

    Args:
        parsed: the contents of config.json.
        names: the weights' names in the flat form; a tied decoder is not among them.
    """
    named = parsed.architecture
    if named in ARCHITECTURES and named not in ("BertModel", "BertForMaskedLM"):
        return named
    if named is None and "qa_outputs.kernel" in names:
        return "BertForQuestionAnswering"
    if named is None and "classifier.kernel" in names:
        return _choose_classifier(parsed, names)
    if named == "BertModel" and UNTIED_DECODER in names:  # an encoder with another model's head
        return named
    largest = largest_pretraining(names)
    return named if named == "BertForMaskedLM" and largest == "BertModel" else largest


def largest_pretraining(names: Collection[str]) -> str:
    """Return the largest pretraining model whose weights are there: both heads, one, or none."""
    if "cls.predictions.transform.dense.kernel" not in names:
        return "BertModel"
    has_nsp = "cls.seq_relationship.kernel" in names and has_pooler(names)
    return "BertForPreTraining" if has_nsp else "BertForMaskedLM"


def _choose_classifier(parsed: ParsedConfig, names: Collection[str]) -> str:
    """Tell a tagger from a classifier of texts: by its labels, or because it needs no pooler."""
    id2label = parsed.raw.get("id2label")
    labels = id2label.values() if isinstance(id2label, dict) else ()
    has_tags = any(str(label).startswith(("B-", "I-")) for label in labels)
    is_tagger = parsed.problem_type is None and (has_tags or not has_pooler(names))
    return "BertForTokenClassification" if is_tagger else "BertForSequenceClassification"


def describe_choice(
    parsed: ParsedConfig, chosen: str, names: Collection[str], used: Collection[str]
) -> list[str]:
    """Return a line for a name that is missing or not supported, and one for unused weights."""
    lines, named = [], parsed.architecture
    if named is None and chosen != "BertModel":
        lines.append(f"config.json names no architecture; by its weights it is a {chosen}")
    if named is not None and named not in ARCHITECTURES:
        lines.append(f"{named} is not supported, and is read as a {chosen}")
    return lines + describe_unused(chosen, names, used)


def describe_unused(chosen: str, names: Collection[str], used: Collection[str]) -> list[str]:
    """Return a line that names the weights that a model has no place for; none if all are used."""
    unused = sorted(n for n in set(names) - set(used) if n.rpartition(".")[2] not in BUFFERS)
    more = f" and {len(unused) - 4} more" if len(unused) > 4 else ""
    return [f"a {chosen} does not use {', '.join(unused[:4])}{more}"] if unused else []


def number_of_labels(flat: Mapping[str, np.ndarray]) -> int:
    """Return the number of outputs of a classifier or tagger, by its weights."""
    kernel = flat.get("classifier.kernel")
    return kernel.shape[1] if kernel is not None and kernel.ndim == 2 else 2
