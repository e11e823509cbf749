"""Cards of made runs: what stands in them, and that no text from data changes their shape."""

import ast
import copy
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard, metadata_eval_result
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given
from hypothesis import strategies as st
from made_runs import ARGUMENTS, CONFIG, METRICS, RUN, code_blocks, made_run, page, words
from test_plain_text import hostile_text

from duosent.hub_cards.card_facts import CardFacts
from duosent.hub_cards.card_writer import CARD_FILE, KeptCardError, is_ours, save_card, write_card
from duosent.hub_cards.plain_text import NOTHING, cleaned

SIDES = {
    name: {"accuracy": 0.5 + i / 10, "macro_f1": 0.4 + i / 10, "n": 90}
    for i, name in enumerate(("both", "text", "image", "shuffled_images"))
} | {"seed": 3}
EVERY_FACT = CardFacts(
    name="me/moods",
    license="cc-by-4.0",
    languages=["en", "pt-br"],
    data_license="for research alone",
    data_name="My posts",
    datasets=["me/posts"],
    base_models=["bert-base-uncased", "google/vit"],
    tags=["moods"],
    examples=[{"text": "What a day", "scores": {"negative": 0.123456, "positive": 0.876544}}],
)


def metadata(card: str, tmp_path) -> dict:
    """Read as the Hub's own library does, from a file."""
    (tmp_path / "read.md").write_text(card, encoding="utf-8")
    return ModelCard.load(tmp_path / "read.md").data.to_dict()


def test_a_card_with_everything(tmp_path):
    metrics = METRICS | {"sides": SIDES}
    folder = made_run(tmp_path / "run", metrics=metrics, metrics_test=METRICS | {"split": "test", "n": 100})
    card = write_card(folder, EVERY_FACT)
    data = metadata(card, tmp_path)
    index = data.pop("model-index")
    assert data == {
        "license": "cc-by-4.0",
        "language": ["en", "pt-br"],
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["image-text-classification", "multimodal", "duosent", "mdse", "moods"],
        "datasets": ["me/posts"],
        "base_model": ["bert-base-uncased", "google/vit"],
        "base_model_relation": "finetune",
        "metrics": ["accuracy", "f1"],
        "widget": [
            {
                "text": "What a day",
                "output": [{"label": "positive", "score": 0.8765}, {"label": "negative", "score": 0.1235}],
            }
        ],
    }
    assert index[0]["name"] == "moods"
    assert [result["dataset"]["split"] for result in index[0]["results"]] == ["validation", "test"]
    assert index[0]["results"][0]["dataset"] == {
        "name": "My posts",
        "type": "me/posts",
        "split": "validation",
        "args": {"fingerprint": "fedcba9876543210"},
    }
    assert [(m["type"], m["value"], m.get("args")) for m in index[0]["results"][0]["metrics"]] == [
        ("accuracy", 0.8, None),
        ("f1", 0.79, {"average": "macro"}),
        ("f1", 0.81, {"average": "weighted"}),
    ]
    text = words(card)
    for line in (
        "License: cc-by-4.0",
        "Language of the words: en, pt-br",
        "License of the data: for research alone",
        "Rows of the training part: 2500",
        "Seed: 3",
        "Epochs: 2.0",
        "Best checkpoint: checkpoint-7",
        "Time from start to last figure: 12.5 seconds",
        "Versions: torch 2.6, transformers 5.23",
        "Parameters: 123,456; trained: 23,456",
        "What one side alone is worth, on the 90 posts with both sides:",
        "Validation part of My posts, 100 posts",
        "Modality-Dependent Sentiments Exploring for Multi-Modal Sentiment Classification.",
    ):
        assert line in text, line
    assert "/home/someone" not in card and "hf_abc" not in card and "not recorded" not in text
    assert code_blocks(card, "bash") == ["duosent train --data posts --seed 3 --hub-token ...\n"]
    for row in (
        "| accuracy | 80.00 | 71.12 to 86.66 |",  # Wilson by hand
        "| always the commonest answer | 60.00 |",
        "| negative | 28 | 12 |",
        "| positive | 8 | 52 |",
        "| picture of another post | 80.00 | 70.00 |",
        "| learning_rate | 2e-05 |",
        "| hidden_size | 16 |",
        "| num_train_epochs | 2.0 |",
    ):
        assert row in card, row
    assert "| negative | 75.00 | 70.00 | 72.00 |" in card


