"""Fine-tune RADM on your own posts, from two pretrained encoders.

    python examples/02_fine_tune_radm.py --data posts/ --text-encoder bert-base-uncased \
        --image-encoder google/vit-base-patch16-224-in21k --output-dir out/radm

This is the path of `duosent train --model radm`, called from Python: it leaves the checkpoint, `metrics.json` and
`run.json`. After `duosent demo` it runs without network:

    python examples/02_fine_tune_radm.py --data out/demo/posts --text-encoder out/demo/encoders/text_encoder \
        --image-encoder out/demo/encoders/image_encoder --output-dir out/radm --hidden-size 64 \
        --learning-rate 1e-3 --tower-learning-rate 1e-3
"""

import argparse

from duosent import ImageTextTrainingArguments
from duosent.training.run import train


def main(options: argparse.Namespace) -> None:
    # 1. How to train: the Trainer's arguments, with a learning rate for each tower.
    args = ImageTextTrainingArguments(
        options.output_dir,
        learning_rate=options.learning_rate,
        text_learning_rate=options.tower_learning_rate,
        image_learning_rate=options.tower_learning_rate,
        num_train_epochs=options.epochs,
        seed=options.seed,
    )

    # 2. What to train: every field of RadmConfig may stand in `config`; 64 wide heads, as in BERT.
    metrics = train(
        "radm",
        options.data,
        args,
        text_encoder=options.text_encoder,
        image_encoder=options.image_encoder,
        columns={"label_column": options.label},
        config={
            "hidden_size": options.hidden_size,
            "num_attention_heads": max(1, options.hidden_size // 64),
            "intermediate_size": 4 * options.hidden_size,
            "residual_attention": options.residual_attention,
        },
    )

    # 3. The figures on the validation part, as in metrics.json.
    for name, figures in metrics["per_class"].items():
        print(f"{name:>16}  F1 {figures['f1']:.3f} over {figures['support']} posts")
    print(f"accuracy {metrics['accuracy']:.3f} (always the commonest label: {metrics['majority_accuracy']:.3f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--label", default="label", help="the column that holds the label")
    parser.add_argument("--text-encoder", required=True)
    parser.add_argument("--image-encoder", required=True)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--hidden-size", type=int, default=768)
    parser.add_argument("--residual-attention", default="gated", choices=["gated", "add", "none"])
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of everything outside the towers")
    parser.add_argument("--tower-learning-rate", type=float, default=2e-5)
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
