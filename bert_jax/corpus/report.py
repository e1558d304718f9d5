"""The data report: statistics of the text and of the rows made from it, and warnings."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bert_jax.config import PrepareConfig
from bert_jax.corpus.build import Shard
from bert_jax.corpus.cleaning import Findings
from bert_jax.corpus.datasets import REPORT, shard_names
from bert_jax.corpus.heldout import SPLITS
from bert_jax.corpus.rows import RowFormat
from bert_jax.corpus.sample import Sample
from bert_jax.corpus.tally import Tally
from bert_jax.tokenizer.tokenizer import Tokenizer

FORMAT = 1  # version of report.json
MAX_CUT_SHARE = 0.2  # of tokens; prose whose lines are not split into sentences loses more
# options that rows do not depend on
NOT_HASHED = ("inputs", "output", "workers", "beam", "tfds_data_dir")


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
                split: summarize_shards(shards, split, row_format.length)
                for split, shards in sorted(tally.shards[row_format.length].items(), reverse=True)
            },
        }
        for row_format in formats
    }
    settings = dataclasses.asdict(config)
    report = {
        "format": FORMAT,
        "config": {name: value for name, value in settings.items() if name not in NOT_HASHED},
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
    hashed = [report["config"], tokenizer.sha256, datasets]
    report["fingerprint"] = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()
    report["warnings"] = collect_warnings(report, tokenizer, sample)
    return report


def summarize_shards(shards: Sequence[Shard], split: str, length: int) -> dict[str, Any]:
    """Return the report's entry for one split of one length."""
    names = shard_names(split, len(shards))
    num_rows = sum(shard.num_rows for shard in shards)
    num_pairs = sum(shard.num_pairs for shard in shards)
    num_tokens = sum(shard.num_tokens for shard in shards)
    num_tokens_cut = sum(shard.num_tokens_cut for shard in shards)
    num_tokens_read = sum(shard.num_tokens_read for shard in shards)
    random_next_share = sum(shard.num_random_next for shard in shards) / max(num_pairs, 1)
    return {
        "rows": num_rows,
        "pairs": num_pairs,
        "tokens": num_tokens,
        "row_fill": num_tokens / max(num_rows * length, 1),
        "tokens_cut": num_tokens_cut,
        "cut_share": num_tokens_cut / max(num_tokens_read, 1),
        "random_next_share": random_next_share,
        "nsp_majority": max(random_next_share, 1 - random_next_share),
        "same_document_randoms": sum(shard.num_same_document for shard in shards),
        "pair_length_histogram": np.sum([s.histogram for s in shards], axis=0).tolist(),
        "shards": [
            {"file": name, "rows": s.num_rows, "bytes": s.num_bytes, "sha256": s.sha256}
            for name, s in zip(names, shards, strict=True)
        ],
    }


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


def collect_warnings(report: dict[str, Any], tokenizer: Tokenizer, sample: Sample) -> list[str]:
    """Return a warning for each likely mistake in the corpus, the vocabulary or the options."""
    text, casing, warnings = report["text"], tokenizer.casing, []
    if casing.strips_accents and sample.hangul_share > 0.01:
        warnings.append(
            f"{sample.hangul_share:.0%} of the letters are Hangul, which stripping accents takes "
            "apart into jamo: use a cased vocabulary, or --strip-accents False"
        )
    uppercase_tokens = sum(token != token.lower() for token in tokenizer.vocab[5:])
    if not casing.lowercase and sample.upper_share > 0.01 and uppercase_tokens < 100:
        warnings.append(
            f"{sample.upper_share:.0%} of the letters are capitals, but the vocabulary has none: "
            "pass --lowercase"
        )
    if casing.lowercase and uppercase_tokens > 0.05 * tokenizer.vocab_size:
        warnings.append(
            f"{uppercase_tokens:,} tokens have capitals and can never occur in lower-cased text: "
            "is this a cased vocabulary?"
        )
    if text["unk_share"] > 0.005:
        warnings.append(
            f"{text['unk_share']:.1%} of the tokens are [UNK]: does the vocabulary fit this text?"
        )
    if text["duplicate_line_share"] > 0.1:
        warnings.append(
            f"{text['duplicate_line_share']:.0%} of the lines have occurred before; repeated text "
            "is memorized"
        )
    if text["duplicate_document_share"] > 0.05:
        warnings.append(f"{text['duplicate_document_share']:.0%} of the documents are copies")
    for length, dataset in report["datasets"].items():
        for split, values in dataset["splits"].items():
            if values["same_document_randoms"]:
                warnings.append(
                    f"T{length} {split}: {values['same_document_randoms']} random next sentences "
                    "come from the same document; this is a defect of prepare.py"
                )
            if report["config"]["pack"] and values["row_fill"] < 0.9 and values["rows"] > 100:
                warnings.append(
                    f"T{length} {split}: rows are only {values['row_fill']:.0%} full; raise "
                    "--max-sequences"
                )
            if values["cut_share"] > MAX_CUT_SHARE:
                warnings.append(
                    f"T{length} {split}: {values['cut_share']:.0%} of the tokens are cut off "
                    "sentences that are too long for a row: pass --sentences split for prose, or "
                    "larger --lengths"
                )
    return warnings


