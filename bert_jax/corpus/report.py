"""The data report: statistics of the text and of the rows made from it."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bert_jax.config import PrepareConfig
from bert_jax.corpus.advice import collect_warnings
from bert_jax.corpus.build import Shard
from bert_jax.corpus.datasets import REPORT, shard_names
from bert_jax.corpus.heldout import SPLITS
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.sample import Sample
from bert_jax.corpus.tally import Tally
from bert_jax.filesystem import write_text
from bert_jax.reading.cleaning import Findings
from bert_jax.tokenizer.tokenizer import Tokenizer

FORMAT = 1  # version of report.json
# options that rows do not depend on
NOT_HASHED = ("inputs", "output", "workers", "beam", "tfds_data_dir")
# options of the first version; later ones are hashed if they are given, so that the same rows have
# the same fingerprint
FIRST_OPTIONS = {
    "lengths", "vocab", "vocab_size", "lowercase", "strip_accents", "text_column", "sentences",
    "language", "short_seq_prob", "dupe_factor", "pack", "max_sequences", "eval_share", "bundle_mb",
    "seed",
}  # fmt: skip


def make_data_report(
    config: PrepareConfig,
    tokenizer: Tokenizer,
    tally: Tally,
    findings: Findings,
    sample: Sample,
    formats: Sequence[RowFormat],
) -> dict[str, Any]:
    """Build the report, without its timing: a function of configuration and input alone.

    Args:
        config: prepare.py's options.
        tokenizer: tokenizer that made the rows.
        tally: totals over all bundles.
        findings: defects of the input.
        sample: properties of the beginning of the corpus.
        formats: row formats, one for each length.
    """
    datasets = {
        str(row_format.length): {
            "max_sequences": row_format.max_sequences,
            "vocab_size": row_format.vocab_size,
            "splits": {
                split: summarize_shards(shards, split, row_format)
                for split, shards in sorted(tally.shards[row_format.length].items(), reverse=True)
            },
        }
        for row_format in formats
    }
    settings = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in NOT_HASHED
    }
    report = {
        "format": FORMAT,
        "config": settings,
        "inputs": list(config.inputs),
        "sentences": sample.mode,
        "tokenizer_sha256": tokenizer.sha256,
        "vocab_size": tokenizer.vocab_size,
        **summarize_text(tally, tokenizer),
        "bad_input": {
            reason: {"count": count, "first": findings.examples[reason]}
            for reason, count in sorted(findings.counts.items())
        },
        "datasets": datasets,
    }
    report["fingerprint"] = fingerprint(config, settings, tokenizer.sha256, datasets)
    report["sentences_cut"] = {
        str(length): sum(s.num_sentences_cut for shards in by_split.values() for s in shards)
        for length, by_split in sorted(tally.shards.items())
    }
    report["warnings"] = collect_warnings(report, tokenizer, sample)
    return report


def fingerprint(
    config: PrepareConfig, settings: dict[str, Any], tokenizer_sha256: str, datasets: dict[str, Any]
) -> str:
    """Return the hash of options, tokenizer and rows by which runs know their data."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    given = {
        name: value
        for name, value in settings.items()
        if name in FIRST_OPTIONS or value != defaults[name]
    }
    text = json.dumps([given, tokenizer_sha256, datasets], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def summarize_shards(shards: Sequence[Shard], split: str, row_format: RowFormat) -> dict[str, Any]:
    """Return the report's entry for one split of one length."""
    names = shard_names(split, len(shards))
    num_rows = sum(shard.num_rows for shard in shards)
    num_pairs = sum(shard.num_pairs for shard in shards)
    num_tokens = sum(shard.num_tokens for shard in shards)
    num_tokens_cut = sum(shard.num_tokens_cut for shard in shards)
    num_tokens_read = sum(shard.num_tokens_read for shard in shards)
    random_next_share = sum(shard.num_random_next for shard in shards) / max(num_pairs, 1)
    labels = {
        "random_next_share": random_next_share,
        "nsp_majority": max(random_next_share, 1 - random_next_share),
        "same_document_randoms": sum(shard.num_same_document for shard in shards),
    }
    unit = unit_of(row_format.nsp)
    return {
        "rows": num_rows,
        f"{unit}s": num_pairs,
        "tokens": num_tokens,
        "row_fill": num_tokens / max(num_rows * row_format.length, 1),
        "tokens_cut": num_tokens_cut,
        "cut_share": num_tokens_cut / max(num_tokens_read, 1),
        **(labels if row_format.nsp else {}),
        f"{unit}_length_histogram": np.sum([s.histogram for s in shards], axis=0).tolist(),
        "shards": [
            {"file": name, "rows": s.num_rows, "bytes": s.num_bytes, "sha256": s.sha256}
            for name, s in zip(names, shards, strict=True)
        ],
    }


def unit_of(nsp: bool) -> str:
    """Return what rows hold, for names: pairs with NSP, sequences without."""
    return "pair" if nsp else "sequence"


def unigram_entropy(counts: np.ndarray) -> float:
    """Return the entropy in nats of a unigram model with these token counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def unigram_loss(held_out: np.ndarray, train: np.ndarray) -> float:
    """Return the cross-entropy in nats of held-out tokens under a unigram model.

    One is added to every training count (Laplace smoothing), so that the loss of a token never seen
    in training is finite.

    Args:
        held_out: count of each held-out token, [V].
        train: count of each training token, [V].
    """
    log_shares = np.log(train + 1) - np.log((train + 1).sum())
    return float(-(held_out @ log_shares) / held_out.sum())


def summarize_text(tally: Tally, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the report's statistics of the text: sizes, [UNK], duplicates, unigram loss."""
    counts = np.sum([tally.token_counts[split] for split in SPLITS], axis=0)
    train, held_out = tally.token_counts["train"], tally.token_counts["eval"]
    total = {
        name: sum(tally.totals[split][name] for split in SPLITS) for name in tally.totals["train"]
    }
    return {
        "text": {
            **total,
            "characters_per_token": total["characters"] / max(total["tokens"], 1),
            "unk_share": int(counts[tokenizer.unk_id]) / max(total["tokens"], 1),
            "long_words": tally.num_long_words,
            "longest_word": tally.longest_word,
            "duplicate_document_share": tally.duplicate_documents.duplicate_share(),
            "duplicate_line_share": tally.duplicate_lines.duplicate_share(),
            "duplicates_estimated": (
                tally.duplicate_documents.is_estimate or tally.duplicate_lines.is_estimate
            ),
            "tokens_never_seen": int((counts == 0).sum()),
        },
        "text_by_split": {split: dict(values) for split, values in tally.totals.items()},
        "unigram_entropy": unigram_entropy(train),
        "unigram_loss": unigram_loss(held_out if held_out.any() else train, train),
    }


def save_report(output: Path, report: dict[str, Any]) -> None:
    """Write report.json atomically: its presence means that the folder is finished."""
    write_text(output / REPORT, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables that fit into 80 columns."""
    console.print(_text_table(report))
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _text_facts(report).items():
        facts.add_row(escape(name), escape(value))
    console.print(facts, "")
    console.print(_rows_table(report))
    unit = unit_of(report["config"]["nsp"])
    for length, dataset in report["datasets"].items():
        histogram = dataset["splits"]["train"][f"{unit}_length_histogram"]
        console.print(f"{unit} lengths, T{length}: {_sparkline(histogram)}  (0 … {length} tokens)")
    for length, count in report["sentences_cut"].items():
        if count:
            console.print(f"sentences longer than a row of {length}, cut into pieces: {count:,}")
    for reason, entry in report["bad_input"].items():
        console.print(f"{entry['count']:,} x {reason}: {', '.join(entry['first'])}", soft_wrap=True)
    for warning in report["warnings"]:
        console.print(f"[bold yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    timing = report["timing"]
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timing["seconds"].items())
    console.print(f"{stages}; rows at {timing['rows_mb_per_s']:.1f} MB/s")


def _table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table of numbers, each row with a name; no cell is wrapped."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _text_table(report: dict[str, Any]) -> Table:
    table = _table("Text", ("all", *SPLITS))
    for name in ("documents", "lines", "sentences", "characters", "bytes", "tokens"):
        values = [report["text"], *(report["text_by_split"][split] for split in SPLITS)]
        table.add_row(name, *(f"{x[name]:,}" for x in values))
    return table


def _text_facts(report: dict[str, Any]) -> dict[str, str]:
    """Return the facts of the text and the vocabulary, by name."""
    text, asked = report["text"], report["config"]["vocab_size"]
    lines = {"lines": "one sentence per line", "split": "prose, split into sentences"}
    is_short = report["config"]["vocab"] is None and report["vocab_size"] < asked
    of_asked = f" of --vocab-size {asked:,}: all that the text has" if is_short else " tokens"
    estimated = ", estimated from a sample" if text["duplicates_estimated"] else ""
    return {
        "lines are": lines[report["sentences"]],
        "characters per token": f"{text['characters_per_token']:.2f}",
        "vocabulary": f"{report['vocab_size']:,}{of_asked}",
        "tokens never seen": f"{text['tokens_never_seen']:,}",
        "[UNK]": f"{text['unk_share']:.3%}",
        "duplicate documents": f"{text['duplicate_document_share']:.2%}{estimated}",
        "duplicate lines": f"{text['duplicate_line_share']:.2%}{estimated}",
        "unigram entropy": f"{report['unigram_entropy']:.3f} nats of the training text",
        "unigram loss": f"{report['unigram_loss']:.3f} nats: the held-out MLM loss to beat",
    }


def _rows_table(report: dict[str, Any]) -> Table:
    """Return the table of all data sets.

    "cut off" counts the tokens that a pass over the text loses where pairs are truncated to fit a
    row; "random" the pairs whose next sentence is a random one.
    """
    nsp = report["config"]["nsp"]
    unit = unit_of(nsp)
    label = ("random",) if nsp else ()
    table = _table("Rows", ("rows", f"{unit}s", "fill", "cut off", *label, "shards"))
    for length, dataset in report["datasets"].items():
        for split, values in dataset["splits"].items():
            shares = [values[name] for name in ("row_fill", "cut_share")]
            if nsp:
                shares.append(values["random_next_share"])
            table.add_row(
                f"T{length} {split}",
                f"{values['rows']:,}",
                f"{values[f'{unit}s']:,}",
                *(f"{share:.2%}" for share in shares),
                f"{len(values['shards']):,}",
            )
    return table


def _sparkline(counts: Sequence[int]) -> str:
    highest = max([*counts, 1])
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // highest)] for count in counts)
