"""Heads: where a Neural Turing Machine read and wrote, step by step, and what it answered."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bert_jax.errors import DataError
from bert_jax.explorer.view import Json, View
from bert_jax.lineage.ntm_inspection import MemoryStep, load_machine

LARGEST_SEED = 2**31


def heads_view(run: Path) -> View:
    """Return the view of a run of copytask.py."""
    machine = load_machine(run)
    task = machine.task
    repeats = min(2, task.max_repeats)
    largest = machine.largest_size(1)

    def answer(request: Json) -> Json:
        size, repeats, seed = (read_number(request, name) for name in ("size", "repeats", "seed"))
        trace = machine.trace(size, repeats, seed)
        steps = list(map(describe, trace.steps))
        num_bits = sum(len(step["expected"]) for step in steps if step["expected"])
        return {
            "picture": trace.picture.as_json(),
            "steps": steps,
            "num_wrong": trace.num_wrong,
            "num_bits": num_bits,
        }

    def to_save(texts: Sequence[str]) -> list[Json]:
        return [
            {"size": size, "repeats": repeats, "seed": 0} for size in dict.fromkeys(about["sizes"])
        ]

    def prepare() -> Iterator[None]:
        for size in dict.fromkeys(about["sizes"]):
            machine.trace(size, repeats)
            yield

    longer = (task.max_size, 3 * task.max_size // 2, 2 * task.max_size)
    about = {
        "task": task.name,
        "sizes": [min(size, machine.largest_size(repeats)) for size in longer],
        "min_size": task.min_size if task.name == "associative_recall" else 1,
        "trained_size": task.max_size,
        "largest": largest,
        "repeats": repeats,
        "max_repeats": 2 * task.max_repeats if task.name == "repeat_copy" else 1,
        "has_memory": machine.has_memory,
    }
    return View("heads", "Heads", about, answer, to_save, prepare)


def read_number(request: Json, name: str) -> int:
    """Return a whole number of a request.

    Raises:
        DataError: it is none.
    """
    value = request.get(name)
    if type(value) is not int or not 0 <= value < LARGEST_SEED:
        raise DataError(f"{name} = {str(value)[:40]}", "a whole number", "choose another one")
    return value


def describe(step: MemoryStep) -> Json:
    """Return a step as the page shows it."""
    answer = None if step.answer is None else [round(p, 3) for p in step.answer]
    return {
        "name": step.name,
        "expected": step.expected,
        "answer": answer,
        "num_wrong": step.num_wrong,
    }
