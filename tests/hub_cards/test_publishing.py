"""Checkpoints to a Hub on this machine, and back in a Python without this package."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import call, wrong_call
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from duosent.hub_cards.publishable import publishable
from duosent.hub_cards.publishing import publish
from duosent.hub_cards.run_files import CardError
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import load_checkpoint
from duosent.training.run import train

ASK = """
import json, sys
import torch, transformers
from safetensors.torch import save_file

folder, repo = sys.argv[1:]
model = transformers.AutoModelForSequenceClassification.from_pretrained(repo, trust_remote_code=True).eval()
processor = transformers.AutoProcessor.from_pretrained(repo, trust_remote_code=True)
with torch.no_grad():
    save_file({"logits": model(**processor(text="good sun", images=f"{folder}/sun.png")).logits}, f"{folder}/answer")
classify = transformers.pipeline("image-text-classification", model=repo, trust_remote_code=True)
print(json.dumps(classify({"text": "good sun", "image": f"{folder}/sun.png"}, top_k=None)))
"""
FILES = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
FILES |= {"README.md", "handler.py", "metrics.json", "configuration_mdse.py", "modeling_mdse.py"}
FILES |= {"processing_image_text.py", "image_text_pipeline.py"}


@pytest.fixture(scope="module")
def run(posts, text_encoder_dir, image_encoder_dir, tmp_path_factory) -> Path:
    """A finished run, with things in its folder that are nobody else's business."""
    folder = tmp_path_factory.mktemp("published")
    options = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "use_cpu": True, "disable_tqdm": True}
    train(
        "mdse",
        posts,
        ImageTextTrainingArguments(str(folder / "run"), **options),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        config={"hidden_size": 16, "num_attention_heads": 2},
        columns={"label_column": "mood"},
        command=f"duosent train --data {posts}",
    )
    metrics = folder / "run" / "metrics.json"
    against = {"against": {"file": str(folder / "old" / "metrics.json")}}
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | against))
    (folder / "run" / "posts.csv").write_text("text\nmine\n")
    (folder / "run" / "notes").mkdir()
    (folder / "run" / "notes" / "config.json").write_text("{}")
    (folder / "run" / "training_args.bin").write_bytes(pickle.dumps("anything"))
    return folder / "run"


@pytest.fixture
def copied(run, tmp_path) -> Path:
    shutil.copytree(run, tmp_path / "copied")
    return tmp_path / "copied"


