"""Several labels in one model: decoding by enumeration, figures by hand, and the whole road on a few posts."""

import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import f1_score
from tiny import draw_weights

from duosent import MdseConfig, MdseForImageTextClassification
from duosent.data.pairs import load_pairs
from duosent.inference.score_table import predict_table
from duosent.inference.scoring import predict, predict_targets
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.classification_task import ClassificationTask
from duosent.training.imbalance import class_weights
from duosent.training.joint_labels import check_consistent, contradicting, label_combinations, task_answers
from duosent.training.metrics import compute_metrics_for, score_answers
from duosent.training.run import evaluate, train
from duosent.training.starts import CheckpointStart

TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"], "irony": ["no", "yes"]}
SIZES = [2, 3, 2]
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
ALL = list(itertools.product(range(2), range(3), range(2)))


def config(combinations=None):
    return SimpleNamespace(tasks=TASKS, task_sizes=lambda: SIZES, label_combinations=combinations)


def softmax(row):
    exponentials = [math.exp(x) for x in row]
    return [e / sum(exponentials) for e in exponentials]


@given(
    seed=st.integers(0, 10**6),
    known=st.lists(st.sampled_from(ALL), min_size=1, max_size=12, unique=True),
)
def test_consistent_answers_by_enumeration(seed, known):
    logits = np.random.default_rng(seed).normal(0, 3, (5, 7)).astype(np.float32)
    given_answers = task_answers(logits, config([list(c) for c in sorted(known)]), consistent=True)
    free = task_answers(logits, config(), consistent=False)
    for row, answer, own in zip(logits.tolist(), given_answers.tolist(), free.tolist(), strict=True):
        p = [softmax(row[0:2]), softmax(row[2:5]), softmax(row[5:7])]
        joint = {c: p[0][c[0]] * p[1][c[1]] * p[2][c[2]] for c in ALL}
        assert tuple(answer) == max(known, key=joint.get)
        assert tuple(own) == max(ALL, key=joint.get)  # without a rule the best of each is the best of all


def test_huge_logits_are_compared_too():
    logits = np.array([[0.0, 5000.0, 0.0, 0.0, 4000.0, 3000.0, 0.0]], dtype=np.float32)
    known = config([[0, 0, 0], [0, 2, 0], [1, 0, 1]])  # all have probability 0 in rounding
    assert task_answers(logits, known, consistent=True).tolist() == [[0, 2, 0]]


def test_combinations_are_those_of_posts_with_all_labels():
    columns = [[1, 0, 1, None, 0], [2, 1, 2, 0, -100], [0, 1, 0, 0, 0]]
    assert label_combinations(columns) == [[0, 1, 1], [1, 2, 0]]
    assert label_combinations([[None, 1], [0, None]]) is None
    assert contradicting(np.array([[0, 1, 1], [0, 1, 0]]), config([[0, 1, 1], [1, 2, 0]])).tolist() == [False, True]


