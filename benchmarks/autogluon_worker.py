"""AutoGluon Multimodal's fusion of a text and an image tower, driven line by line from another process.

Runs in an environment of its own, which has AutoGluon and need not have duosent: see `benchmarks/parts/autogluon.py`.
Reads a line of JSON with the sizes, then one word a line; answers each with a line of its own once it is done.

    learn    forward and backward of the batch
    update   a step of AdamW as AutoGluon makes it
    answer   a forward in evaluation
"""

import json
import sys

import torch
from autogluon.multimodal.models.fusion.fusion_mlp import MultimodalFusionMLP
from autogluon.multimodal.models.hf_text import HFAutoModelForTextPrediction
from autogluon.multimodal.models.timm_image import TimmAutoModelForImagePrediction


class Worker:
    """A model with random weights and one batch of random posts, all of one length."""

    def __init__(self, text_folder: str, image_model: str, rows: int, tokens: int, vocabulary: int, labels: int):
        text = HFAutoModelForTextPrediction("hf_text", text_folder, num_classes=labels, pretrained=False)
        image = TimmAutoModelForImagePrediction("timm_image", image_model, num_classes=labels, pretrained=False)
        # As configs/model/default.yaml of AutoGluon 1.6 has it.
        self.model = MultimodalFusionMLP(
            "fusion_mlp",
            models=[text, image],
            hidden_features=[128],
            num_classes=labels,
            adapt_in_features="max",
            activation="leaky_relu",
            dropout=0.1,
            normalization="layer_norm",
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        posts = {
            text.text_token_ids_key: torch.randint(5, vocabulary, (rows, tokens)),
            text.text_segment_ids_key: torch.zeros(rows, tokens, dtype=torch.long),
            text.text_valid_length_key: torch.full((rows,), tokens),
            image.image_key: torch.randn(rows, 1, 3, 224, 224),
            image.image_valid_num_key: torch.ones(rows, dtype=torch.long),
        }
        self.posts = [posts[key] for key in self.model.input_keys]
        self.labels = torch.arange(rows) % labels

    def logits(self) -> torch.Tensor:
        outputs = self.model(*self.posts)
        return self.model.get_output_dict(*outputs)["fusion_mlp"]["logits"]

    def learn(self) -> None:
        self.model.train()
        torch.nn.functional.cross_entropy(self.logits(), self.labels).backward()

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.inference_mode()
    def answer(self) -> None:
        self.model.eval()
        self.logits()


def main() -> None:
    # What a library prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    sizes = json.loads(sys.stdin.readline())
    torch.set_num_threads(sizes.pop("threads"))
    torch.manual_seed(sizes.pop("seed"))
    worker = Worker(**sizes)
    steps = {"learn": worker.learn, "update": worker.update, "answer": worker.answer}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        steps[line.strip()]()
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