def test_a_card_with_nothing_says_so(tmp_path):
    folder = made_run(tmp_path / "run", run=None, metrics=None, arguments=None)
    card = write_card(folder)
    assert metadata(card, tmp_path) == {
        "license": "other",
        "license_name": "not-stated",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["image-text-classification", "multimodal", "duosent", "mdse"],
        "metrics": ["accuracy", "f1"],
    }
    text = words(card)
    for line in (
        "License: not stated",
        "Language of the words: not recorded",
        "Data: not recorded",
        "License of the data: not recorded",
        "Seed: not recorded",
        "Epochs: not recorded",
        "Best checkpoint: not recorded",
        "Recipe: not recorded",
        "No evaluation is recorded.",
        "Device: not recorded",
        "Versions: not recorded",
        "Parameters: not recorded; trained: not recorded",
        "Time from start to last figure: not recorded",
        "Calibration: not measured.",
        "Energy and emissions: not measured",
    ):
        assert line in text, line


def test_the_model_index_is_what_the_library_itself_would_write(tmp_path):
    data = metadata(write_card(made_run(tmp_path / "run")), tmp_path)
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "run" and len(results) == 3
    for result, metric in zip(results, data["model-index"][0]["results"][0]["metrics"], strict=True):
        written = metadata_eval_result(
            model_pretty_name=name,
            task_pretty_name=result.task_name,
            task_id=result.task_type,
            metrics_pretty_name=result.metric_name,
            metrics_id=result.metric_type,
            metrics_value=result.metric_value,
            metrics_config=result.metric_config,
            dataset_pretty_name=result.dataset_name,
            dataset_id=result.dataset_type,
            dataset_config=result.dataset_config,
            dataset_split=result.dataset_split,
        )["model-index"][0]["results"][0]
        ours = data["model-index"][0]["results"][0]
        assert written["task"] == ours["task"]
        assert written["dataset"] == {key: value for key, value in ours["dataset"].items() if key != "args"}
        assert written["metrics"] == [
            {key: value for key, value in metric.items() if key != "args"} | {"verified": False}
        ]


def test_several_tasks(tmp_path):
    of_task = {
        name: METRICS[name] for name in METRICS if name not in ("split", "fingerprint", "model", "data", "seed")
    }
    tasks = {"mood": of_task, "wish": of_task | {"accuracy": 0.6}}
    means = {"accuracy": 0.7, "macro_f1": 0.79, "weighted_f1": 0.81, "majority_accuracy": 0.6, "n": 100}
    sides = {
        name: {**SIDES[name], "tasks": {"mood": SIDES[name], "wish": SIDES[name]}} for name in SIDES if name != "seed"
    }
    metrics = means | {"tasks": tasks, "split": "test", "sides": sides, "joint_accuracy": 0.5, "contradictions": 0.1}
    labels = {task: ["negative", "positive"] for task in tasks}
    config = CONFIG | {"tasks": labels, "problem_type": None}
    card = write_card(made_run(tmp_path / "run", config=config, metrics=metrics))
    results = metadata(card, tmp_path)["model-index"][0]["results"]
    assert [(result["dataset"]["config"], result["metrics"][0]["value"]) for result in results] == [
        ("mood", 0.8),
        ("wish", 0.6),
    ]
    assert "| accuracy | 70.00 | not known |" in card  # a mean of shares over the same posts
    assert "| accuracy | 60.00 | 50.20 to 69.06 |" in card
    assert "mood: negative, positive" in words(card) and "| every label right | 50.00 |" in card
    assert card.count("| picture of another post | 80.00 | 70.00 |") == 3
    assert "model.config.tasks.items()" in card and "--consistent" in card


def test_several_labels_a_post(tmp_path):
    confusion = {"negative": [[50, 10], [12, 28]], "positive": [[40, 0], [8, 52]]}
    config = CONFIG | {"problem_type": "multi_label_classification"}
    folder = made_run(tmp_path / "run", config=config, metrics=METRICS | {"confusion": confusion, "micro_f1": 0.78})
    card = write_card(folder)
    assert "| macro F1 | 79.00 | not known |" in card and "| accuracy | 80.00 | 71.12 to 86.66 |" in card
    assert "| negative | 28 | 12 | 10 | 50 |" in card and ".sigmoid()" in card

    rng = np.random.default_rng(0)
    truth = [[label for label in ("negative", "positive") if rng.random() < 0.5] for _ in range(100)]
    given_labels = [list(dict.fromkeys([*row, "negative"])) if i % 5 == 0 else row for i, row in enumerate(truth)]
    table = pa.table({"true_label": [*truth, None], "label": [*given_labels, ["negative"]]})
    pq.write_table(table, folder / "predictions_validation.parquet")
    card = write_card(folder)
    assert "| macro F1 | 79.00 | not known |" not in card and "| micro F1 | 78.00 | not known |" not in card
    pq.write_table(table.slice(0, 50), folder / "predictions_validation.parquet")  # of another evaluation
    assert "| macro F1 | 79.00 | not known |" in write_card(folder)


