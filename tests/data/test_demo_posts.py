import hashlib
import io
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from duosent.data.demo_posts import (
    DRAWINGS,
    RECIPES,
    TEMPLATES,
    ceiling,
    make_demo_encoders,
    make_demo_posts,
    sentences,
    train_demo_tokenizer,
)
from duosent.data.pairs import load_pairs

SPLITS = {"train": 80, "validation": 20, "test": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_demo_posts(tmp_path_factory.mktemp("posts"), **SPLITS, seed=3)


@pytest.fixture(scope="module")
def posts(folder):
    return {split: pq.read_table(folder / f"{split}.parquet").to_pylist() for split in SPLITS}


def every(posts):
    return [post for rows in posts.values() for post in rows]


def test_load_pairs_reads_what_is_written(folder):
    pairs = load_pairs(str(folder))
    assert {split: len(rows) for split, rows in pairs.items()} == SPLITS
    assert pairs["train"].features["label"].names == ["negative", "positive"]


def test_each_row_holds_the_columns_and_a_picture_of_64_by_64(posts):
    formats = set()
    for post in every(posts):
        assert set(post) == {
            *("id", "text", "image", "label", "text_label", "image_label", "kind"),
            *("text_rationale", "image_rationale"),
        }
        picture = Image.open(io.BytesIO(post["image"]["bytes"]))
        assert picture.size == (64, 64)
        assert post["image"]["path"] == f"{post['id']}.{picture.format.lower()}"
        formats.add(picture.format)
    assert formats == {"PNG", "JPEG"}


def test_kinds_and_labels_have_their_shares(posts):
    for rows in posts.values():
        kinds = Counter(post["kind"] for post in rows)
        assert kinds == {"words": 0.4 * len(rows), "picture": 0.4 * len(rows), "both": 0.2 * len(rows)}
        for kind in kinds:
            labels = Counter(post["label"] for post in rows if post["kind"] == kind)
            assert labels["positive"] == labels["negative"]


def test_a_side_has_a_label_only_where_it_says_something_alone(posts):
    for post in every(posts):
        assert post["text_label"] == (post["label"] if post["kind"] == "words" else None)
        assert post["image_label"] == (post["label"] if post["kind"] == "picture" else None)


def test_no_sentence_and_no_picture_occurs_twice(posts):
    rows = every(posts)
    assert len({post["id"] for post in rows}) == len(rows)
    assert len({post["text"] for post in rows}) == len(rows)
    assert len({post["image"]["bytes"] for post in rows}) == len(rows)


def test_the_seed_decides_every_byte(folder, tmp_path):
    def digest(path):
        return hashlib.sha256((path / "train.parquet").read_bytes()).hexdigest()

    assert digest(make_demo_posts(tmp_path / "same", **SPLITS, seed=3)) == digest(folder)
    assert digest(make_demo_posts(tmp_path / "other", **SPLITS, seed=4)) != digest(folder)


def test_ceilings_worked_by_hand():
    # Words tell 40 %; of the other 60 % a guess gets half. The picture likewise. Both together tell all.
    assert ceiling("words") == ceiling("picture") == 0.7
    assert ceiling("both") == 1.0


def test_ceiling_refuses_an_unknown_side():
    with pytest.raises(ValueError, match="side must be words, picture or both, got 'text'"):
        ceiling("text")


def test_where_both_are_needed_neither_side_says_anything():
    for side in ("words", "picture"):
        labels_of = defaultdict(Counter)
        for recipe in RECIPES:
            if recipe.kind == "both":
                labels_of[getattr(recipe, side)][recipe.label] += 1
        assert len(labels_of) == 2
        assert all(labels["positive"] == labels["negative"] for labels in labels_of.values())


def test_a_sentence_has_one_meaning_and_each_meaning_is_used():
    built = [sentence for meaning in TEMPLATES for sentence in sentences(meaning)]
    assert len(built) == len(set(built))
    assert {recipe.words for recipe in RECIPES} == set(TEMPLATES)
    assert {recipe.picture for recipe in RECIPES} == set(DRAWINGS)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_part_without_posts_is_refused(split, tmp_path):
    with pytest.raises(ValueError, match=f"{split} must be >= 1, got 0"):
        make_demo_posts(tmp_path, **{split: 0})


def test_more_posts_than_sentences_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(TEMPLATES, "nothing", [["we walked", ["home", "away"]]])
    with pytest.raises(ValueError, match="got 60 posts and 2 sentences of 'nothing'"):
        make_demo_posts(tmp_path, train=20, validation=20, test=20)


def test_the_tokenizer_reads_lower_case_and_two_segments():
    tokenizer = train_demo_tokenizer(["a picnic with you", "what lovely weather"])
    row = tokenizer("Lovely picnic", "unheard weather")
    words = ["[CLS]", "lovely", "picnic", "[SEP]", "[UNK]", "weather", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == words
    assert row["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]


def test_the_encoders_load_with_their_processors_and_read_the_posts(posts, tmp_path):
    texts = [post["text"] for post in posts["train"]]
    before = torch.get_rng_state()
    text_dir, image_dir = make_demo_encoders(tmp_path, texts, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (text_dir.name, image_dir.name) == ("text_encoder", "image_encoder")
    assert (text_dir / "model.safetensors").is_file() and (image_dir / "model.safetensors").is_file()

    words = AutoTokenizer.from_pretrained(text_dir)(texts, padding=True, return_tensors="pt")
    assert words["input_ids"].ne(AutoTokenizer.from_pretrained(text_dir).unk_token_id).all()
    tokens = AutoModel.from_pretrained(text_dir)(**words).last_hidden_state
    assert tokens.shape == (len(texts), words["input_ids"].shape[1], 64)

    picture = Image.open(io.BytesIO(posts["train"][0]["image"]["bytes"]))
    pixels = AutoImageProcessor.from_pretrained(image_dir)(picture, return_tensors="pt")
    assert AutoModel.from_pretrained(image_dir)(**pixels).last_hidden_state.shape == (1, 1 + 8 * 8, 64)


def test_the_seed_decides_the_weights(tmp_path):
    made = [make_demo_encoders(tmp_path / str(n), ["a picnic"], seed)[1] for n, seed in enumerate((0, 0, 1))]
    first, same, other = ((path / "model.safetensors").read_bytes() for path in made)
    assert first == same
    assert first != other


def test_every_sentence_fits_the_positions_of_the_encoder():
    built = [sentence for meaning in TEMPLATES for sentence in sentences(meaning)]
    tokenizer = train_demo_tokenizer(built)
    assert max(len(ids) for ids in tokenizer(built)["input_ids"]) < tokenizer.model_max_length