def test_the_way_to_the_hub_and_back(run, posts, start_hub, python_without_package, tmp_path):
    hub = start_hub(tmp_path / "hub")
    words = [sys.executable, "-m", "duosent", "publish", str(run), "anna/moods", "--json"]
    done = subprocess.run(words, env=hub, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    there = tmp_path / "hub" / "models" / "anna" / "moods"
    files = {file.name for file in there.iterdir()}
    assert files >= FILES and {name for name in files if not name.endswith(".py")} <= FILES
    commits = [json.loads(line) for line in (tmp_path / "hub" / "commits.jsonl").read_text().splitlines()]
    assert len(commits) == 1 and set(commits[0]["files"]) == set(result["files"]) == files
    for file in there.iterdir():
        assert not [path for path in (run.parent, Path(posts).parent) if str(path).encode() in file.read_bytes()], file
    card = ModelCard.load(there / "README.md")
    assert card.data.to_dict()["model-index"][0]["name"] == "moods"
    assert "anna/moods" in card.text

    Image.new("RGB", (32, 32), "orange").save(tmp_path / "sun.png")
    words = [python_without_package, "-c", ASK, tmp_path, "anna/moods"]
    done = subprocess.run(words, env=hub, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    model, own = load_checkpoint(str(run))
    with torch.no_grad():
        expected = model(**own(text="good sun", images=str(tmp_path / "sun.png"))).logits
    assert_close(load_file(tmp_path / "answer")["logits"], expected, rtol=0, atol=1e-6)
    said = {answer["label"]: answer["score"] for answer in json.loads(done.stdout.splitlines()[-1])}
    scores = expected.softmax(-1)[0].tolist()
    assert said == pytest.approx({model.config.id2label[i]: score for i, score in enumerate(scores)}, abs=1e-6)


def test_a_dry_run_sends_nothing_and_says_what_would_go(run, capsys):
    code, out, _ = call(capsys, "publish", run, "anna/moods", "--dry-run", "--json")
    result = json.loads(out)
    assert code == 0 and "url" not in result and result["files"].keys() >= FILES
    assert result["files"]["model.safetensors"] == (run / "model.safetensors").stat().st_size
    assert result["kept"]["training_args.bin"].startswith("a pickle")
    for name in ("posts.csv", "notes/config.json"):
        assert result["kept"][name] == "not on the list of what is published"
    assert {name for name, reason in result["kept"].items() if reason == "of the run"} >= {
        *("run.json", "arguments.json", "trainer_state.json", "predictions_validation.parquet")
    }
    code, out, _ = call(capsys, "publish", run, "anna/moods", "--dry-run")
    assert code == 0 and "Nothing was sent to anna/moods: a dry run." in out
    assert "posts.csv" in out and "stays here: not on the list" in out


def test_code_of_the_folder_is_not_what_goes(copied):
    """The code comes from what is installed, whoever wrote into the folder."""
    (copied / "modeling_mdse.py").write_text("print('something else')")
    (copied / "more.py").write_text("print('something else')")
    files = publish(copied, "anna/moods", dry_run=True)["files"]
    assert files["modeling_mdse.py"] > 1000 and "more.py" not in files


def test_a_card_that_a_person_wrote_goes_as_it_is(copied):
    (copied / "README.md").write_text("My own words.")
    assert publish(copied, "anna/moods", dry_run=True)["files"]["README.md"] == len("My own words.")


def test_weights_must_be_what_they_are_called(copied):
    (copied / "model.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(CardError, match=r"model\.safetensors must be a safetensors file, which it is not: "):
        publishable(copied)
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(CardError, match="copied must hold weights as safetensors to be published, and holds none"):
        publishable(copied)


def test_a_link_is_not_followed(copied, tmp_path):
    (tmp_path / "secret").write_text("nobody else's business")
    (copied / "vocab.txt").symlink_to(tmp_path / "secret")
    sorted_files = publishable(copied)
    assert "vocab.txt" not in sorted_files.files
    assert sorted_files.kept["vocab.txt"] == "a link, which may lead to anything"


def test_adapters_of_towers_that_nobody_else_has(copied, capsys):
    save_file({"classifier.bias": torch.zeros(2)}, copied / "fusion.safetensors")
    (copied / "towers.json").write_text(json.dumps({"text_encoder": str(copied), "image_encoder": "google/vit"}))
    message = wrong_call(capsys, "publish", copied, "anna/moods", "--dry-run")
    assert f"holds adapters of {copied}, a folder here, without which nobody else can load them" in message
    (copied / "towers.json").write_text(json.dumps({"text_encoder": "anna/words", "image_encoder": "google/vit"}))
    assert {"towers.json", "fusion.safetensors"} <= publish(copied, "anna/moods", dry_run=True)["files"].keys()


def test_wrong_calls(run, tmp_path, capsys):
    assert "got 'anna/b/c'" in wrong_call(capsys, "publish", run, "anna/b/c", "--dry-run")
    assert "it holds no config.json" in wrong_call(capsys, "publish", tmp_path, "anna/moods")


def test_a_hub_that_refuses(run, start_hub, tmp_path):
    hub = start_hub(tmp_path / "hub") | {"HF_TOKEN": ""}
    words = [sys.executable, "-m", "duosent", "publish", str(run), "anna/moods"]
    done = subprocess.run(words, env=hub, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("duosent publish failed: The Hub does not take anna/moods: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_broken_connection_goes_on(copied, start_hub, tmp_path):
    """The second large file never arrives; the next call sends it alone."""
    weights = load_file(copied / "model.safetensors")
    names = sorted(weights)
    index = {"metadata": {}, "weight_map": {}}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, copied / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(part, file)
    (copied / "model.safetensors").unlink()
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    words = [sys.executable, "-m", "duosent", "publish", str(copied), "anna/moods"]
    done = subprocess.run(words, env=start_hub(tmp_path / "hub", takes=1), capture_output=True, text=True)
    assert done.returncode == 1 and "the same command goes on with it" in done.stderr, done.stderr
    assert not (tmp_path / "hub" / "commits.jsonl").exists()
    arrived = {file: file.stat().st_mtime_ns for file in (tmp_path / "hub" / "lfs").iterdir()}
    assert len(arrived) == 1
    done = subprocess.run(words, env=start_hub(tmp_path / "hub"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns == moment for file, moment in arrived.items())
    there = tmp_path / "hub" / "models" / "anna" / "moods"
    sent = [load_file(there / file) for file in sorted(set(index["weight_map"].values()))]
    assert [list(part) for part in sent] == [names[::2], names[1::2]]
