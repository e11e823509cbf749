"""`evaluate --calibrate` on a tiny checkpoint: what is fitted, measured, stored, used and dropped again."""

import itertools
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from commands import wrong_call

from duosent import AutoModelForImageTextClassification, MdseForImageTextClassification
from duosent.cli import main
from duosent.configuration.configuration_mdse import MdseConfig
from duosent.inference.score_table import predict_table
from duosent.inference.scoring import predict
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.calibration import Calibration, by_task, set_figures, store_calibration
from duosent.training.checkpoints import CallError
from duosent.training.run import evaluate, train
from duosent.training.starts import CheckpointStart
from duosent.training.temperature import fit_temperature

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
LABELS = ["negative", "neutral", "positive"]
TASKS = {"mood": ["sad", "glad"], "desire": ["family", "love", "none"]}
WORDS = "good bad happy sad great awful sun rain dog cat day night".split()  # noqa: SIM905
TEXTS = [" ".join(words) for words in itertools.combinations(WORDS, 2)]  # 66


def made(folder: Path, encoders: tuple, processor, **config) -> Path:
    torch.manual_seed(0)
    model = MdseForImageTextClassification.from_encoders(*encoders, **SMALL, **config)
    with torch.no_grad():  # so that the answers differ from post to post, and are too sure
        for layer in (model.classifier.hidden, model.classifier.output):
            layer.weight.mul_(60)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def logits_of(folder: Path, processor) -> np.ndarray:
    """By the model alone, post by post."""
    model = MdseForImageTextClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return np.stack([model(**processor(text=[t], return_tensors="pt")).logits[0].numpy() for t in TEXTS])


def some_wrong(logits: np.ndarray) -> np.ndarray:
    """`(N,)`: the model's answers, but for every third its second best."""
    order = np.argsort(-logits, axis=1)
    return np.where(np.arange(len(logits)) % 3, order[:, 0], order[:, 1])


