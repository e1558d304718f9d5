"""Shards to a TFDS data set: final names, and the metadata that TFDS reads."""

import os
from pathlib import Path

import numpy as np

from bert_jax.data.build import Shard
from bert_jax.data.rows import RowFormat

NAME = "pretraining"
REPORT = "report.json"  # written last: that it is there says that the folder is finished


def shard_names(split: str, count: int) -> list[str]:
    """TFDS's names of a split's shards."""
    return [f"{NAME}-{split}.array_record-{i:05d}-of-{count:05d}" for i in range(count)]


def clear(folder: Path) -> None:
    """Removes what an earlier run left, and nothing else."""
    for pattern in (f"{NAME}-*.array_record-*", "*.tmp", "*.partial", "*.json"):
        for path in folder.glob(pattern):
            path.unlink()


def finish_dataset(folder: Path, row_format: RowFormat, shards: dict[str, list[Shard]]) -> None:
    """Gives shards their final names and writes dataset_info.json and features.json."""
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=NAME,
        filetype_suffix="array_record",
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    )
    infos = []
    for split, of_split in shards.items():
        for shard, name in zip(of_split, shard_names(split, len(of_split)), strict=True):
            os.replace(shard.path, folder / name)
        info = tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.rows for shard in of_split],
            num_bytes=sum(shard.num_bytes for shard in of_split),
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
        description="BERT pretraining rows: [CLS] A [SEP] B [SEP] … ; see lengths.",
    )
