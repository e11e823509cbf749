"""Use a checkpoint through the Auto classes of transformers.

    python examples/04_plain_transformers.py CHECKPOINT --text "What a day" --image photo.jpg

Of duosent nothing but the import is needed. After `duosent demo` the checkpoint is `out/demo/runs/mdse`.
"""

import argparse

import torch
from PIL import Image
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor

import duosent  # noqa: F401  (makes the models known to the Auto classes)


def main(options: argparse.Namespace) -> None:
    # 1. The processor takes a picture as PIL gives it.
    processor = AutoProcessor.from_pretrained(options.checkpoint)
    inputs = processor(text=options.text, images=Image.open(options.image), return_tensors="pt")

    # 2. A classifier like any other.
    model = AutoModelForSequenceClassification.from_pretrained(options.checkpoint).eval()
    with torch.inference_mode():
        logits = model(**inputs).logits  # (1, L)
    print(model.config.id2label[int(logits.argmax())])

    # 3. The features under it, for a search or a classifier of your own.
    if model.config.model_type in ("mdse", "radm"):
        features = AutoModel.from_pretrained(options.checkpoint).eval()
        with torch.inference_mode():
            output = features(**inputs, output_hidden_states=True)
        print("fused feature:", tuple(output.fused_embeds.shape))
        print("hidden states:", [tuple(state.shape) for state in output.hidden_states])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--text", required=True)
    parser.add_argument("--image", required=True)
    main(parser.parse_args())
