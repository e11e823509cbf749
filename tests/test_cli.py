"""Commands as a person and a program meet them: sentences, exit codes, tables, JSON."""

import io
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import call, wrong_call
from PIL import Image

from duosent import __version__
from duosent.cli import COMMANDS, main
from duosent.configuration.configuration_baselines import BaselineConfig
from duosent.configuration.configuration_clmlf import ClmlfConfig
from duosent.configuration.configuration_lmf import LmfConfig
from duosent.configuration.configuration_mdse import MdseConfig
from duosent.configuration.configuration_radm import RadmConfig
from duosent.configuration.configuration_tfn import TfnConfig
from duosent.configuration.configuration_tombert import TombertConfig
from duosent.parsing import CommandParser
from duosent.train_flags import LABEL_FIELDS, TOWER_FIELDS, config_fields, read_train_flags

SMALL = ["--hidden_size", "16", "--num-attention-heads=2", "--intermediate_size", "32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("posts")
    for name, colour in (("red", (220, 30, 30)), ("green", (30, 220, 30))):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    rows = [
        {"id": f"{i}", "text": text, "image": image, "mood": mood}
        for i, (text, image, mood) in enumerate(
            [("good sun", "green.png", "glad"), ("bad rain", "red.png", "sad"), ("great dog", "green.png", "glad")] * 2
        )
    ]
    for part in ("train", "validation"):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.fixture(scope="module")
def trained(data, text_encoder_dir, image_encoder_dir, tmp_path_factory) -> tuple[str, dict]:
    """A checkpoint by `duosent train`, and the JSON that it printed."""
    folder = str(tmp_path_factory.mktemp("runs") / "mdse")
    words = ["train", "--model", "mdse", "--data", data, "--label", "mood", "--output-dir", folder]
    words += ["--text-encoder", text_encoder_dir, "--image_encoder", image_encoder_dir, *SMALL, "--no_image_private"]
    words += ["--num_train_epochs", "1", "--image-learning-rate", "none", "--use-cpu", "--seed", "5", "--json"]
    printed = io.StringIO()
    before, sys.stdout = sys.stdout, printed
    try:
        assert main(words) == 0
    finally:
        sys.stdout = before
    return folder, json.loads(printed.getvalue())


def test_help_needs_neither_torch_nor_transformers():
    script = (
        "import sys, time; sys.argv[0] = 'duosent'; start = time.perf_counter()\n"
        "from duosent.cli import COMMANDS, main\n"
        "for words in [[], ['--help'], *([name, '--help'] for name in COMMANDS)]:\n"
        "    try: assert main(words) == 0\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.perf_counter() - start < 1\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_the_module_is_the_command():
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "duosent", "predcit"], capture_output=True, text=True)
    assert time.perf_counter() - start < 1
    assert done.returncode == 2
    assert done.stderr == "duosent: there is no command predcit; did you mean predict?\n"


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"duosent {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evaluate", "c"], "duosent evaluate: the following arguments are required: --data."),
        (["evaluate", "c", "--data", "d", "--spilt", "x"], "there is no argument --spilt; did you mean --split?"),
        (["predict", "c"], "give either --text and --image (or one of the two) or --data."),
        (["predict", "c", "--text", "t", "--data", "d"], "give either --text and --image"),
        (["predict", "c", "--data", "d"], "--data needs --output."),
        (["predict", "c", "--image", "no.jpg"], "--image no.jpg is not a file."),
        (["predict", "c", "--text", "t"], "c is neither a folder with a checkpoint nor a model that the Hub gives."),
        (["train", "--model", "bert"], "argument --model: invalid choice: 'bert'"),
        (["demo", "--seed", "x"], "argument --seed: invalid int value: 'x'."),
    ],
)
def test_a_wrong_call_is_one_sentence(capsys, words, sentence):
    assert sentence in wrong_call(capsys, *words)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--hiden_size", "16"], "there is no flag --hiden_size; did you mean --hidden_size?"),
        (["--learning-rat", "1"], "there is no flag --learning_rat; did you mean --learning_rate?"),
        (["--out-put-dir", "x"], "there is no flag --out_put_dir; did you mean --output-dir?"),
        (["--residual_attention", "add"], "--residual_attention is a flag of model radm, not of mdse."),
        (["--hidden_size", "many"], "--hidden_size must be a whole number, got many."),
        (["--contrastive_weight", "a"], "--contrastive_weight must be a number, got a."),
        (["--hidden_size"], "--hidden_size takes one value, got 0."),
        (["--freeze_text", "maybe"], "--freeze_text must be true or false, got maybe."),
        (["--learning_rate", "fast"], "--learning-rate: invalid float value: 'fast'."),
        (["--learning_rate", "-1"], "learning_rate must be > 0, got -1.0."),
        (["--learning_rate", "none"], "--learning_rate cannot be none."),
        (["stray"], "there is no flag for stray to belong to."),
        (["--private_similarity", "median"], 'private_similarity must be "sum" or "mean", got \'median\'.'),
        ([], "text_encoder must be given for model mdse."),
        (["--text-encoder", "t"], "image_encoder must be given for model mdse."),
    ],
)
def test_a_wrong_training_flag_is_one_sentence(capsys, data, tmp_path, flags, sentence):
    words = ["train", "--model", "mdse", "--data", data, "--output-dir", tmp_path / "out", *flags]
    assert sentence in wrong_call(capsys, *words)
    assert not (tmp_path / "out").exists()


