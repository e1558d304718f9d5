"""The files that the commands of the documentation name, and what makes their runs small."""

import contextlib
import io
import json
import lzma
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from bert_jax.config import BertConfig, SearchConfig
from tests.small_texts import make_text

ROOT = Path(__file__).parent.parent
STEPS = 10
THAI = "ภาษาไทยเขียนติดกันโดยไม่มีช่องว่างระหว่างคำ"
FRENCH = "L'été dernier, nous sommes allés à la mer. Il faisait très chaud, et l'eau était claire."


def write_world(folder: Path) -> None:
    """Write small files under the names that the commands of the site use."""

    def write(name: str, content: str | bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    (folder / "examples").symlink_to(ROOT / "examples")
    train, dev = (
        (ROOT / f"examples/reviews_{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        for split in ("train", "dev")
    )
    korean = [line.split("\t")[0] for line in train if "가" <= line[0] <= "힣"]
    english = [line for line in train if line[0].isascii()]
    texts = [line.split("\t")[0] for line in english]
    documents = "\n\n".join("\n".join(korean[i : i + 8]) for i in range(0, len(korean), 8))

    write("texts/a.txt", make_text(60, seed=0))
    write("texts/b.txt.xz", lzma.compress(make_text(150, seed=1).encode()))
    write("korean/reviews.txt", documents)
    write("old.txt", documents.encode("cp949"))
    write("reviews_ko.txt", "\n".join(korean))
    write("thai/a.txt", "\n\n".join(f"{THAI} {n}\n{THAI} {THAI}" for n in range(60)))
    write("french/a.txt", "\n\n".join(f"{FRENCH}\n{FRENCH} {n}" for n in range(60)))
    write("notes/a.txt", make_text(60, seed=2))
    write("words.txt", "quarterhorse\nflumoxid\n")
    write("tweets.txt", "\n".join(texts))
    write("reviews.csv", "id,review\n" + "".join(f'{n},"{x}"\n' for n, x in enumerate(texts)))
    write("posts.jsonl", "".join(json.dumps({"meta": {"text": x}}) + "\n" for x in texts))

    write("train.tsv", "text\tlabel\n" + "\n".join(english[:48]))
    write("dev.tsv", "text\tlabel\n" + "\n".join(x for x in dev if x[0].isascii()))
    write("test.tsv", "text\tlabel\n" + "\n".join(english[48:64]))
    write("new_texts.txt", "\n".join(texts[:8]))
    write("tweets.csv", "id,tweet\n" + "".join(f'{n},"{x}"\n' for n, x in enumerate(texts[:8])))
    topics = [
        {"text": x, "labels": [["food"], ["room", "staff"]][n % 2]} for n, x in enumerate(texts)
    ]
    for name in ("train.jsonl", "dev.jsonl"):
        write(name, "".join(json.dumps(x) + "\n" for x in topics[:40]))
    rows = [f"{x}\t{n % 2}\t{n % 3 == 0:d}\t{n % 5 == 0:d}" for n, x in enumerate(texts[:40])]
    write("toxic.tsv", "\n".join(["text\ttoxic\tinsult\tthreat", *rows]))

    pairs = [f"october {n}, 19{n + 50} _19{n + 50}-10-{n:02}" for n in range(1, 29)]
    write("train.txt", "\n".join(pairs * 4))
    write("dev.txt", "\n".join(pairs))
    write("new.txt", "october 3, 1953\n")


def shrink(config: Any) -> Any:
    """Return a script's configuration with fewer steps, and a small model where it is a new one."""
    match type(config).__name__:
        case "PrepareConfig":
            return replace(config, workers=1, eval_share=0.3)
        case "PretrainConfig":
            return shrink_pretraining(config)
        case "FinetuneConfig":
            grid = SearchConfig((1e-3,), (0.0,), (0.0,), (1.0,))
            return replace(config, epochs=1.0, batch_size=16, grid=grid, max_length=32)
        case "TrainTranslatorConfig":
            loop = replace(config.loop, steps=2, log_every=1, eval_every=2, checkpoint_every=2)
            return replace(config, loop=loop)
        case "ConvertConfig" if config.vocab_size:
            vocabulary = Path(config.source, "model/vocab.txt").read_text(encoding="utf-8")
            return replace(config, vocab_size=len(vocabulary.splitlines()) - 5)
    return config


def shrink_pretraining(config: Any) -> Any:
    """Return a run of STEPS steps whose intervals are in proportion, on a model of one layer."""
    scale = max(1, config.loop.steps // STEPS)

    def scaled(steps: int | None) -> int | None:
        return steps and max(1, steps // scale)

    kept = scaled(config.loop.keep_every)
    loop = replace(
        config.loop, steps=STEPS, log_every=5, eval_every=5, checkpoint_every=kept or 5,
        keep_every=kept,
    )  # fmt: skip
    model = BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=config.model.max_position_embeddings,
    )  # fmt: skip
    is_shipped = (config.encoder or "").startswith("examples/")
    return replace(
        config,
        model=config.model if is_shipped else model,
        optimizer=replace(config.optimizer, warmup_steps=2),
        phases=tuple(replace(phase, batch_size=8) for phase in config.phases),
        loop=loop,
        decay_from=scaled(config.decay_from),
        epochs=None,
        budget=None,
        eval_rows=16,
    )  # fmt: skip


@contextlib.contextmanager
def typed(line: str) -> Iterator[str]:
    """Context in which the process has the command line and the input of a typed line.

    Yields:
        The script's name.
    """
    words = shlex.split(line, comments=True)
    piped = words[: words.index("|")] if "|" in words else []
    _, script, *arguments = words[len(piped) + bool(piped) :]
    before = sys.argv, sys.stdin
    sys.argv = [script, *arguments]
    if piped:
        assert piped[0] == "echo"
        sys.stdin = io.StringIO(" ".join(piped[1:]) + "\n")
    try:
        yield script.removesuffix(".py")
    finally:
        sys.argv, sys.stdin = before


def run_small(line: str, monkeypatch: Any) -> int:
    """Run a command in this process, shrunk; return its exit code."""
    with typed(line) as name, monkeypatch.context() as patch:
        script = import_module(name)
        main = script.main
        patch.setattr(script, "main", lambda config: main(shrink(config)))
        return script.command_line()