def test_questions_about_pictures(tmp_path):
    config = CONFIG | {"model_type": "radm", "architectures": ["RadmForVisualQuestionAnswering"]}
    config["id2label"] = {str(i): f"answer {i}" for i in range(3129)}
    metrics = {
        "accuracy": 0.61,
        "n": 5000,
        "majority_accuracy": 0.2,
        "ceiling": 0.9,
        "per_answer_type": {"yes/no": {"accuracy": 0.7, "n": 2000}, "other": {"accuracy": 0.55, "n": 3000}},
        "task": "vqa",
        "num_answers": 3129,
        "split": "validation",
        "fingerprint": "f",
    }
    card = write_card(made_run(tmp_path / "vqa", config=config, metrics=metrics))
    data = metadata(card, tmp_path)
    assert data["pipeline_tag"] == "visual-question-answering" and data["metrics"] == ["accuracy"]
    assert [m["value"] for m in data["model-index"][0]["results"][0]["metrics"]] == [0.61]
    assert "one of 3129 answers" in words(card) and "5,000 questions" in words(card)
    assert "| yes/no | 70.00 | 2000 |" in card and "| accuracy | 61.00 |\n" in card
    assert "AutoModelForVisualQuestionAnswering.from_pretrained" in card and "answer 17" not in card
    assert "No intervals: the scores of single questions are not recorded." in card
    assert "https://doi.org/10.19734/j.issn.1001-3695.2024.07.0285" in card


def test_adapters(tmp_path):
    run = made_run(tmp_path / "run")
    (run / "adapters").mkdir()
    (run / "adapters" / "adapter_config.json").write_text('{"r": 8}')
    card = write_card(run)
    data = metadata(card, tmp_path)
    assert data["base_model_relation"] == "adapter" and "lora" in data["tags"]
    assert "LoRA adapters of rank 8" in words(card) and "Its encoders are read from where towers.json says" in words(
        card
    )
    assert "adapter" not in words(write_card(made_run(tmp_path / "other")))


@pytest.mark.parametrize(
    ("config", "there", "missing", "tag"),
    [
        ({"vision_config": None}, 'text="What a day", return_tensors', "images=", "text-classification"),
        ({"text_config": None}, 'images=Image.open("photo.jpg"), return_tensors', "text=", "image-classification"),
    ],
)
def test_one_side_alone(tmp_path, config, there, missing, tag):
    config = CONFIG | {"model_type": "image_text_baseline"} | config
    card = write_card(made_run(tmp_path / "run", config=config))
    data = metadata(card, tmp_path)
    assert data["pipeline_tag"] == tag and "multimodal" not in data["tags"]
    assert all(there in block and missing not in block for block in code_blocks(card, "python"))
    assert "A baseline without a paper of its own" in card
    assert ("Image encoder" in card, "Text encoder" in card) == (
        "text_config" in config and not config["text_config"],
        bool(config["text_config"]),
    )


@pytest.mark.parametrize(
    ("model_type", "paper"),
    [
        ("tfn", "https://doi.org/10.18653/v1/D17-1115"),
        ("lmf", "https://doi.org/10.18653/v1/P18-1209"),
        ("clmlf", "https://doi.org/10.18653/v1/2022.findings-naacl.175"),
        ("tombert", "https://doi.org/10.24963/ijcai.2019/751"),
    ],
)
def test_papers_of_the_baselines(tmp_path, model_type, paper):
    card = write_card(made_run(tmp_path / "run", config=CONFIG | {"model_type": model_type}))
    assert f"<{paper}>" in card
    assert ('target="sea"' in card) == (model_type == "tombert")


def test_many_labels(tmp_path):
    labels = [f"label {i}" for i in range(30)]
    metrics = METRICS | {
        "per_class": dict.fromkeys(labels, METRICS["per_class"]["negative"]),
        "confusion": np.eye(30, dtype=int).tolist(),
        "n": 30,
    }
    config = CONFIG | {"id2label": {str(i): label for i, label in enumerate(labels)}}
    card = write_card(made_run(tmp_path / "run", config=config, metrics=metrics))
    assert "label 19 and 10 more" in words(card)
    assert "The confusion matrix of 30 labels is in the file of the figures." in card