def test_every_config_field_is_a_flag():
    own = {"tfn": TfnConfig, "lmf": LmfConfig, "clmlf": ClmlfConfig, "tombert": TombertConfig}
    for model, config in {"mdse": MdseConfig, "radm": RadmConfig, "concat": BaselineConfig, **own}.items():
        saved = config(text_config={"model_type": "bert"}, vision_config={"model_type": "vit"}).to_diff_dict()
        # What PreTrainedConfig says about itself is no field of ours.
        fields = set(saved) - {
            "model_type",
            "transformers_version",
            "architectures",
            "dtype",
            *TOWER_FIELDS,
            *LABEL_FIELDS,
        }
        assert fields <= set(config_fields(model)), model
    assert "contrastive_views" in config_fields("mdse") and "cross_modal" in config_fields("radm")


def test_flags_become_values(tmp_path):
    words = "--hidden-size 384 --private_similarity=sum --contrastive-weight 0.5 --freeze_image --no-text-private"
    words += " --contrastive_views text,fused --attn-implementation eager --text_learning_rate none --no_bf16"
    words += " --load_best_model_at_end false --num-train-epochs=2"
    config, arguments = read_train_flags(
        words.replace(" --no_bf16", "").split(), "mdse", str(tmp_path), CommandParser()
    )
    assert config == {
        "hidden_size": 384,
        "private_similarity": "sum",
        "contrastive_weight": 0.5,
        "freeze_image": True,
        "text_private": False,
        "contrastive_views": ("text", "fused"),
        "attn_implementation": "eager",
    }
    assert arguments.text_learning_rate is None and arguments.image_learning_rate == 2e-5
    assert arguments.num_train_epochs == 2 and arguments.load_best_model_at_end is False
    assert arguments.output_dir == str(tmp_path)


def test_list_flags(capsys):
    code, out, _ = call(capsys, "train", "--list-flags")
    assert code == 0
    for flag in ("--private_similarity (mean)", "--residual_attention (gated)", "--text_learning_rate (2e-05)"):
        assert flag in out
    for flag in ("", "_flip", "_crop", "_erasing", "_synonyms"):
        assert re.search(rf"--augment{flag} \S+  \w+", out)  # with its default and its help


def test_augmentation_flags(capsys, wordnet_dir, tmp_path):
    words = ["--augment", "--augment-flip", "0.25", "--augment_synonyms=0", "--wordnet-dir", wordnet_dir]
    _, arguments = read_train_flags(words, "mdse", str(tmp_path), CommandParser())
    assert (arguments.augment, arguments.augment_flip, arguments.augment_synonyms) == (True, 0.25, 0.0)
    assert arguments.wordnet_dir == wordnet_dir
    required = ["train", "--model", "mdse", "--data", "none", "--output-dir", tmp_path]
    assert "WordNet's files, got /none," in wrong_call(capsys, *required, "--augment", "--wordnet_dir", "/none")
    assert "augment_crop must lie in [0, 0.5], got 0.9." in wrong_call(capsys, *required, "--augment_crop", "0.9")


