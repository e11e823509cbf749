"""The examples run as they stand, on tiny encoders and drawn posts."""

import json
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from tiny import build
from transformers import pipeline

from duosent import MdseForImageTextClassification
from duosent.data.demo_posts import make_demo_posts
from duosent.hub_cards.publishing import HANDLER

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TRAINING = {
    "01_fine_tune_mdse.py": ["--hidden-size", "16"],
    "02_fine_tune_radm.py": ["--hidden-size", "16"],
}


def run_example(name: str, *words) -> None:
    before = sys.argv
    sys.argv = [name, *map(str, words)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> Path:
    return make_demo_posts(tmp_path_factory.mktemp("posts"), train=16, validation=8, test=1)


def test_every_example_is_tried_here():
    names = {file.name for file in EXAMPLES.glob("*.py")}
    assert names == {
        *TRAINING,
        "03_predict.py",
        "04_plain_transformers.py",
        "05_pretrain_radm_on_vqa.py",
        "06_pipeline.py",
        "07_train_and_push.py",
        "08_call_an_endpoint.py",
        "score_with_spark.py",
    }


@pytest.mark.parametrize("training", TRAINING)
def test_fine_tune_then_ask(training, posts, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    encoders = ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]
    checkpoint = tmp_path / "run"
    run_example(training, "--data", posts, *encoders, "--output-dir", checkpoint, "--epochs", 1, *TRAINING[training])
    assert "accuracy" in capsys.readouterr().out

    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    post = ["--text", "so happy", "--image", tmp_path / "photo.jpg"]
    run_example("03_predict.py", checkpoint, *post)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["both", "words alone", "picture alone"]
    run_example("04_plain_transformers.py", checkpoint, *post)
    assert "hidden states" in capsys.readouterr().out
    run_example("06_pipeline.py", checkpoint, *post)
    lines = capsys.readouterr().out.splitlines()
    names = ["best", "all", *["0.2 and more"] * 3, "row 0", "row 1", "row 2", "row 3", "refused"]
    assert [line.split(":")[0] for line in lines] == names and "must lead to a public address" in lines[-1]


def test_train_and_push(posts, text_encoder_dir, image_encoder_dir, start_hub, tmp_path):
    words = ["--data", str(posts), "--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]
    words += ["--repo", "anna/moods", "--license", "mit", "--output-dir", str(tmp_path / "run")]
    words += ["--hidden-size", "16", "--epochs", "1"]
    command = [sys.executable, str(EXAMPLES / "07_train_and_push.py"), *words]
    done = subprocess.run(
        command, env=start_hub(tmp_path / "hub"), capture_output=True, text=True, cwd=EXAMPLES.parent
    )
    assert done.returncode == 0, done.stderr[-2000:]
    there = tmp_path / "hub" / "models" / "anna" / "moods"
    names = {file.name for file in there.iterdir() if file.is_file()}
    assert names >= {"model.safetensors", "processor_config.json", "README.md", "modeling_mdse.py"}
    assert not [name for name in names if not name.endswith((".json", ".safetensors", ".md", ".py", ".gitattributes"))]
    card = ModelCard.load(there / "README.md").data
    assert card.license == "mit" and card.eval_results[0].metric_type == "accuracy"


class OverHttp(BaseHTTPRequestHandler):
    """An endpoint as a server runs it: the body of a request to the handler, its answer back."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(self.server.handle_post(request)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def test_call_an_endpoint(processor, tmp_path, capsys):
    build(MdseForImageTextClassification).save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    with ThreadingHTTPServer(("127.0.0.1", 0), OverHttp) as server:
        server.handle_post = runpy.run_path(str(HANDLER))["EndpointHandler"](str(tmp_path / "checkpoint"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        run_example("08_call_an_endpoint.py", url, "--text", "so happy", "--image", tmp_path / "photo.jpg")
        server.shutdown()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["both", "words alone", "picture alone", "refused"]
    assert lines[-1].endswith("must be base64 or an address on the web, got 'photo.jpg'.")


def test_what_spark_runs(processor, tmp_path):
    """The function of the UDF, on batches as Spark hands them over."""
    build(MdseForImageTextClassification).save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    picture = (tmp_path / "photo.jpg").read_bytes()
    score = runpy.run_path(str(EXAMPLES / "score_with_spark.py"))["scorer"](str(tmp_path / "checkpoint"))
    batches = [
        (pd.Series(["so happy", None, "sad"]), pd.Series([picture, picture, None])),
        (pd.Series(["so happy", "a dog", None]), pd.Series([None, b"no picture", None])),
    ]
    good, mixed = list(score(iter(batches)))
    assert list(good.columns) == ["label", "score", "reason"] and str(good["score"].dtype) == "float64"
    classify = pipeline("image-text-classification", model=str(tmp_path / "checkpoint"), device="cpu")
    posts = [{"text": "so happy", "image": picture}, {"image": picture}, {"text": "sad"}]
    for row, post in zip(good.to_dict("records"), posts, strict=True):
        [own] = classify(post)
        assert row["label"] == own["label"] and row["score"] == pytest.approx(own["score"], abs=1e-5)
    assert good["reason"].isna().all()
    assert mixed["label"].isna().tolist() == [False, True, True] == mixed["score"].isna().tolist()
    assert "cannot be read as a picture" in mixed["reason"][1] and "got neither" in mixed["reason"][2]


def test_pretrain_then_fine_tune(posts, vqa_data, text_encoder_dir, image_encoder_dir, tmp_path, capsys):
    encoders = ["--text-encoder", text_encoder_dir, "--image-encoder", image_encoder_dir]
    small = ["--output-dir", tmp_path, "--hidden-size", 16, "--vqa-epochs", 1, "--epochs", 1]
    run_example("05_pretrain_radm_on_vqa.py", "--vqa", vqa_data, "--data", posts, *encoders, *small)
    out = capsys.readouterr().out
    assert "yes/no" in out and "ceiling 0.720" in out and "macro F1" in out
    assert (tmp_path / "vqa" / "metrics.json").is_file() and (tmp_path / "radm" / "model.safetensors").is_file()
