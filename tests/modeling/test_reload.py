"""A saved model answers the same in another process, bit for bit."""

import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file
from tiny import build, make_batch

from duosent import MdseForImageTextClassification, RadmForImageTextClassification

ASK = """
import sys
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
import duosent

torch.set_num_threads(int(sys.argv[2]))
folder = sys.argv[1]
batch = load_file(f"{folder}/batch.safetensors")
answers = {}
for name in ("mdse", "radm"):
    model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/{name}").eval()
    assert type(model).__module__.startswith("duosent.modeling."), type(model)
    with torch.no_grad():
        answers[name] = model(**batch).logits
save_file(answers, f"{folder}/answers.safetensors")
"""


def test_another_process_gives_the_same_logits(tmp_path):
    batch = make_batch()
    batch["text_present"][0] = batch["image_present"][3] = False
    save_file(batch, tmp_path / "batch.safetensors")
    expected = {}
    for name, model_class in {"mdse": MdseForImageTextClassification, "radm": RadmForImageTextClassification}.items():
        model = build(model_class)
        model.save_pretrained(tmp_path / name)
        with torch.no_grad():
            expected[name] = model(**batch).logits
    command = [sys.executable, "-c", ASK, str(tmp_path), str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = load_file(tmp_path / "answers.safetensors")
    assert all(torch.equal(answers[name], logits) for name, logits in expected.items())