def test_train_prints_the_metrics_and_leaves_a_checkpoint(trained):
    folder, metrics = trained
    with open(f"{folder}/metrics.json", encoding="utf-8") as file:
        assert json.load(file) == metrics
    assert metrics["seed"] == 5 and metrics["labels"] == ["glad", "sad"]
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    assert config["hidden_size"] == 16 and config["image_private"] is False
    with open(f"{folder}/run.json", encoding="utf-8") as file:
        assert json.load(file)["training"]["image_learning_rate"] is None


def test_evaluate_remembers_the_columns(capsys, trained, data, tmp_path):
    folder, metrics = trained
    words = ["evaluate", folder, "--data", data, "--split", "validation", "--use-cpu"]
    code, out, _ = call(capsys, *words, "--output", tmp_path / "m.json", "--json")
    figures = json.loads(out)
    assert code == 0 and figures == json.loads((tmp_path / "m.json").read_text())
    assert figures["confusion"] == metrics["confusion"]
    code, out, _ = call(capsys, *words)
    assert code == 0 and "validation, 6 posts" in out and "macro F1" in out and "glad" in out
    assert "has no test part, only train, validation." in wrong_call(capsys, *words[:4], "--use-cpu")


def test_predict_one_post_and_a_table(capsys, trained, data, tmp_path):
    folder, _ = trained
    code, out, err = call(capsys, "predict", folder, "--text", "good sun", "--image", f"{data}/green.png", "--json")
    answer = json.loads(out)
    assert code == 0 and err == ""
    assert set(answer["scores"]) == {"glad", "sad"} and answer["label"] in answer["scores"]
    for side in (["--text", "good sun"], ["--image", f"{data}/green.png"]):
        code, out, _ = call(capsys, "predict", folder, *side)
        assert code == 0 and "score" in out
    words = ["predict", folder, "--data", f"{data}/train.jsonl", "--output", tmp_path / "answers"]
    code, out, err = call(capsys, *words)
    assert code == 0 and "6 posts answered" in out
    assert "predict: 100%" in err  # the bar
    assert pq.read_table(tmp_path / "answers" / "predictions-00000.parquet").num_rows == 6
    before = (tmp_path / "answers" / "manifest.json").read_bytes()
    code, out, _ = call(capsys, *words, "--batch-size", "1")  # what is finished stays
    assert code == 0 and "6 posts answered" in out
    assert (tmp_path / "answers" / "manifest.json").read_bytes() == before
    refused = f"duosent predict: output_dir {tmp_path}/answers holds answers with shard_rows 10000, not 5: "
    assert wrong_call(capsys, *words, "--shard-rows", "5") == f"{refused}take another one, or say overwrite.\n"


def test_work_that_failed_is_one_sentence_and_debug_shows_where(capsys, trained, data, monkeypatch):
    folder, _ = trained
    import duosent.inference.scoring as scoring

    def fail(*args, **kwargs):
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr(scoring, "predict", fail)
    words = ["predict", folder, "--text", "good"]
    assert call(capsys, *words) == (1, "", "duosent predict failed: the disk is full\n")
    code, _, err = call(capsys, *words, "--debug")
    assert code == 1 and "Traceback" in err and 'raise RuntimeError("the disk' in err
    code, _, err = call(capsys, "evaluate", "no/such/folder", "--data", data, "--debug")
    assert code == 2 and "Traceback" in err


