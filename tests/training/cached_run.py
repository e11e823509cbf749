"""A training run over frozen towers with a cache, for a process of its own or two, and what it computed."""

import json
import os
import sys
from pathlib import Path

import torch
from tiny import build, make_batch, take
from torch.utils.data import default_collate

from duosent import ImageTextTrainer, ImageTextTrainingArguments, MdseForImageTextClassification


def computed_in(cache: str, folder: str, **options) -> int:
    """Rows that the image tower is run on while six posts are learnt for three epochs, in chunks of one."""
    model = build(MdseForImageTextClassification, freeze_text=True, freeze_image=True)
    seen = []
    model.base_model.vision_model.register_forward_pre_hook(
        lambda tower, args, inputs: seen.extend(inputs["pixel_values"]), with_kwargs=True
    )
    args = ImageTextTrainingArguments(
        folder,
        per_device_train_batch_size=2,
        contrastive_chunk_size=1,
        num_train_epochs=3,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=True,
        use_cpu=True,
        cache_features=cache,
        **options,
    )
    posts = make_batch(rows=6)
    ImageTextTrainer(model, args, default_collate, [take(posts, row) for row in range(6)]).train()
    return len(seen)


if __name__ == "__main__":
    computed = computed_in(*sys.argv[1:], ddp_backend="gloo")
    Path(sys.argv[2], f"{os.environ['RANK']}.json").write_text(json.dumps(computed))
    torch.distributed.destroy_process_group()
