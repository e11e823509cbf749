"""The card that a real run leaves, that its snippet works, and that every push takes it along."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call, wrong_call
from huggingface_hub import ModelCard
from made_runs import code_blocks, words
from PIL import Image

from duosent.hub_cards.card_writer import CARD_FILE, is_ours, write_card
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.run import train
from duosent.training.trainer import ImageTextTrainer

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def trained(folder, posts, text_encoder_dir, image_encoder_dir, options=None, **arguments) -> Path:
    usual = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "seed": 3, "use_cpu": True, "disable_tqdm": True}
    train(
        "mdse",
        posts,
        ImageTextTrainingArguments(str(folder), **usual, **arguments),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        columns={"label_column": "mood"},
        config=SMALL,
        command=f"duosent train --data {posts}",
        **(options or {}),
    )
    return Path(folder)


@pytest.fixture(scope="module")
def run(posts, text_encoder_dir, image_encoder_dir, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    options = {"evaluate_test": True, "evaluate_sides": True}
    return trained(folder, posts, text_encoder_dir, image_encoder_dir, options)


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "tiny"))


def test_a_run_leaves_its_card(run, posts):
    card = (run / CARD_FILE).read_text(encoding="utf-8")
    assert is_ours(card) and card == write_card(run)
    figures = {
        part: json.loads((run / file).read_text())
        for part, file in (("validation", "metrics.json"), ("test", "metrics_test.json"))
    }
    results = ModelCard.load(run / CARD_FILE).data.to_dict()["model-index"][0]["results"]
    assert {result["dataset"]["split"]: [metric["value"] for metric in result["metrics"]] for result in results} == {
        part: [pytest.approx(of_part[name], abs=1e-6) for name in ("accuracy", "macro_f1", "weighted_f1")]
        for part, of_part in figures.items()
    }
    record = json.loads((run / "run.json").read_text())
    text = words(card)
    for line in (
        "out of 2: happy, sad",
        "Data: moods",
        "Rows of the training part: 8",
        "Columns: label_column mood",
        "Steps: 2",
        f"Best checkpoint: {record['best_checkpoint']}",
        f"Parameters: {record['parameters']:,}",
        f"fingerprint of the part: {figures['test']['fingerprint']}",
        "What one side alone is worth, on the 8 posts with both sides:",
    ):
        assert line in text, line
    assert str(Path(posts).parent) not in card and "duosent train --data moods" in card
    assert record["from_hub"] == []


def test_the_snippets_of_the_card_work(run, tmp_path):
    """As they stand, beside the checkpoint and a picture."""
    shutil.copytree(run, tmp_path / "tiny")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    without, installed = code_blocks((run / CARD_FILE).read_text(encoding="utf-8"), "python")
    assert without.count("trust_remote_code=True") == 2 and "import duosent" in installed
    # The package's own classes win where it is imported: both answer alike.
    code = f"import duosent\n{without}\n{installed}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line.replace("'", '"')) for line in done.stdout.splitlines())
    assert first == second and list(first) == ["happy", "sad"] and sum(first.values()) == pytest.approx(1, abs=1e-5)


def test_the_command_prints_or_writes_the_card(copied, capsys, tmp_path):
    code, out, err = call(capsys, "card", copied)
    assert (code, out, err) == (0, write_card(copied), "")
    code, out, _ = call(capsys, "card", copied, "--license", "mit", "--language", "en", "--write", "--json")
    result = json.loads(out)
    assert code == 0 and result["output"] == str(copied / CARD_FILE)
    assert result["metadata"]["license"] == "mit" and result["metadata"]["language"] == ["en"]
    assert (copied / CARD_FILE).read_text() == result["card"]
    code, out, _ = call(capsys, "card", copied, "--output", tmp_path / "other.md")
    assert (code, out) == (0, f"The card is in {tmp_path / 'other.md'}.\n")
    assert "license: mit" in (tmp_path / "other.md").read_text()  # stated before


def test_examples_are_answered_by_the_model(copied, capsys):
    words = ("card", copied, "--example", "good sun", "--example", "bad rain", "--json")
    code, out, err = call(capsys, *words)
    assert code == 0, err
    widget = json.loads(out)["metadata"]["widget"]
    assert [example["text"] for example in widget] == ["good sun", "bad rain"]
    for example in widget:
        assert sum(answer["score"] for answer in example["output"]) == pytest.approx(1, abs=1e-3)


def test_the_widget_has_the_scores_of_each_task(copied, capsys, monkeypatch):
    tasks = {"mood": {"label": "sad", "scores": {"happy": 0.1, "sad": 0.9}}, "wish": {"scores": {"tea": 0.7}}}
    answers = {"good sun": {"label": "happy", "scores": {"happy": 0.8, "sad": 0.2}}, "bad rain": {"tasks": tasks}}
    monkeypatch.setattr("duosent.inference.scoring.predict", lambda _, text: answers[text])
    _, out, _ = call(capsys, "card", copied, "--example", "good sun", "--example", "bad rain", "--json")
    assert [
        [(answer["label"], answer["score"]) for answer in example["output"]]
        for example in json.loads(out)["metadata"]["widget"]
    ] == [[("happy", 0.8), ("sad", 0.2)], [("mood:sad", 0.9), ("wish:tea", 0.7), ("mood:happy", 0.1)]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing"], "nothing is not a folder with a checkpoint: it holds no config.json."),
        (["RUN", "--write", "--output", "x.md"], "--write and --output must not be given together."),
        (["RUN", "--overwrite"], "--overwrite has no meaning without --write or --output."),
        (["RUN", "--output", "."], "--output . is a folder."),
        (
            ["RUN", "--language", "English"],
            "languages must be ISO 639 codes such as en, or multilingual, got 'English'.",
        ),
        (["RUN", "--licence", "mit"], "there is no argument --licence; did you mean --license?"),
    ],
)
def test_wrong_calls(run, capsys, words, sentence):
    assert wrong_call(capsys, "card", *(run if word == "RUN" else word for word in words)) == (
        f"duosent card: {sentence}\n"
    )


def test_the_command_keeps_a_persons_card(copied, capsys):
    (copied / CARD_FILE).write_text("# Mine\n")
    assert "was written or changed by a person, and is kept." in wrong_call(capsys, "card", copied, "--write")
    assert call(capsys, "card", copied, "--write", "--overwrite")[0] == 0
    assert is_ours((copied / CARD_FILE).read_text())


def test_another_run_keeps_a_persons_card(copied, posts, text_encoder_dir, image_encoder_dir, caplog):
    (copied / CARD_FILE).write_text("# Mine\n")
    trained(copied, posts, text_encoder_dir, image_encoder_dir, {"overwrite": True})
    assert (copied / CARD_FILE).read_text() == "# Mine\n"
    assert "was written or changed by a person" in caplog.text


def test_no_checkpoint_is_pushed_on_the_way(tmp_path):
    """Trainer sends a pickle with it."""
    with pytest.raises(ValueError, match="^hub_strategy must be end, for the others send a pickle .*, got checkpoint"):
        ImageTextTrainingArguments(str(tmp_path), push_to_hub=True, hub_strategy="checkpoint")


@pytest.mark.parametrize("lora", [{}, {"lora_rank": 2}])
def test_a_run_that_pushes_sends_what_publish_sends(hub, posts, text_encoder_dir, image_encoder_dir, tmp_path, lora):
    folder, there = tmp_path / "out", hub / "models" / "me" / "moods"
    options = {"push_to_hub": True, "hub_model_id": "me/moods"}
    trained(folder, posts, text_encoder_dir, image_encoder_dir, **options, **lora)
    card = ModelCard.load(there / CARD_FILE)
    figures = json.loads((folder / "metrics.json").read_text())
    [result] = card.data.to_dict()["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(figures["accuracy"], abs=1e-6)
    assert 'from_pretrained("me/moods", trust_remote_code=True)' in card.text
    # With adapters too it is the merged checkpoint, and nothing of the run or of this machine.
    kept_here = {"run.json", "arguments.json", "trainer_state.json", "card.json", "predictions_validation.parquet"}
    assert kept_here <= {file.name for file in folder.iterdir()}
    names = {file.name for file in there.rglob("*") if file.is_file()}
    assert not names & {*kept_here, "adapter_config.json"}
    assert names >= {"model.safetensors", "config.json", "processor_config.json", "handler.py", "metrics.json"}
    for file in there.rglob("*.*"):
        assert str(tmp_path).encode() not in file.read_bytes(), file
    [commit] = [json.loads(line) for line in (hub / "commits.jsonl").read_text().splitlines()]
    assert commit["summary"] == "End of training" and set(commit["files"]) == names


@pytest.mark.parametrize("blocking", [True, False])
def test_a_trainer_of_ones_own_pushes(run, hub, tmp_path, blocking):
    from transformers import AutoModelForSequenceClassification

    from duosent import ImageTextCollator, ImageTextProcessor

    collator = ImageTextCollator(ImageTextProcessor.from_pretrained(run))
    blind = {"eval_strategy": "no", "load_best_model_at_end": False}
    args = ImageTextTrainingArguments(str(tmp_path / "own"), use_cpu=True, **blind)
    trainer = ImageTextTrainer(AutoModelForSequenceClassification.from_pretrained(run), args, collator)
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        trainer.create_model_card()
    facts = {"language": "en", "license": "mit", "tags": "moods", "finetuned_from": "me/start"}
    sent = trainer.push_to_hub("Mine", blocking=blocking, dataset_tags="me/posts", **facts)
    assert len((sent if blocking else sent.result())["commit"]) == 40
    card = ModelCard.load(hub / "models" / "anna" / "own" / CARD_FILE)
    data = card.data.to_dict()
    assert (data["language"], data["license"]) == (["en"], "mit")
    assert (data["datasets"], data["base_model"]) == (["me/posts"], ["me/start"])
    assert data["tags"][-1] == "moods" and "# own" in card.text