def test_an_unreadable_picture_is_work_that_failed(capsys, trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code, out, err = call(capsys, "predict", trained[0], "--image", tmp_path / "broken.png")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert "broken.png" in err and "Row" not in err


class TestTables:
    """`duosent predict --data` on six posts, one of whose pictures is none."""

    @pytest.fixture
    def posts(self, data, tmp_path):
        rows = [json.loads(line) for line in (Path(data) / "train.jsonl").read_text().splitlines()]
        rows[2]["image"] = "broken.png"
        for name in ("red", "green"):
            shutil.copyfile(f"{data}/{name}.png", tmp_path / f"{name}.png")
        (tmp_path / "broken.png").write_bytes(b"no picture")
        (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / "posts.jsonl"

    @pytest.mark.parametrize(
        ("allowed", "code"), [("0", 1), ("1", 0), ("0.16", 1), ("0.17", 0), ("0.0", 1), ("1.0", 0)]
    )
    def test_too_many_rejected(self, capsys, trained, posts, tmp_path, allowed, code):
        words = ["predict", trained[0], "--data", posts, "--output", tmp_path / "out", "--json"]
        found, out, err = call(capsys, *words, "--max-rejected", allowed)
        result = json.loads(out)
        assert found == code and (result["n"], result["rejected"]) == (5, 1)
        assert pq.read_table(tmp_path / "out" / "rejected-00000.parquet")["id"].to_pylist() == ["2"]
        *lines, last = err.splitlines()
        if code:
            sentence = f"max_rejected is {allowed}, and 1 of 6 posts were rejected; the others are answered."
            assert last == f"duosent predict failed: {sentence}"
        else:
            lines.append(last)
        assert [json.loads(line)["rows"] for line in lines] == [6]

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (
                ["--max-rejected", "-1"],
                "--max-rejected must be a whole number >= 0, or a share from 0.0 to 1.0, got -1.",
            ),
            (["--max-rejected", "1.5"], "or a share from 0.0 to 1.0, got 1.5."),
            (["--max-rejected", "many"], "or a share from 0.0 to 1.0, got many."),
            (["--storage-options", "anon"], "--storage-options must be a JSON object, such as"),
            (["--batch-tokens", "0"], "batch_tokens must be >= 1, got 0."),
        ],
    )
    def test_a_wrong_option(self, capsys, trained, posts, tmp_path, words, sentence):
        call_words = ["predict", trained[0], "--data", posts, "--output", tmp_path / "out", *words]
        assert sentence in wrong_call(capsys, *call_words)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "flag", [["--with-sides"], ["--shard-rows", "5"], ["--output", "out"], ["--retries", "0"]]
    )
    def test_one_post_takes_no_option_of_a_table(self, capsys, trained, flag):
        sentence = wrong_call(capsys, "predict", trained[0], "--text", "good", *flag)
        assert sentence == f"duosent predict: {flag[0]} belongs to a table (--data).\n"

    def test_every_flag_reaches_the_table(self, capsys, monkeypatch, tmp_path):
        import duosent.inference.score_table as score_table

        asked = {}

        def remember(*words, **options):
            asked.update(options, words=words)
            return {"n": 0, "rejected": 0, "predictions": "p", "rejected_files": "r"}

        monkeypatch.setattr(score_table, "predict_table", remember)
        words = (
            "predict c --data d --output o --split test --with-sides --shard-rows 1 --batch-size 2 --batch-tokens 3"
        )
        words += " --num-workers 4 --fetch-images --retries 6 --overwrite --confidence 0.9 --abstain --device cpu"
        words += " --backend onnx --text-column t --consistent --base-image-dir b --engine ray --ray-address auto"
        words += " --dtype float16"
        assert call(capsys, *words.split(), "--storage-options", '{"anon": true}')[0] == 0
        assert asked == {
            "words": ("c", "d", "o"),
            "columns": {"text_column": "t", "base_image_dir": "b"},
            "split": "test",
            "with_sides": True,
            "shard_rows": 1,
            "batch_size": 2,
            "batch_tokens": 3,
            "num_workers": 4,
            "fetch_images": True,
            "retries": 6,
            "overwrite": True,
            "engine": "ray",
            "ray_address": "auto",
            "storage_options": {"anon": True},
            "progress": "bar",
            "consistent": True,
            "confidence": 0.9,
            "abstain": True,
            "device": "cpu",
            "backend": "onnx",
            "dtype": "float16",
        }