def test_figures_by_hand():
    # Answers (1, 0, 1), (0, 2, 0), (0, 1, 1), (1, 1, 0).
    answers = [(1, 0, 1), (0, 2, 0), (0, 1, 1), (1, 1, 0)]
    logits = np.zeros((4, 7), dtype=np.float32)
    for row, (a, b, c) in zip(logits, answers, strict=True):
        row[[a, 2 + b, 5 + c]] = 1
    truth = np.array([[1, 0, 1], [0, 2, -100], [1, 1, -100], [-100, -100, -100]])
    figures = score_answers(logits, truth, config([[1, 0, 1], [0, 2, 0]]))
    assert set(figures["tasks"]) == set(TASKS)
    assert [figures["tasks"][task]["n"] for task in TASKS] == [3, 3, 1]
    assert [figures["tasks"][task]["accuracy"] for task in TASKS] == [pytest.approx(2 / 3), 1.0, 1.0]
    macro = [f1_score([1, 0, 1], [1, 0, 0], average="macro"), 1.0, 1.0]
    assert [figures["tasks"][task]["macro_f1"] for task in TASKS] == pytest.approx(macro)
    assert figures["macro_f1"] == pytest.approx(sum(macro) / 3)
    assert figures["accuracy"] == pytest.approx((2 / 3 + 2) / 3)
    assert figures["n"] == 3
    assert figures["joint_accuracy"] == 1.0  # only the first post has all labels
    assert figures["contradictions"] == pytest.approx(1 / 3)  # of the three labelled posts the third
    again = score_answers(logits, truth, config([[1, 0, 1], [0, 2, 0]]), consistent=True)
    assert again["contradictions"] == 0.0
    without = score_answers(logits, np.where([True, True, False], truth, -100), config())
    assert set(without["tasks"]) == {"mood", "desire"} and "joint_accuracy" not in without
    assert "contradictions" not in without
    assert without["macro_f1"] == pytest.approx(sum(macro[:2]) / 2)
    with pytest.raises(ValueError, match="At least one row must have a label, got none in 4"):
        score_answers(logits, np.full((4, 3), -100), config())
    plain = compute_metrics_for(config())(SimpleNamespace(predictions=logits, label_ids=truth))
    assert plain["macro_f1"] == figures["macro_f1"] and plain["mood:accuracy"] == pytest.approx(2 / 3)
    assert all(isinstance(value, int | float) for value in plain.values())


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Eight posts a part; labels as words, some cells empty."""
    folder = tmp_path_factory.mktemp("posts")
    words = ["good", "bad", "happy", "sad", "great", "awful", "sun", "rain"]
    rows = []
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    for i, word in enumerate(words):
        Image.fromarray(noise[i]).save(folder / f"{i}.png")
        mood, desire = ("sad", "none") if i % 2 else ("glad", "family" if i % 4 else "love")
        rows.append(
            {"text": word, "image": f"{i}.png", "mood": mood, "desire": desire, "irony": "no" if i % 3 else None}
        )
    rows[0]["irony"] = "yes"
    for part in ("train", "validation"):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {"num_train_epochs": 1, "per_device_train_batch_size": 4, "seed": 3, "use_cpu": True, "disable_tqdm": True}
    return ImageTextTrainingArguments(str(folder), **{**usual, **options})


COLUMNS = {"label_columns": ["mood", "desire", "irony"]}
# By the alphabet, as `load_pairs` names words.
NAMES = {"mood": ["glad", "sad"], "desire": ["family", "love", "none"], "irony": ["no", "yes"]}


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "streamed"])
def run(request, data, text_encoder_dir, image_encoder_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mdse"
    metrics = train(
        "mdse",
        data,
        arguments(folder, class_weights="balanced", modality_dropout=0.2),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        columns=COLUMNS,
        config=SMALL,
        evaluate_sides=True,
        streaming=request.param,
    )
    return folder, metrics


def test_the_whole_road(run, data):
    folder, metrics = run
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert list(metrics["tasks"]) == ["mood", "desire", "irony"]
    for task, names in NAMES.items():
        assert list(metrics["tasks"][task]["per_class"]) == metrics["tasks"][task]["labels"] == names
    assert metrics["tasks"]["irony"]["n"] == 6 and metrics["n"] == 8
    mean = sum(of_task["macro_f1"] for of_task in metrics["tasks"].values()) / 3
    assert metrics["macro_f1"] == pytest.approx(mean)
    assert set(metrics["sides"]["text"]["tasks"]) == set(NAMES)
    logged = json.loads((folder / "trainer_state.json").read_text())
    assert logged["best_metric"] == pytest.approx(metrics["macro_f1"])
    config = json.loads((folder / "config.json").read_text())
    assert config["tasks"] == NAMES
    # (glad, love, yes) stands in the first row, (sad, none, no) and (glad, family, no) in others; two have no irony.
    assert config["label_combinations"] == [[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 2, 0]]
    again = evaluate(str(folder), data, "validation", sides=True, use_cpu=True)
    for name in ("macro_f1", "tasks", "sides", "labels", "joint_accuracy", "contradictions"):
        assert again[name] == metrics[name], name
    assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-4)


def test_without_the_record_the_tasks_are_the_columns(run, data, tmp_path):
    folder, metrics = run
    model = MdseForImageTextClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    assert evaluate(str(tmp_path), data, "validation", use_cpu=True)["tasks"] == metrics["tasks"]


@pytest.fixture(scope="module")
def checkpoint(data, text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    """Answers that differ from post to post, and few combinations."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    fields = {"tasks": NAMES, "label_combinations": [[0, 2, 1], [1, 0, 0]], **SMALL}
    model = MdseForImageTextClassification.from_encoders(text_encoder_dir, image_encoder_dir, **fields)
    draw_weights(model, size=2)
    posts = load_pairs(data, label_column=None)["validation"]
    with torch.no_grad():
        logits = model.eval()(**processor(text=posts["text"][:], images=posts["image"][:], return_tensors="pt")).logits
        model.classifier.output.bias -= logits.mean(dim=0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("consistent", [False, True])
def test_one_post_and_a_table_give_each_tasks_answer(checkpoint, data, processor, tmp_path, consistent):
    model = MdseForImageTextClassification.from_pretrained(checkpoint).eval()
    result = predict_table(checkpoint, data, str(tmp_path / "out"), split="validation", consistent=consistent)
    table = pq.read_table(tmp_path / "out" / "predictions-00000.parquet").to_pylist()
    assert result["n"] == len(table) == 8
    columns = [f"label_{task}" for task in NAMES]
    columns += [f"score_{task}:{name}" for task, names in NAMES.items() for name in names]
    assert list(table[0]) == ["id", *columns]
    answered = set()
    for row, post in zip(table, load_pairs(data, label_column=None)["validation"], strict=True):
        with torch.no_grad():
            inputs = processor(text=[post["text"]], images=[post["image"]], return_tensors="pt")
            logits = model(**inputs).logits[0].tolist()
        p = dict(zip(NAMES, [softmax(logits[0:2]), softmax(logits[2:5]), softmax(logits[5:7])], strict=True))
        best = tuple(max(range(len(p[task])), key=p[task].__getitem__) for task in NAMES)
        if consistent:
            best = max([(0, 2, 1), (1, 0, 0)], key=lambda c: p["mood"][c[0]] * p["desire"][c[1]] * p["irony"][c[2]])
        answered.add(best)
        alone = predict(checkpoint, post["text"], post["image"], consistent=consistent)["tasks"]
        for task, index in zip(NAMES, best, strict=True):
            assert row[f"label_{task}"] == alone[task]["label"] == NAMES[task][index]
            scores = [row[f"score_{task}:{name}"] for name in NAMES[task]]
            assert scores == pytest.approx(p[task], abs=1e-4)
            assert list(alone[task]["scores"].values()) == pytest.approx(p[task], abs=1e-4)
    assert len(answered) > 1


def test_targets_and_evaluation_are_consistent_too(checkpoint, data):
    answers = predict_targets(checkpoint, "the $T$ is good", None, ["sun", "rain"], consistent=True)
    known = {("glad", "none", "yes"), ("sad", "family", "no")}
    assert {tuple(a["tasks"][task]["label"] for task in NAMES) for a in answers} <= known
    free = evaluate(checkpoint, data, "validation", use_cpu=True)
    bound = evaluate(checkpoint, data, "validation", consistent=True, sides=True, use_cpu=True)
    assert free["contradictions"] > 0 == bound["contradictions"]
    assert bound["consistent"] is True and "consistent" not in free
    whole = bound["sides"]["both"]
    assert whole["macro_f1"] == bound["macro_f1"] != free["macro_f1"]


def test_weights_are_balanced_in_each_task(data):
    rows = load_pairs(data, **COLUMNS)["train"]
    names = [f"{task}:{name}" for task in NAMES for name in NAMES[task]]
    # mood 4 : 4; desire family 2, love 2, none 4; irony no 5, yes 1 of 6.
    expected = [1, 1, 8 / 6, 8 / 6, 8 / 12, 6 / 10, 6 / 2]
    assert class_weights(["balanced"], names, None, rows, NAMES).tolist() == pytest.approx(expected)
    given = class_weights(["irony:yes=4"], names, None, rows, NAMES)
    assert given.tolist() == [1, 1, 1, 1, 1, 1, 4]


def test_a_start_with_other_tasks_leaves_no_trace(checkpoint, data):
    start = CheckpointStart(checkpoint, MdseConfig, {})
    for columns, names in [
        ({"label_column": "mood"}, ["glad", "sad"]),
        ({"label_columns": ["irony", "mood"]}, ["irony:no", "irony:yes", "mood:glad", "mood:sad"]),
    ]:
        fields = ClassificationTask().label_fields(load_pairs(data, **columns)["train"], columns)
        model, _ = start.build(MdseForImageTextClassification, fields, {})
        assert list(model.config.id2label.values()) == names and len(model.classifier.output.bias) == len(names)
        assert list(model.config.tasks or []) == columns.get("label_columns", [])
        assert model.config.label_combinations == (None if "label_column" in columns else [[0, 0], [0, 1], [1, 0]])


def test_wrong_calls_are_one_sentence(checkpoint, data, text_encoder_dir, tmp_path):
    task = ClassificationTask()
    single = SimpleNamespace(tasks=None)
    options = {"text_encoder": text_encoder_dir, "columns": COLUMNS}
    for call, message in [
        (
            lambda: evaluate(checkpoint, data, "validation", columns={"label_column": "mood"}),
            "gives the labels mood, desire",
        ),
        (
            lambda: evaluate(checkpoint, data, "validation", columns={"label_columns": ["mood", "irony"]}),
            "got mood, irony.",
        ),
        (
            lambda: task.evaluation_columns(single, {}, COLUMNS),
            "The checkpoint gives one label, got mood, desire, irony.",
        ),
        (lambda: check_consistent(single), "consistent must go with a model of several labels, got one that"),
        (lambda: check_consistent(config()), "consistent needs a model that knows what occurs together"),
        (
            lambda: train("text", data, arguments(tmp_path / "out", balanced_sampling=True), **options),
            "balanced_sampling must be off with several tasks",
        ),
    ]:
        with pytest.raises(CallError) as error:
            call()
        assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
