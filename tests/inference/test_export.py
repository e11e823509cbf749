"""`duosent export`: one graph for any number of posts and any length, in a folder of its own, as the model answers."""

import hashlib
import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch
from commands import call, wrong_call
from exports import assert_graph_of, assert_the_same_logits, random_posts, save_checkpoint, tiny_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.testing import assert_close
from transformers import pipeline

from duosent import RadmForVisualQuestionAnswering, __version__
from duosent.inference.export import export
from duosent.inference.onnx_model import OnnxModelForImageTextClassification
from duosent.processing.collator import ImageTextCollator

TASKS = {"mood": ["sad", "glad"], "desire": ["none", "family", "love"]}
# Words, picture, and two labels.
POSTS = [
    ("good sun", "green", "positive", "sun"),
    ("bad rain", "red", "negative", "rest"),
    ("the dog", None, "neutral", "rest"),
    (None, "red", "negative", "rest"),
    ("so happy we love it", "green", "positive", "sun"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    for colour in ("red", "green"):
        Image.new("RGB", (32, 32), colour).save(folder / f"{colour}.png")
    rows = [
        {"id": f"p{number}", "text": text, "image": colour and f"{colour}.png", "feeling": label, "about": about}
        for number, (text, colour, label, about) in enumerate(POSTS)
    ]
    (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_classifier("mdse", tokenizer)


@pytest.fixture(scope="module")
def checkpoint(model, processor, tmp_path_factory) -> str:
    return save_checkpoint(model, processor, tmp_path_factory.mktemp("mdse"))


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory) -> Path:
    """MDSE as ONNX."""
    folder = tmp_path_factory.mktemp("exports") / "mdse"
    export(checkpoint, str(folder), command="duosent export ...")
    return folder


@pytest.fixture(scope="module")
def run(folder) -> OnnxModelForImageTextClassification:
    return OnnxModelForImageTextClassification.from_pretrained(folder)


@settings(max_examples=40)
@given(rows=st.integers(1, 9), length=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_the_graph_gives_the_logits_of_the_model_for_any_number_and_length(model, run, rows, length, seed):
    assert_the_same_logits(model, run, rows, length, seed)


@given(rows=st.integers(1, 5), length=st.integers(1, 30), more=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_padding_changes_nothing_and_rows_do_not_see_each_other(run, rows, length, more, seed):
    posts = random_posts(rows, length, seed)
    together = run(**posts).logits
    pad = torch.nn.functional.pad
    words = {name: pad(posts[name], (0, more), value=1) for name in ("input_ids", "token_type_ids")}
    words["attention_mask"] = pad(posts["attention_mask"], (0, more))
    assert_close(run(**{**posts, **words}).logits, together, atol=1e-4, rtol=0)
    for row in range(rows):
        alone = run(**{name: tensor[[row]] for name, tensor in posts.items()}).logits
        assert_close(alone, together[[row]], atol=1e-4, rtol=0)


def test_a_side_that_no_post_has_may_be_none(model, run):
    posts = random_posts(3, 6, seed=0)
    posts["text_present"][:] = posts["image_present"][:] = True
    posts["attention_mask"][:] = 1
    words = ("input_ids", "attention_mask", "token_type_ids", "text_present")
    for side in (words, ("pixel_values", "image_present")):
        without = {name: tensor for name, tensor in posts.items() if name not in side}
        with torch.no_grad():
            expected = model(**without).logits
        assert_close(run(**without).logits, expected, atol=1e-4, rtol=0)
        assert not torch.allclose(run(**posts).logits, expected, atol=1e-2)
    alone = {name: posts[name] for name in ("input_ids", "token_type_ids", "pixel_values")}
    assert torch.equal(run(**alone).logits, run(**posts).logits)  # all there, unless a caller says else


def test_what_the_graph_cannot_read_is_one_sentence(run):
    posts = random_posts(2, 5, seed=0)
    del posts["token_type_ids"]
    with pytest.raises(ValueError, match="^token_type_ids must be given with input_ids"):
        run(**posts)
    long = random_posts(2, 70, seed=0)
    with pytest.raises(
        ValueError, match=r"^input_ids must be .* \(batch, length\) with length from 1 to 64, got \(2, 70"
    ):
        run(**long)
    with pytest.raises(ValueError, match=r"^pixel_values must be .* \(batch, 3, 32, 32\), got \(1, 3, 16, 16"):
        run(pixel_values=torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="input_ids or pixel_values must be given"):
        run()


def test_the_folder_is_all_that_is_needed(folder, model):
    files = {file.name for file in folder.iterdir()}
    assert {"model.onnx", "config.json", "export.json", "tokenizer.json", "processor_config.json"} <= files
    assert not files & {"model.safetensors", "model.onnx.data", "model.pt2", "modeling_mdse.py"}
    record = json.loads((folder / "export.json").read_text())
    assert (record["format"], record["precision"], record["command"]) == ("onnx", "float32", "duosent export ...")
    assert record["inputs"]["pixel_values"] == {"type": "float32", "shape": ["batch", 3, 32, 32]}
    assert record["inputs"]["input_ids"] == {"type": "int64", "shape": ["batch", "length"], "longest": 64}
    assert record["bytes"] == {"float32": (folder / "model.onnx").stat().st_size}
    assert record["versions"]["torch"] == torch.__version__ and record["versions"]["duosent"] == __version__
    assert 0 < record["parity"]["made_up_posts"]["float32"] < 1e-4

    digest = hashlib.sha256()
    for name in sorted(model.state_dict()):
        tensor = model.state_dict()[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    assert record["weights"] == digest.hexdigest()[:16]

    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph)
    [opset] = graph.opset_import
    assert opset.version == record["opset"]
    axes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.graph.input, *graph.graph.output)}
    assert [size.dim_param for size in axes["input_ids"]] == ["batch", "length"]
    assert (axes["logits"][0].dim_param, axes["logits"][1].dim_value) == ("batch", 3)
    assert b".py" not in graph.SerializeToString()  # no path of this machine


def test_predict_answers_as_it_does_by_torch(capsys, checkpoint, folder, data, tmp_path):
    post = ["--text", "good sun", "--image", f"{data}/green.png", "--json"]
    ways = {"torch": [checkpoint], "onnx": [folder, "--backend", "onnx"]}
    torch_answer, onnx_answer = (json.loads(call(capsys, "predict", *words, *post)[1]) for words in ways.values())
    assert onnx_answer["label"] == torch_answer["label"]
    assert onnx_answer["scores"] == pytest.approx(torch_answer["scores"], abs=1e-4)

    for name, words in ways.items():
        table = ["--data", data, "--output", tmp_path / name, "--batch-size", "2", "--with-sides"]
        done = call(capsys, "predict", *words, *table)
        assert done[0] == 0, done
    torch_rows, onnx_rows = (
        pq.read_table(tmp_path / name / "predictions-00000.parquet") for name in ("torch", "onnx")
    )
    assert onnx_rows["id"] == torch_rows["id"] and onnx_rows["label"] == torch_rows["label"]
    columns = [name for name in torch_rows.column_names if "score_" in name]
    assert len(columns) == 9
    for column in columns:
        np.testing.assert_allclose(
            *(np.array(rows[column], dtype=float) for rows in (onnx_rows, torch_rows)), atol=1e-4
        )


def test_the_pipeline_takes_it_in_place_of_the_model(checkpoint, run):
    task = "image-text-classification"
    by_torch = pipeline(task, model=checkpoint, device="cpu")
    by_onnx = pipeline(task, model=run, processor=by_torch.processor, device="cpu")
    green = Image.new("RGB", (32, 32), "green")
    for post in ({"text": "good sun", "image": green}, "the rain", green):
        expected = {answer["label"]: answer["score"] for answer in by_torch(post, top_k=None)}
        assert {answer["label"]: answer["score"] for answer in by_onnx(post, top_k=None)} == pytest.approx(
            expected, abs=1e-4
        )
    posts = [{"text": "good sun"}, {"image": green}, {"text": "so bad", "image": green}]
    labels = [[answer["label"] for answer in answers] for answers in by_torch(posts)]
    assert [[answer["label"] for answer in answers] for answers in by_onnx(posts, batch_size=2)] == labels
    assert "image" in repr(by_onnx)


@pytest.mark.slow
def test_radm_keeps_its_logits(tokenizer, processor, tmp_path):
    model = tiny_classifier("radm", tokenizer, num_interaction_layers=2, num_fusion_layers=1)
    assert_graph_of(model, processor, tmp_path, examples=20)


def test_eight_bits_by_the_command(capsys, tokenizer, processor, data, tmp_path):
    """Words alone, two labels at once: the report, the weights in eight bits, and what answers."""
    tasks = {"feeling": ["negative", "neutral", "positive"], "about": ["sun", "rest"]}
    model = tiny_classifier("text", tokenizer, id2label=None, num_labels=5, tasks=tasks)
    checkpoint = save_checkpoint(model, processor, tmp_path / "text")
    folder, words = tmp_path / "out", ["--label", "feeling", "--label", "about"]
    code, out, err = call(capsys, "export", checkpoint, "--int8", "--output", folder, "--data", data, *words, "--json")
    assert code == 0, err
    record = json.loads(out)
    assert (record["precision"], record["output_dir"]) == ("int8", str(folder))
    assert record["bytes"]["int8"] == (folder / "model.onnx").stat().st_size < record["bytes"]["float32"]
    found = record["parity"]["data"]
    assert (found["split"], found["eager"]["posts"]) == ("validation", len(POSTS))

    graph = OnnxModelForImageTextClassification.from_pretrained(folder)
    batch = ImageTextCollator(processor)([{"text": post[0], "image": None} for post in POSTS])
    with torch.no_grad():
        exact = model(**batch).logits.numpy()
    eight = graph(**batch).logits.numpy()
    assert found["int8"]["largest_logit_difference"] == pytest.approx(np.abs(eight - exact).max(), rel=1e-3)
    assert found["float32"]["largest_logit_difference"] < 1e-4 < found["int8"]["largest_logit_difference"] < 0.5

    truth = [(tasks["feeling"].index(post[2]), tasks["about"].index(post[3])) for post in POSTS]
    answers = {
        name: [(row[:3].argmax(), row[3:].argmax()) for row in logits]
        for name, logits in (("eager", exact), ("int8", eight))
    }
    same = [answer == other for answer, other in zip(answers["int8"], answers["eager"], strict=True)]
    assert found["int8"]["label_agreement"] == sum(same) / len(same)
    right = {}
    for name, given_answers in answers.items():
        right[name] = (np.array(given_answers) == np.array(truth)).mean()  # two tasks of as many posts
        assert found[name]["accuracy"] == pytest.approx(right[name])
    assert found["int8"]["accuracy_lost"] == pytest.approx(right["eager"] - right["int8"])

    stored = onnx.load(folder / "model.onnx").graph
    # Of the tower's layer queries, keys, values, output and feed-forward, and the classifier's two.
    assert [node.op_type for node in stored.node].count("MatMulInteger") == 8
    kinds = {tensor.name: tensor.data_type for tensor in stored.initializer}
    embeddings = [kind for name, kind in kinds.items() if name.endswith("embeddings.weight_quantized")]
    assert embeddings == [onnx.TensorProto.UINT8] * 3


def test_torch_export_writes_a_program(capsys, data, tokenizer, processor, tmp_path):
    model = tiny_classifier("image", tokenizer, problem_type="multi_label_classification")
    checkpoint = save_checkpoint(model, processor, tmp_path / "image")
    folder = tmp_path / "out"
    code, out, err = call(capsys, "export", checkpoint, "--format", "torch-export", "--output", folder, "--data", data)
    assert code == 0, err
    assert "validation, 5 posts" in out and "accuracy" not in out  # no column label in the data
    assert f"The torch-export graph in float32 is in {folder}." in out
    program = torch.export.load(folder / "model.pt2").module()
    for rows in (1, 4):
        posts = {name: random_posts(rows, 1, seed=rows)[name] for name in ("pixel_values", "image_present")}
        with torch.no_grad():
            assert_close(program(**posts), model(**posts).logits, atol=1e-4, rtol=0)
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        pickles = [name for name in archive.namelist() if archive.read(name)[:2] in (b"PK", b"\x80\x02")]
    assert not pickles
    sentence = wrong_call(capsys, "predict", folder, "--image", __file__, "--backend", "onnx")
    assert "was exported as torch-export; backend onnx runs what --format onnx wrote." in sentence


def test_a_wrong_call_is_one_sentence(capsys, checkpoint, folder, data, tokenizer, processor, tmp_path, monkeypatch):
    out = ["--output", tmp_path / "out"]
    assert "the following arguments are required: --output." in wrong_call(capsys, "export", checkpoint)
    assert "--format: invalid choice" in wrong_call(capsys, "export", checkpoint, *out, "--format", "tflite")
    refused = wrong_call(capsys, "export", checkpoint, *out, "--format", "torch-export", "--int8")
    assert "int8 must go with format onnx, got torch-export." in refused
    assert "split must go with data" in wrong_call(capsys, "export", checkpoint, *out, "--split", "test")
    assert "has no test part, only validation." in wrong_call(
        capsys, "export", checkpoint, *out, "--data", data, "--split", "test"
    )
    assert f"output_dir {folder} is not empty" in wrong_call(capsys, "export", checkpoint, "--output", folder)
    own = wrong_call(capsys, "export", checkpoint, "--output", checkpoint, "--overwrite")
    assert "output_dir must not be the checkpoint's own folder" in own
    assert "is neither a folder with a checkpoint" in wrong_call(capsys, "export", "nowhere", *out)

    asked = tiny_classifier("radm", tokenizer).config
    questions = save_checkpoint(RadmForVisualQuestionAnswering(asked), processor, tmp_path / "vqa")
    assert "only classifiers are exported." in wrong_call(capsys, "export", questions, *out)

    post = ["--text", "good sun"]
    assert "an exported model (onnx) and no checkpoint: duosent predict runs it with --backend onnx." in wrong_call(
        capsys, "predict", folder, *post
    )
    assert "is no folder of duosent export" in wrong_call(capsys, "predict", checkpoint, *post, "--backend", "onnx")
    refused = wrong_call(capsys, "predict", folder, *post, "--backend", "onnx", "--device", "cuda")
    assert "device must be cpu with backend onnx, got cuda." in refused
    refused = wrong_call(capsys, "predict", folder, *post, "--backend", "onnx", "--dtype", "bfloat16")
    assert "dtype must go with backend torch, got bfloat16: an exported graph has types of its own." in refused

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name))
    needed = 'needs onnx and onnxscript and onnxruntime, not installed here: pip install "duosent[onnx]".'
    assert needed in wrong_call(capsys, "export", checkpoint, *out)
    refused = wrong_call(capsys, "predict", folder, *post, "--backend", "onnx")
    assert 'needs onnxruntime, which is not installed: pip install "duosent[onnx]".' in refused
    assert not (tmp_path / "out").exists()


def test_a_graph_that_says_something_else_is_no_export(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr("duosent.inference.export.largest_difference", lambda *models: 0.01)
    monkeypatch.setattr("duosent.inference.export._write", lambda *rest: ({"float32": None}, {"float32": 1}))
    with pytest.raises(RuntimeError, match="must give the model's logits to 0.001, but differs by 0.01"):
        export(checkpoint, str(tmp_path / "out"))
    assert not (tmp_path / "out" / "export.json").exists()