def test_a_license_in_words_gets_a_name(tmp_path):
    data = metadata(write_card(made_run(tmp_path / "run"), CardFacts(license="For research: ask us!")), tmp_path)
    assert (data["license"], data["license_name"]) == ("other", "for-research-ask-us")
    data = metadata(write_card(made_run(tmp_path / "run"), CardFacts(license="Apache-2.0")), tmp_path)
    assert data["license"] == "apache-2.0" and "license_name" not in data


# Whatever the data hold


def hostile_run(folder, text: str, labels: list[str]):
    config = copy.deepcopy(CONFIG) | {"id2label": dict(enumerate(labels))}
    config["text_config"]["_name_or_path"] = text
    run = RUN | dict.fromkeys(("data", "text_encoder", "image_encoder", "command", "device", "recipe"), text)
    run |= {"columns": {"label_column": text}, "config": {"some_field": text}, "versions": {"torch": text}}
    run |= {"training": {"some_option": text}, "from_hub": []}
    metrics = METRICS | {"split": text, "data": text, "fingerprint": text, "labels": labels}
    metrics["per_class"] = dict(zip(labels, METRICS["per_class"].values(), strict=True))
    facts = {name: text for name in ("name", "license", "data_license", "data_name") if text.strip()}
    facts["examples"] = [{"text": text, "scores": dict.fromkeys(labels, 0.5)}]
    return made_run(folder, config=config, run=run, metrics=metrics, card=facts)


def shape(card: str) -> list[tuple]:
    """Kinds and nesting of everything on the page, and the texts left out."""
    return [
        (token.type, token.tag, token.level, token.info, [(child.type, child.tag) for child in token.children or ()])
        for token in page(card)
    ]


@pytest.fixture(scope="module")
def plain_shape(tmp_path_factory):
    return shape(write_card(hostile_run(tmp_path_factory.mktemp("plain"), "plain", ["one", "two"])))


@given(text=hostile_text.filter(str.strip), labels=st.lists(hostile_text, min_size=2, max_size=2, unique=True))
def test_no_text_from_data_changes_the_page_or_the_metadata(plain_shape, tmp_path_factory, text, labels):
    folder = tmp_path_factory.mktemp("hostile")
    card = write_card(hostile_run(folder, text, labels))
    assert shape(card) == plain_shape
    for label in labels:
        assert (cleaned(label) or NOTHING) in words(card)
    for block in code_blocks(card, "python"):
        ast.parse(block)

    data = metadata(card, folder)
    assert set(data) - {"license_name"} == {
        *("license", "library_name", "pipeline_tag", "tags", "metrics", "model-index", "widget")
    }
    [result] = data["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [0.8, 0.79, 0.81]
    assert result["dataset"].get("split") == cleaned(text)
    assert data["widget"][0]["text"] == cleaned(text)
    assert is_ours(card) and is_ours(card.replace("\n", "\r\n"))


# Cards of persons


def test_a_card_that_a_person_wrote_or_changed_is_kept(tmp_path):
    folder = made_run(tmp_path / "run")
    file = save_card(folder)
    assert file == folder / CARD_FILE and file.read_text() == write_card(folder)
    (folder / "arguments.json").write_text(json.dumps(ARGUMENTS | {"learning_rate": 0.5}))
    assert "| learning_rate | 0.5 |" in save_card(folder).read_text()  # ours is brought up to date
    for own in ("# Mine\n", file.read_text().replace("not stated", "mine"), file.read_text() + "More.\n"):
        file.write_text(own)
        with pytest.raises(KeptCardError, match=r"README\.md was written or changed by a person, and is kept\."):
            save_card(folder, CardFacts(license="mit"))
        assert file.read_text() == own and not (folder / "card.json").exists()
    assert "license: mit" in save_card(folder, CardFacts(license="mit"), overwrite=True).read_text()


def test_stated_facts_are_kept_for_the_next_card(tmp_path):
    folder = made_run(tmp_path / "run")
    save_card(folder, EVERY_FACT)
    card = save_card(folder, CardFacts(license="mit")).read_text()
    assert "license: mit" in card and "for research alone" in card and 'from_pretrained("me/moods"' in card
    elsewhere = save_card(folder, file=tmp_path / "deep" / "card.md")
    assert elsewhere.read_text() == card
