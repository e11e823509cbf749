"""Posts with a side missing: in training drawn anew, in an evaluation one after the other, against a plain loop."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from datasets import Image as Picture
from PIL import Image
from sklearn.metrics import f1_score
from tiny import draw_weights

from duosent import MdseForImageTextClassification
from duosent.data.pairs import load_pairs
from duosent.processing.collator import ImageTextCollator
from duosent.processing.modality_dropout import ModalityDropout
from duosent.training.arguments import ImageTextTrainingArguments
from duosent.training.checkpoints import CallError
from duosent.training.run import evaluate, train
from duosent.training.sides import OneSide, ShuffledPictures, has_picture
from duosent.training.trainer import ImageTextTrainer

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
QUIET = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "disable_tqdm": True}


def arguments(folder, **options) -> ImageTextTrainingArguments:
    usual = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "seed": 3,
        "use_cpu": True,
        "learning_rate": 0.02,
    }
    return ImageTextTrainingArguments(str(folder), **{**usual, "disable_tqdm": True, **options})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Twelve posts a part, of which the fourth has no picture and the eighth no words."""
    folder = tmp_path_factory.mktemp("posts")
    noise = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["good", "bad", "happy", "sad", "great", "awful", "sun", "rain", "love", "fear", "joy", "anger"]
    rows = [
        {"text": word, "image": f"{i}.png", "label": "glad" if i % 2 == 0 else "sad"} for i, word in enumerate(words)
    ]
    rows[3]["image"], rows[7]["text"] = None, " "
    for part in ("train", "validation"):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def run(data, text_encoder_dir, image_encoder_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mdse"
    metrics = train(
        "mdse",
        data,
        arguments(folder, modality_dropout=0.5),
        text_encoder=text_encoder_dir,
        image_encoder=image_encoder_dir,
        config=SMALL,
        evaluate_sides=True,
    )
    return folder, metrics


@pytest.fixture(scope="module")
def checkpoint(text_encoder_dir, image_encoder_dir, processor, tmp_path_factory) -> str:
    """A model whose answers differ from post to post, of a run with seed 5."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    names = {0: "glad", 1: "sad"}
    model = MdseForImageTextClassification.from_encoders(text_encoder_dir, image_encoder_dir, id2label=names, **SMALL)
    draw_weights(model, size=4)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "run.json").write_text('{"seed": 5}')
    return str(folder)


def test_the_sides_equal_a_plain_loop(checkpoint, data, processor, tmp_path):
    how = {"batch_size": 5, "use_cpu": True, "side_predictions": str(tmp_path)}
    metrics = evaluate(checkpoint, data, "validation", sides=True, **how)
    model = MdseForImageTextClassification.from_pretrained(checkpoint).eval()
    rows = [row for row in load_pairs(data)["validation"] if row["image"]["path"] and row["text"].strip()]
    shuffled = ShuffledPictures(load_pairs(data)["validation"], seed=5)
    others = {row["id"]: row["image"] for row in (shuffled[i] for i in range(len(shuffled)))}
    truth = [row["label"] for row in rows]
    for name in ("both", "text", "image", "shuffled_images"):
        answers = []
        for row in rows:
            post = {"text": [row["text"]], "images": [row["image"]]}
            if name == "text":
                del post["images"]
            if name == "image":
                del post["text"]
            if name == "shuffled_images":
                post["images"] = [others[row["id"]]]
            with torch.no_grad():
                answers.append(model(**processor(**post, return_tensors="pt")).logits.argmax().item())
        if name != "both":
            written = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
            known = [row["label"] for row in written if row["true_label"] is not None]
            assert known == [("glad", "sad")[answer] for answer in answers]
        figures = metrics["sides"][name]
        assert figures["n"] == 10
        assert figures["accuracy"] == pytest.approx(np.mean(np.array(answers) == truth)), name
        assert figures["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro")), name
    # Figures that are all the same would prove nothing.
    assert len({metrics["sides"][name]["macro_f1"] for name in ("both", "text", "image", "shuffled_images")}) == 4
    assert metrics["n"] == 12 and metrics["sides"]["seed"] == 5


def test_evaluate_gives_the_sides_of_the_run_and_only_if_asked(run, data):
    folder, metrics = run
    assert json.loads((folder / "metrics.json").read_text())["sides"] == metrics["sides"]
    assert evaluate(str(folder), data, "validation", sides=True, use_cpu=True)["sides"] == metrics["sides"]
    assert "sides" not in evaluate(str(folder), data, "validation", use_cpu=True)


def test_nobody_keeps_their_own_picture(data):
    rows = load_pairs(data)["validation"]
    for posts in (rows, rows.select([5, 3, 1, 0, 2])):
        shuffled = ShuffledPictures(posts, seed=1)
        got = [shuffled[i] for i in range(len(shuffled))]
        paths = [row["image"] and row["image"]["path"] for row in posts]
        taken = [row["image"] and row["image"]["path"] for row in got]
        assert sorted(map(str, taken)) == sorted(map(str, paths))
        assert all((a is None) == (b is None) and (a is None or a != b) for a, b in zip(paths, taken, strict=True))
        for name in ("id", "text", "label"):
            assert [row[name] for row in got] == posts[name][:]
    first, second = ([ShuffledPictures(rows, seed)[i]["image"] for i in range(12)] for seed in (1, 2))
    assert first != second


def test_a_picture_is_bytes_or_a_path():
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    cells = [{"bytes": file.getvalue(), "path": None}, {"bytes": None, "path": "a.png"}, None]
    cells.append({"bytes": None, "path": None})
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = Dataset(pa.table({"image": pa.array(cells, kind)})).cast_column("image", Picture(decode=False))
    assert has_picture(rows) == [True, True, False, False]
    assert has_picture(rows.select([2, 1])) == [False, True]


def test_one_side_takes_labels_from_posts_without_both(processor):
    rows = [
        {"text": "good", "image": Image.new("RGB", (8, 8)), "label": 1},
        {"text": None, "image": Image.new("RGB", (8, 8)), "label": 0},
        {"text": "bad", "image": None, "label": 2},
    ]
    batch = OneSide(ImageTextCollator(processor), without="image")(rows)
    assert batch["labels"].tolist() == [1, -100, -100]
    assert batch["text_present"].tolist() == [True, False, True] and not batch["image_present"].any()
    several = [{**row, "label": [row["label"]]} for row in rows]
    batch = OneSide(ImageTextCollator(processor, num_labels=3))(several)
    assert batch["labels"].tolist() == [[0, 1, 0], [-100] * 3, [-100] * 3]
    assert batch["image_present"].tolist() == [True, True, False]


def presence(trainer) -> list[tuple]:
    """What the model was trained with, post by post; a batch of which all have a side does not say so."""
    seen = []

    def see(module, args, inputs):
        words = inputs["input_ids"].tolist()
        sides = [
            inputs[name].tolist() if name in inputs else [True] * len(words)
            for name in ("text_present", "image_present")
        ]
        seen.extend(zip(words, *sides, strict=True))

    trainer.model.register_forward_pre_hook(see, with_kwargs=True)
    trainer.train()
    return seen


@pytest.mark.parametrize("augment", [False, True], ids=["as they are", "augmented"])
def test_training_posts_lose_a_side_and_no_others(tiny_mdse, rows, processor, tmp_path, augment):
    args = arguments(tmp_path, modality_dropout=0.5, augment=augment, augment_synonyms=0.0, **QUIET)
    trainer = ImageTextTrainer(tiny_mdse(), args, ImageTextCollator(processor), rows, rows)
    seen = sorted(presence(trainer))
    expected = []
    collator = ModalityDropout(ImageTextCollator(processor), 0.5, seed=3)
    for epoch in (0, 1):
        collator.set_epoch(epoch)
        batch = collator(list(rows))
        sides = (batch["input_ids"].tolist(), batch["text_present"].tolist(), batch["image_present"].tolist())
        expected += list(zip(*sides, strict=True))
    assert seen == sorted(expected)
    assert {True, False} == {text for _, text, _ in seen} == {image for _, _, image in seen}
    for loader in (trainer.get_eval_dataloader(), trainer.get_test_dataloader(rows)):
        batches = list(loader)
        assert batches and not any({"text_present", "image_present"} & batch.keys() for batch in batches)


def test_wrong_calls_are_one_sentence(run, data, text_encoder_dir, tmp_path):
    folder, _ = run
    words = tmp_path / "words"
    words.mkdir()
    (words / "test.jsonl").write_text('{"text": "good", "label": "glad"}\n')
    options = {"text_encoder": text_encoder_dir}
    for call, message in [
        (
            lambda: train("text", data, arguments(tmp_path / "a"), evaluate_sides=True, **options),
            "sides must go with a model that reads words and pictures, got one of words only.",
        ),
        (
            lambda: train("text", data, arguments(tmp_path / "b", modality_dropout=0.1), **options),
            "modality_dropout must go with a model that reads words and pictures, got one of words only.",
        ),
        (
            lambda: evaluate(str(folder), str(words), sides=True, use_cpu=True),
            "The test part must hold a post with words and a picture to evaluate the sides, got none.",
        ),
    ]:
        with pytest.raises(CallError) as error:
            call()
        assert str(error.value) == message
    with pytest.raises(ValueError, match=r"^modality_dropout must lie in \[0, 1\], got 1.5\.$"):
        arguments(tmp_path, modality_dropout=1.5)
