"""Fine-tune MDSE on your own posts.

    python examples/01_fine_tune_mdse.py --data posts/ --text-encoder roberta-base \
        --image-encoder google/vit-base-patch16-224-in21k --output-dir out/mdse

`posts/` holds `train.parquet` and `validation.parquet` (or CSV, JSON Lines) with the columns text, image and label.
After `duosent demo` this runs as it is, without network:

    python examples/01_fine_tune_mdse.py --data out/demo/posts --text-encoder out/demo/encoders/text_encoder \
        --image-encoder out/demo/encoders/image_encoder --output-dir out/mdse --hidden-size 64 \
        --learning-rate 1e-3 --tower-learning-rate 1e-3
"""

import argparse

from transformers import set_seed

from duosent import (
    ImageTextCollator,
    ImageTextProcessor,
    ImageTextTrainer,
    ImageTextTrainingArguments,
    MdseForImageTextClassification,
    load_pairs,
)


def main(options: argparse.Namespace) -> None:
    set_seed(options.seed)

    # 1. Posts: rows of id, text, image, label. The labels and their order are those of the training part.
    splits = load_pairs(options.data, label_column=options.label)
    names = splits["train"].features["label"].names

    # 2. One processor for both sides, and two pretrained towers under a new fusion.
    processor = ImageTextProcessor.from_encoders(options.text_encoder, options.image_encoder)
    model = MdseForImageTextClassification.from_encoders(
        options.text_encoder,
        options.image_encoder,
        hidden_size=options.hidden_size,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )

    # 3. The Trainer of transformers, with a learning rate a tower; the best model on the validation part stays.
    args = ImageTextTrainingArguments(
        options.output_dir,
        learning_rate=options.learning_rate,
        text_learning_rate=options.tower_learning_rate,
        image_learning_rate=options.tower_learning_rate,
        num_train_epochs=options.epochs,
        seed=options.seed,
    )
    trainer = ImageTextTrainer(model, args, ImageTextCollator(processor), splits["train"], splits["validation"])
    trainer.train()

    # 4. A folder that from_pretrained reads: weights, config and processor.
    trainer.save_model()
    metrics = trainer.evaluate()
    print(f"validation accuracy {metrics['eval_accuracy']:.3f}, macro F1 {metrics['eval_macro_f1']:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--label", default="label", help="the column that holds the label")
    parser.add_argument("--text-encoder", required=True)
    parser.add_argument("--image-encoder", required=True)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--hidden-size", type=int, default=768)
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of everything outside the towers")
    parser.add_argument("--tower-learning-rate", type=float, default=2e-5)
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