def write_posts(folder: Path, columns: dict[str, list], n: int = len(TEXTS)) -> str:
    """Words without pictures; of the validation part the first n."""
    folder.mkdir(exist_ok=True)
    for part, size in (("train", len(TEXTS)), ("validation", n)):
        table = {"id": [f"{part}{i}" for i in range(len(TEXTS))], "text": TEXTS, **columns}
        table["image"] = pa.nulls(len(TEXTS), pa.string())
        pq.write_table(pa.table(table).slice(0, size), folder / f"{part}.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def encoders(text_encoder_dir, image_encoder_dir) -> tuple[str, str]:
    return text_encoder_dir, image_encoder_dir


@pytest.fixture(scope="module")
def plain(encoders, processor, tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("one"), encoders, processor, id2label=dict(enumerate(LABELS)))


@pytest.fixture(scope="module")
def logits(plain, processor) -> np.ndarray:
    return logits_of(plain, processor)


@pytest.fixture(scope="module")
def data(logits, tmp_path_factory) -> str:
    return write_posts(tmp_path_factory.mktemp("posts"), {"label": [LABELS[i] for i in some_wrong(logits)]})


@pytest.fixture(scope="module")
def calibrated(plain, data, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("calibrated") / "one"
    shutil.copytree(plain, folder)
    asked = Calibration(fit=True, accuracy_target=0.7, confidence=0.8, bins=True)
    return folder, evaluate(str(folder), data, "validation", use_cpu=True, calibration=asked)


def test_the_record_is_what_the_logits_say(calibrated, logits):
    _, figures = calibrated
    labels, row = some_wrong(logits), figures["calibration"]["tasks"]["label"]
    assert (row["n"], row["num_labels"], figures["calibration"]["bins"]) == (66, 3, 15)
    assert row["temperature"] == pytest.approx(fit_temperature(logits.astype(float), labels), rel=1e-3)
    assert row["after"]["nll"] < row["before"]["nll"]
    exact = logits.astype(float) - logits.max(axis=1, keepdims=True)
    nll = -np.mean([exact[i, label] - math.log(np.exp(exact[i]).sum()) for i, label in enumerate(labels)])
    assert row["before"]["nll"] == pytest.approx(nll, rel=1e-4)
    scores = np.exp(exact / row["temperature"])
    scores /= scores.sum(axis=1, keepdims=True)
    own = sorted((scores[i, label] for i, label in enumerate(labels)), reverse=True)
    assert row["set_thresholds"]["0.80"] == pytest.approx(own[math.ceil(67 * 0.8) - 1], abs=1e-4)
    assert row["sets"]["confidence"] == 0.8 and 0.6 < row["sets"]["coverage"] <= 1
    assert row["abstain"]["accuracy_target"] == 0.7 and 0 < row["abstain"]["coverage"] < 1
    assert {name: sum(of_bin["n"] for of_bin in bins) for name, bins in row["reliability"].items()} == {
        "before": 66,
        "after": 66,
    }


def test_no_post_is_measured_by_its_own_fit():
    """What a post's half cannot know: labels of one half say the contrary of the other's."""
    draws = np.random.default_rng(0)
    logits = draws.normal(size=(400, 3))
    labels = (2 * logits + draws.gumbel(size=logits.shape)).argmax(axis=1)
    order = np.random.default_rng(5).permutation(400)
    hot = order[:200]
    labels[hot] = (0.3 * logits[hot] + draws.gumbel(size=(200, 3))).argmax(axis=1)
    config = SimpleNamespace(tasks=None, num_labels=3)
    row = Calibration(fit=True, seed=5).record(logits, labels, config)["tasks"]["label"]
    expected = 0.0
    for fitted_on, measured_on in ((order[200:], order[:200]), (order[:200], order[200:])):
        temperature = fit_temperature(logits[fitted_on], labels[fitted_on])
        for i in measured_on:
            scaled = [value / temperature for value in logits[i].tolist()]
            expected += math.log(sum(map(math.exp, scaled))) - scaled[labels[i]]
    assert row["after"]["nll"] == pytest.approx(expected / 400)
    own = fit_temperature(logits[hot], labels[hot])
    assert own > 2 * fit_temperature(logits[order[200:]], labels[order[200:]])


def test_the_fit_lies_in_the_config_and_nothing_else_changed(calibrated, plain, data):
    folder, figures = calibrated
    before, after = (json.loads((of / "config.json").read_text()) for of in (plain, folder))
    stored = after.pop("calibration")
    before.pop("calibration", None)
    assert after == before
    assert stored["split"] == "validation" and stored["fingerprint"] == figures["fingerprint"]
    row = dict(figures["calibration"]["tasks"]["label"])
    del row["reliability"]
    assert stored["tasks"]["label"] == row and stored["seed"] == 0
    assert {file.name for file in folder.iterdir()} == {file.name for file in plain.iterdir()}
    assert MdseConfig.from_pretrained(folder).calibration == stored


def test_scores_are_divided_by_the_temperature_and_answers_stay(calibrated, plain, data, logits, tmp_path):
    folder, figures = calibrated
    temperature = figures["calibration"]["tasks"]["label"]["temperature"]
    assert abs(temperature - 1) > 0.1
    expected = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(float) / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    answer = predict(str(folder), TEXTS[3], device="cpu")
    assert list(answer["scores"].values()) == pytest.approx(expected[3].tolist(), abs=1e-4)
    again = evaluate(str(folder), data, "validation", use_cpu=True, predictions=str(tmp_path / "answers.parquet"))
    unfitted = evaluate(str(plain), data, "validation", use_cpu=True)
    for name in ("accuracy", "macro_f1", "weighted_f1", "confusion", "per_class"):
        assert again[name] == unfitted[name] == figures[name]
    assert (
        again["calibration"]["tasks"]["label"]["scores"]["nll"]
        < unfitted["calibration"]["tasks"]["label"]["scores"]["nll"]
    )
    predict_table(str(folder), data, str(tmp_path / "table"), split="validation", device="cpu")
    for file in (tmp_path / "answers.parquet", tmp_path / "table" / "predictions-00000.parquet"):
        table = pq.read_table(file)
        found = np.stack([table.column(f"score_{name}").to_numpy() for name in LABELS], axis=1)
        assert np.abs(found - expected).max() < 1e-4, file.name
        assert table.column("label").to_pylist() == [LABELS[i] for i in logits.argmax(axis=1)]


def test_another_evaluation_tells_what_sets_and_answers_come_to(calibrated, data, logits):
    folder, figures = calibrated
    fit = figures["calibration"]["tasks"]["label"]
    found = evaluate(str(folder), data, "train", use_cpu=True, batch_size=5, calibration=Calibration(confidence=0.9))
    row, labels = found["calibration"]["tasks"]["label"], some_wrong(logits)
    scores = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(float) / fit["temperature"])
    scores /= scores.sum(axis=1, keepdims=True)
    # A threshold is some post's own score, and in other batches that post may fall to its other side.
    few, many = (
        [[i for i in range(3) if post[i] >= fit["set_thresholds"]["0.90"] + margin] for post in scores]
        for margin in (1e-4, -1e-4)
    )
    covered = [sum(own in chosen for own, chosen in zip(labels, sets, strict=True)) / 66 for sets in (few, many)]
    assert covered[0] <= row["sets"]["coverage"] <= covered[1] <= covered[0] + 3 / 66
    sizes = [sum(map(len, sets)) / 66 for sets in (few, many)]
    assert sizes[0] <= row["sets"]["mean_size"] + 1e-9 and row["sets"]["mean_size"] <= sizes[1] + 1e-9
    threshold = fit["abstain"]["threshold"]
    sure = [[i for i in range(66) if scores[i].max() >= threshold + margin] for margin in (1e-4, -1e-4)]
    assert len(sure[0]) / 66 <= row["abstain"]["coverage"] <= len(sure[1]) / 66 < 1
    right = sum(scores[i].argmax() == labels[i] for i in sure[0])
    assert abs(row["abstain"]["accuracy"] - right / len(sure[0])) < 3 / len(sure[0])
    assert "temperature" not in row and "seed" not in found["calibration"]


def test_the_size_of_the_batches_does_not_matter(plain, data, tmp_path):
    found = []
    for size in (3, 64):
        folder = tmp_path / str(size)
        shutil.copytree(plain, folder)
        figures = evaluate(
            str(folder), data, "validation", use_cpu=True, batch_size=size, calibration=Calibration(fit=True)
        )
        found.append(figures["calibration"]["tasks"]["label"]["temperature"])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_each_task_has_its_own_temperature(encoders, processor, tmp_path):
    folder = made(tmp_path / "tasks", encoders, processor, tasks=TASKS)
    logits = logits_of(folder, processor)
    answers = {"mood": some_wrong(logits[:, :2]), "desire": some_wrong(logits[:, 2:])}
    columns = {task: [TASKS[task][i] for i in answers[task]] for task in TASKS}
    columns["mood"][:10] = [None] * 10
    data = write_posts(tmp_path / "posts", columns)
    figures = evaluate(str(folder), data, "validation", use_cpu=True, calibration=Calibration(fit=True))
    fits = figures["calibration"]["tasks"]
    assert [fits[task]["n"] for task in TASKS] == [56, 66]
    mood = fit_temperature(logits[10:, :2].astype(float), answers["mood"][10:])
    desire = fit_temperature(logits[:, 2:].astype(float), answers["desire"])
    assert [fits[task]["temperature"] for task in TASKS] == pytest.approx([mood, desire], rel=1e-3)
    answer = predict(str(folder), TEXTS[0], device="cpu")["tasks"]
    for task, own, temperature in (("mood", logits[0, :2], mood), ("desire", logits[0, 2:], desire)):
        parts = [math.exp((value - own.max()) / temperature) for value in own.tolist()]
        expected = [part / sum(parts) for part in parts]
        assert list(answer[task]["scores"].values()) == pytest.approx(expected, abs=1e-3)


def test_several_labels_a_post(encoders, processor, tmp_path):
    folder = made(
        tmp_path / "several",
        encoders,
        processor,
        id2label=dict(enumerate(LABELS)),
        problem_type="multi_label_classification",
    )
    logits = logits_of(folder, processor)
    truth = (logits > 0) ^ (np.arange(logits.size).reshape(logits.shape) % 5 == 0)
    words = [[name for name, there in zip(LABELS, row, strict=True) if there] for row in truth]
    data = write_posts(tmp_path / "posts", {"label": words})
    figures = evaluate(str(folder), data, "validation", use_cpu=True, calibration=Calibration(fit=True))
    row = figures["calibration"]["tasks"]["label"]
    assert row["temperature"] == pytest.approx(fit_temperature(logits.astype(float), truth.astype(int)), rel=1e-3)
    assert "set_thresholds" not in row and "abstain" not in row
    answer = predict(str(folder), TEXTS[0], device="cpu")
    expected = [1 / (1 + math.exp(-value / row["temperature"])) for value in logits[0].tolist()]
    assert list(answer["scores"].values()) == pytest.approx(expected, abs=1e-3)
    for option in ({"accuracy_target": 0.9, "fit": True}, {"confidence": 0.9}):
        with pytest.raises(CallError, match="must go with a model of one label a post, got one of several"):
            evaluate(str(folder), data, "validation", use_cpu=True, calibration=Calibration(**option))


def test_training_on_or_a_new_head_drops_it(calibrated, data, tmp_path):
    folder, _ = calibrated
    start = CheckpointStart(str(folder), MdseConfig, {})
    assert start.saved.calibration is not None and start.config({}).calibration is None
    arguments = ImageTextTrainingArguments(
        str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True
    )
    train("mdse", data, arguments, init_from=str(folder))
    assert "calibration" in json.loads((folder / "config.json").read_text())
    assert json.loads((tmp_path / "run" / "config.json").read_text()).get("calibration") is None
    other = AutoModelForImageTextClassification.from_pretrained(
        str(folder), num_labels=4, ignore_mismatched_sizes=True
    )
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    from duosent.modeling.label_scores import label_scores

    assert torch.equal(label_scores(logits, other.config), logits.softmax(dim=-1))


def test_a_trainer_of_ones_own_drops_it_too(calibrated, rows, processor, tmp_path):
    from duosent import ImageTextCollator, ImageTextTrainer

    model = MdseForImageTextClassification.from_pretrained(calibrated[0])
    arguments = ImageTextTrainingArguments(
        str(tmp_path),
        max_steps=1,
        use_cpu=True,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=True,
    )
    ImageTextTrainer(model, arguments, ImageTextCollator(processor), rows).train()
    assert model.config.calibration is None


def test_what_cannot_be_calibrated_is_one_sentence_and_changes_nothing(plain, data, logits, tmp_path):
    folder = tmp_path / "one"
    shutil.copytree(plain, folder)
    before = (folder / "config.json").read_bytes()
    fit = Calibration(fit=True)
    right = [LABELS[i] for i in logits.argmax(axis=1)]
    write_posts(tmp_path / "right", {"label": right})
    write_posts(tmp_path / "alike", {"label": ["positive"] * 66})
    few = write_posts(tmp_path / "few", {"label": [LABELS[i] for i in some_wrong(logits)]}, n=2)
    for asked, posts, split, message in [
        (fit, data, "train", "calibrate must not be given for the train part"),
        (fit, tmp_path / "right", "validation", "cannot be calibrated: every answer is right"),
        (fit, tmp_path / "alike", "validation", "cannot be calibrated: a temperature needs posts of different labels"),
        (fit, few, "validation", "cannot be calibrated: "),
        (replace(fit, accuracy_target=0.0), data, "validation", "accuracy_target must be > 0 and <= 1, got 0.0"),
        (Calibration(accuracy_target=0.9), data, "validation", "accuracy_target must be given with calibrate"),
        (
            replace(fit, confidence=0.4),
            data,
            "validation",
            "confidence must be from 0.5 to 0.99 in steps of 0.01, got",
        ),
        (replace(fit, confidence=0.905), data, "validation", "in steps of 0.01, got 0.905"),
        (Calibration(confidence=0.9), data, "validation", "confidence needs a calibrated checkpoint"),
    ]:
        with pytest.raises(CallError) as error:
            evaluate(str(folder), str(posts), split, use_cpu=True, calibration=asked)
        assert message in str(error.value) and "\n" not in str(error.value)
    assert (folder / "config.json").read_bytes() == before


def test_posts_that_were_learnt_from_are_refused(plain, data, calibrated, tmp_path):
    folder = tmp_path / "one"
    shutil.copytree(plain, folder)
    for record, message in [
        ({"train_fingerprint": calibrated[1]["fingerprint"]}, "the posts that were learnt from"),
        ({"fold": {"folds": 3, "fold": 1, "seed": 0}}, "of a run on folds, which learnt from it"),
    ]:
        (folder / "run.json").write_text(json.dumps(record))
        with pytest.raises(CallError, match=message):
            evaluate(str(folder), data, "validation", use_cpu=True, calibration=Calibration(fit=True))


def test_an_accuracy_that_no_score_reaches_is_refused():
    wrong = np.array([[9.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]] * 2)
    truth = np.array([1, 0, 0, 0, 1, 1] * 2)
    config = SimpleNamespace(tasks=None, num_labels=2)
    with pytest.raises(CallError, match="no score is high enough for an accuracy_target of 0.99"):
        Calibration(fit=True, accuracy_target=0.99).record(wrong, truth, config)


def test_a_name_on_the_hub_is_refused(plain):
    model = MdseForImageTextClassification.from_pretrained(plain)
    with pytest.raises(CallError, match="calibrate must go with a folder, to be written to, got someone/mdse"):
        Calibration(fit=True).check("someone/mdse", "validation", model)


def test_a_stored_config_is_whole_or_as_it_was(plain, calibrated, tmp_path, monkeypatch):
    folder = tmp_path / "one"
    shutil.copytree(plain, folder)
    before = (folder / "config.json").read_bytes()

    def stop(self, target):
        if self.name == "config.json":
            raise OSError("the disk is full")
        return rename(self, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(OSError, match="disk is full"):
        store_calibration(str(folder), calibrated[1]["calibration"], {"split": "validation"})
    assert (folder / "config.json").read_bytes() == before
    assert {file.name for file in folder.iterdir()} == {file.name for file in plain.iterdir()}


def test_set_figures_by_hand():
    chosen = np.array([[True, False], [True, True], [False, False], [False, True]])
    assert set_figures(chosen, np.array([0, 1, 0, 0])) == {"coverage": 0.5, "mean_size": 1.0, "empty": 0.25}


def test_posts_without_a_label_take_no_part():
    config = SimpleNamespace(tasks=TASKS, task_sizes=lambda: [2, 3])
    logits = np.arange(15.0).reshape(3, 5)
    found = by_task(logits, np.array([[1, -100], [-100, -100], [0, -100]]), config)
    assert list(found) == ["mood"]
    assert found["mood"][0].tolist() == [[0, 1], [10, 11]] and found["mood"][1].tolist() == [1, 0]


def test_the_command(plain, data, tmp_path, capsys):
    folder = tmp_path / "one"
    shutil.copytree(plain, folder)
    words = ["evaluate", str(folder), "--data", data, "--use-cpu"]
    plot = tmp_path / "plot.svg"
    assert main([*words, "--calibrate", "--accuracy-target", "0.7", "--reliability", str(plot)]) == 0
    shown = capsys.readouterr().out
    for line in ("ECE, equal mass", "sets of 0.9", "for an accuracy of 0.7", "by the fit of the other half"):
        assert line in shown, line
    assert "validation, 66 posts" in shown and plot.read_text().startswith("<?xml")
    assert main([*words, "--split", "train", "--confidence", "0.8", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["calibration"]["tasks"]["label"]
    assert row["sets"]["confidence"] == 0.8
    assert "--accuracy" not in wrong_call(capsys, *words, "--calibrate", "--split", "train")
    assert "png or .svg" in wrong_call(capsys, *words, "--reliability", "plot.pdf")
