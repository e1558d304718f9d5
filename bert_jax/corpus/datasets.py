"""Turn shards into a TFDS data set: final names, and the metadata that TFDS reads."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bert_jax.corpus.build import Shard
from bert_jax.corpus.rows import RowFormat

DATASET_NAME = "pretraining"
REPORT = "report.json"  # written last: its presence means that the folder is finished
# glob patterns of a data set's files; the first two are shards that have no final name yet
FILES = (
    "*-*-*.partial",
    "*-*-*.tmp",
    f"{DATASET_NAME}-*.array_record-*",
    "dataset_info.json",
    "features.json",
)


def shard_names(split: str, count: int) -> list[str]:
    """Return TFDS's names of a split's shards."""
    return [f"{DATASET_NAME}-{split}.array_record-{i:05d}-of-{count:05d}" for i in range(count)]


def start_dataset(folder: Path) -> None:
    """Create a data set's folder, or remove an earlier run's files from it, and nothing else."""
    folder.mkdir(exist_ok=True)
    _remove_files(folder)


@contextlib.contextmanager
def remove_if_unfinished(output: Path, lengths: Iterable[int]) -> Iterator[None]:
    """Remove unfinished data sets if the `with` statement ends in an error.

    The tokenizer stays: it is complete, and `--vocab` can take it. So does all of an earlier run,
    whose report is there until the first file is written.
    """
    try:
        yield
    except BaseException:
        if (output / REPORT).exists():
            raise
        shutil.rmtree(output / "beam", ignore_errors=True)
        for folder in (output / f"T{length}" for length in lengths):
            with contextlib.suppress(OSError):  # the error that is being raised says more
                _remove_files(folder)
                folder.rmdir()
        raise


def _remove_files(folder: Path) -> None:
    """Remove the files that prepare.py writes to a data set's folder."""
    for pattern in FILES:
        for path in folder.glob(pattern):
            path.unlink()


def finish_dataset(folder: Path, row_format: RowFormat, shards: dict[str, list[Shard]]) -> None:
    """Give shards their final names, and write dataset_info.json and features.json."""
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=DATASET_NAME,
        filetype_suffix="array_record",
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    )
    infos = []
    for split, split_shards in shards.items():
        for shard, name in zip(split_shards, shard_names(split, len(split_shards)), strict=True):
            os.replace(shard.path, folder / name)
        info = tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.num_rows for shard in split_shards],
            num_bytes=sum(shard.num_bytes for shard in split_shards),
            filename_template=template.replace(split=split),
        )
        infos.append(info)
    features = {
        name: tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype.name), encoding="bytes")
        for name, (shape, dtype) in row_format.features.items()
    }
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        filename_template=template,
        check_data=False,
        description=f"BERT pretraining rows: {row_format.description}; see lengths.",
    )