def save_report(output: Path, report: dict[str, Any]) -> None:
    """Write report.json atomically: its presence means that the folder is finished."""
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    partial = output / f"{REPORT}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(output / REPORT)


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables."""
    text = report["text"]
    table = Table(title="Text", show_header=False, title_justify="left")
    for name in ("documents", "lines", "sentences", "characters", "bytes", "tokens"):
        by_split = ", ".join(f"{s} {report['text_by_split'][s][name]:,}" for s in SPLITS)
        table.add_row(name, f"{text[name]:,}", by_split)
    mode = {"lines": "one sentence per line", "split": "prose, split into sentences"}
    table.add_row("lines are", mode[report["sentences"]], "")
    table.add_row("characters per token", f"{text['characters_per_token']:.2f}", "")
    table.add_row(
        "vocabulary", f"{report['vocab_size']:,}", f"{text['tokens_never_seen']:,} never seen"
    )
    table.add_row("[UNK]", f"{text['unk_share']:.3%}", "")
    estimated = "estimated from a sample" if text["duplicates_estimated"] else ""
    table.add_row("duplicate documents", f"{text['duplicate_document_share']:.2%}", estimated)
    table.add_row("duplicate lines", f"{text['duplicate_line_share']:.2%}", estimated)
    table.add_row("unigram entropy", f"{report['unigram_entropy']:.3f} nats", "of training text")
    table.add_row("unigram loss", f"{report['unigram_loss']:.3f} nats", "held-out loss to beat")
    console.print(table)

    table = Table(title="Rows", title_justify="left")
    table.add_column("data set", no_wrap=True)
    for column in ("rows", "pairs", "fill", "cut off", "random next", "same document", "shards"):
        table.add_column(column, justify="right")
    for length, dataset in report["datasets"].items():
        for split, values in dataset["splits"].items():
            table.add_row(
                f"T{length} {split}",
                f"{values['rows']:,}",
                f"{values['pairs']:,}",
                f"{values['row_fill']:.2%}",
                f"{values['cut_share']:.2%}",
                f"{values['random_next_share']:.2%}",
                str(values["same_document_randoms"]),
                str(len(values["shards"])),
            )
    console.print(table)
    for length, dataset in report["datasets"].items():
        histogram = dataset["splits"]["train"]["pair_length_histogram"]
        console.print(f"pair lengths, T{length}: {_sparkline(histogram)}  (0 … {length} tokens)")
    for reason, entry in report["bad_input"].items():
        console.print(f"{entry['count']:,} x {reason}: {', '.join(entry['first'])}", soft_wrap=True)
    for warning in report["warnings"]:
        console.print(f"[bold yellow]warning:[/] {warning}", soft_wrap=True)
    timing = report["timing"]
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timing["seconds"].items())
    console.print(f"{stages}; rows at {timing['rows_mb_per_s']:.1f} MB/s")


def _sparkline(counts: Sequence[int]) -> str:
    highest = max([*counts, 1])
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // highest)] for count in counts)
