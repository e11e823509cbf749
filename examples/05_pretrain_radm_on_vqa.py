"""Pre-train RADM on questions about pictures, then fine-tune it on your own posts.

    python examples/05_pretrain_radm_on_vqa.py --vqa vqa/ --data posts/ --text-encoder bert-base-uncased \
        --image-encoder google/vit-base-patch16-224-in21k --output-dir out/

`vqa/` is what `duosent prepare` makes of VQA v2: `train.parquet` and `validation.parquet` with the columns id, text,
image, answers, answer_ids, answer_scores, question_type and answer_type, and the answers to choose from,
`answers.json`.
"""

import argparse

from duosent import ImageTextTrainingArguments
from duosent.training.run import train


def main(options: argparse.Namespace) -> None:
    # 1. Questions to answers: binary cross-entropy against what share of the annotators said it.
    answered = train(
        "radm",
        options.vqa,
        ImageTextTrainingArguments(
            f"{options.output_dir}/vqa", num_train_epochs=options.vqa_epochs, seed=options.seed
        ),
        task="vqa",
        text_encoder=options.text_encoder,
        image_encoder=options.image_encoder,
        config={
            "hidden_size": options.hidden_size,
            "num_attention_heads": max(1, options.hidden_size // 64),
            "intermediate_size": 4 * options.hidden_size,
        },
    )
    for kind, figures in answered["per_answer_type"].items():
        print(f"{kind:>10}  VQA accuracy {figures['accuracy']:.3f} over {figures['n']} questions")
    print(f"   overall  {answered['accuracy']:.3f} (floor {answered['majority_accuracy']:.3f}, ", end="")
    print(f"ceiling {answered['ceiling']:.3f})")

    # 2. Posts to labels: towers, fusion, config and processor of step 1, and a new head.
    metrics = train(
        "radm",
        options.data,
        ImageTextTrainingArguments(f"{options.output_dir}/radm", num_train_epochs=options.epochs, seed=options.seed),
        init_from=f"{options.output_dir}/vqa",
        columns={"label_column": options.label},
    )
    print(f"accuracy {metrics['accuracy']:.3f}, macro F1 {metrics['macro_f1']:.3f} on the posts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vqa", required=True, help="the prepared questions")
    parser.add_argument("--data", required=True, help="the posts")
    parser.add_argument("--label", default="label", help="the column that holds the posts' label")
    parser.add_argument("--text-encoder", required=True)
    parser.add_argument("--image-encoder", required=True)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--hidden-size", type=int, default=768)
    parser.add_argument("--vqa-epochs", type=float, default=10)
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
