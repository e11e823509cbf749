"""Train with the Trainer of transformers and push what came out: weights, processor, code and card.

    python examples/07_train_and_push.py --data posts/ --text-encoder roberta-base \
        --image-encoder google/vit-base-patch16-224-in21k --repo owner/moods --license cc-by-4.0 --language en

The token is that of `hf auth login`, or HF_TOKEN. For a run of `duosent train`, `duosent publish` does the same.
"""

import argparse

from duosent import (
    ImageTextCollator,
    ImageTextProcessor,
    ImageTextTrainer,
    ImageTextTrainingArguments,
    MdseForImageTextClassification,
    load_pairs,
)


def main(options: argparse.Namespace) -> None:
    # 1. Posts, processor and model, as in the first example.
    splits = load_pairs(options.data)
    names = splits["train"].features["label"].names
    encoders = options.text_encoder, options.image_encoder
    processor = ImageTextProcessor.from_encoders(*encoders)
    model = MdseForImageTextClassification.from_encoders(
        *encoders,
        hidden_size=options.hidden_size,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )

    # 2. The repository's name. Nothing is pushed on the way.
    args = ImageTextTrainingArguments(options.output_dir, num_train_epochs=options.epochs, hub_model_id=options.repo)
    trainer = ImageTextTrainer(model, args, ImageTextCollator(processor), splits["train"], splits["validation"])
    trainer.train()

    # 3. One commit, with a card that holds the figures of the best model and what only you know.
    trainer.push_to_hub(license=options.license, language=options.language)
    print(f'AutoModelForSequenceClassification.from_pretrained("{options.repo}", trust_remote_code=True)')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--text-encoder", required=True)
    parser.add_argument("--image-encoder", required=True)
    parser.add_argument("--repo", required=True, help="owner/name on the Hub")
    parser.add_argument("--license", help="of the weights")
    parser.add_argument("--language", help="of the posts")
    parser.add_argument("--output-dir", default="out/pushed")
    parser.add_argument("--hidden-size", type=int, default=768)
    parser.add_argument("--epochs", type=float, default=5)
    main(parser.parse_args())
