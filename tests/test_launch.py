"""Files and commands of examples/launch: known to the programs that read them; two processes do what one does."""

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from safetensors.torch import load_file, save_file
from tiny import build
from torch.distributed.run import get_args_parser
from torch.testing import assert_close

from duosent import MdseForImageTextClassification, RadmForImageTextClassification
from duosent.cli import declare_train
from duosent.data.demo_posts import make_demo_posts
from duosent.modeling.modeling_baselines import BaselineForImageTextClassification
from duosent.modeling.modeling_clmlf import ClmlfForImageTextClassification
from duosent.modeling.modeling_lmf import LmfForImageTextClassification
from duosent.modeling.modeling_tfn import TfnForImageTextClassification
from duosent.modeling.modeling_tombert import TombertForImageTextClassification
from duosent.parsing import CommandParser, hyphened
from duosent.train_flags import config_fields, training_arguments
from duosent.training.fsdp_units import fsdp_units

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "examples" / "launch"
README = (LAUNCH / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in README.split("```")[1::2]
    for line in block.replace("\\\n", " ").strip().splitlines()
]


@pytest.mark.parametrize(
    ("file", "kind", "machines", "processes"),
    [
        ("one_machine.yaml", "MULTI_GPU", 1, 4),
        ("several_machines.yaml", "MULTI_GPU", 2, 8),
        ("fsdp.yaml", "FSDP", 1, 4),
    ],
)
def test_accelerate_reads_the_file(file, kind, machines, processes):
    config = load_config_from_file(str(LAUNCH / file))  # refuses keys that it does not know
    assert (config.distributed_type.value, config.num_machines, config.num_processes) == (kind, machines, processes)
    assert config.mixed_precision == "no"
    known = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) <= known
    assert bool(config.fsdp_config) == (kind == "FSDP")


def test_the_options_of_fsdp_are_taken():
    config = load_config_from_file(str(LAUNCH / "fsdp.yaml")).fsdp_config
    names = {field.name for field in fields(FullyShardedDataParallelPlugin)}
    options = {name.removeprefix("fsdp_"): value for name, value in config.items()}
    options["cpu_offload"] = options.pop("offload_params")
    options["fsdp_version"] = options.pop("version")
    assert set(options) <= names
    plugin = FullyShardedDataParallelPlugin(**{**options, "auto_wrap_policy": options["auto_wrap_policy"].lower()})
    assert plugin.state_dict_type.name == "FULL_STATE_DICT" and plugin.fsdp_version == 2


@pytest.mark.parametrize(
    ("model_class", "config", "own"),
    [
        (MdseForImageTextClassification, {}, {"AttentionBlock"}),
        (RadmForImageTextClassification, {}, {"InteractionLayer", "FusionEncoderLayer"}),
        (ClmlfForImageTextClassification, {}, {"AttentionBlock"}),
        (TombertForImageTextClassification, {}, {"AttentionBlock"}),
        (BaselineForImageTextClassification, {}, set()),
        (BaselineForImageTextClassification, {"vision_config": None}, set()),
        (BaselineForImageTextClassification, {"text_config": None}, set()),
        (TfnForImageTextClassification, {}, set()),
        (LmfForImageTextClassification, {}, set()),
    ],
)
def test_what_is_wrapped_is_in_the_model(model_class, config, own):
    """FSDP refuses a model that names a class which none of its modules has, or one around the word embeddings."""
    model = build(model_class, **config)
    layers = {"text_config": {"BertLayer"}, "vision_config": {"ViTEmbeddings", "ViTLayer"}}
    towers = set().union(*(names for side, names in layers.items() if side not in config))
    plugin = FullyShardedDataParallelPlugin(auto_wrap_policy="transformer_based_wrap")
    plugin.transformer_cls_names_to_wrap = fsdp_units(model)
    plugin.set_auto_wrap_policy(model)
    assert {kind.__name__ for kind in plugin.auto_wrap_policy.keywords["transformer_layer_cls"]} == own | towers


def test_deepspeed_file_has_known_keys():
    content = json.loads((LAUNCH / "zero2.json").read_text(encoding="utf-8"))
    assert content.pop("zero_optimization") == {"stage": 2, "overlap_comm": True, "contiguous_gradients": True}
    assert content.pop("bf16") == {"enabled": "auto"}
    # The four that transformers fills in from the training arguments.
    sizes = {"train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"}
    assert content == dict.fromkeys(sizes, "auto")


def test_every_file_is_in_a_command():
    named = {Path(word).name for words in COMMANDS for word in words if word.startswith("examples/launch/")}
    assert named == {file.name for file in LAUNCH.iterdir()} - {"README.md"}
    assert len(COMMANDS) == 7


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_the_commands_are_understood(words):
    program, rest = words[0], words[1:]
    parser = {"torchrun": get_args_parser, "accelerate": launch_command_parser}[program]()
    if program == "accelerate":
        assert rest.pop(0) == "launch"
    options = parser.parse_args(rest)
    assert options.module and options.training_script == "duosent"
    command, *own = options.training_script_args
    assert command == "train"
    train = CommandParser(prog="duosent train")
    declare_train(train)
    told, free = train.parse_known_args(hyphened(own))
    assert (told.model, told.data) == ("mdse", "posts/")
    names = {word.removeprefix("--").replace("-", "_") for word in free if word.startswith("--")}
    assert names and names <= set(training_arguments()) | set(config_fields("mdse"))


@pytest.fixture(scope="module")
def still_encoders(text_encoder_dir, image_encoder_dir, tmp_path_factory) -> list[str]:
    """The tiny encoders without dropout, with weights so large that posts differ in their answers; as flags."""
    folder = tmp_path_factory.mktemp("still")
    for name, source in (("text", text_encoder_dir), ("image", image_encoder_dir)):
        shutil.copytree(source, folder / name)
        config = json.loads((folder / name / "config.json").read_text())
        config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        (folder / name / "config.json").write_text(json.dumps(config))
        file = folder / name / "model.safetensors"
        large = {key: value * (10 if value.ndim > 1 else 1) for key, value in load_file(file).items()}
        save_file(large, file, metadata={"format": "pt"})
    return ["--text-encoder", str(folder / "text"), "--image-encoder", str(folder / "image")]


def training_words(posts, encoders: list[str]) -> list[str]:
    """A short run of MDSE without dropout."""
    words = ["train", "--model", "mdse", "--data", str(posts), *encoders]
    words += ["--hidden-size", "16", "--num-attention-heads", "2", "--hidden_dropout_prob", "0"]
    words += ["--attention_probs_dropout_prob", "0", "--classifier_dropout", "0", "--initializer_range", "0.3"]
    words += ["--optim", "sgd", "--learning_rate", "0.01", "--text_learning_rate", "0.01"]
    return [*words, "--num-train-epochs", "2", "--per-device-eval-batch-size", "2", "--use_cpu"]


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [[], ["--contrastive_chunk_size", "1"]], ids=["whole", "chunked"])
def test_fsdp_does_what_one_process_does(chunked, still_encoders, tmp_path):
    posts = make_demo_posts(tmp_path / "posts", train=16, validation=11, test=8)
    words = training_words(posts, still_encoders)
    file = (LAUNCH / "fsdp.yaml").read_text().replace("num_processes: 4", "num_processes: 2")
    (tmp_path / "fsdp.yaml").write_text(file.replace("gpu_ids: all", "use_cpu: true"))
    fsdp = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--config_file"]
    fsdp += [str(tmp_path / "fsdp.yaml"), str(ROOT / "tests" / "fsdp_on_cpu.py")]
    for name, launcher, own in (
        ("one", [sys.executable, "-m", "duosent"], ["--per-device-train-batch-size", "4"]),
        ("fsdp", fsdp, ["--per-device-train-batch-size", "2", *chunked]),
    ):
        command = [*launcher, *words, *own, "--output-dir", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert next((tmp_path / "fsdp").glob("checkpoint-*/*_fsdp*"))  # only FSDP writes it
    one, shared = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "fsdp"))
    start = load_file(Path(still_encoders[1]) / "model.safetensors")["embeddings.word_embeddings.weight"]
    words_after = one["mdse.text_model.embeddings.word_embeddings.weight"]
    assert (words_after - start).abs().max() > 1e-3  # or weights that never moved would be the same
    assert one.keys() == shared.keys()
    for name, weight in one.items():
        assert_close(shared[name], weight, rtol=0, atol=1e-5, msg=name)
    answers = [pq.read_table(tmp_path / name / "predictions_validation.parquet") for name in ("one", "fsdp")]
    assert answers[0]["id"].equals(answers[1]["id"]) and answers[0]["label"].equals(answers[1]["label"])


@pytest.mark.slow
def test_two_processes_do_what_one_does(still_encoders, tmp_path):
    """Of eleven posts two processes with two at a time leave three for the last round; eight go up evenly."""
    posts = make_demo_posts(tmp_path / "posts", train=16, validation=11, test=8)
    words = ["-m", "duosent", *training_words(posts, still_encoders), "--evaluate-test"]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, launcher, own in (
        ("one", [sys.executable], ["--per-device-train-batch-size", "4"]),
        ("two", two, ["--per-device-train-batch-size", "2", "--ddp_backend", "gloo"]),
    ):
        command = [*launcher, *words, *own, "--output-dir", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    for part, number in (("validation", 11), ("test", 8)):
        order = pq.read_table(next(Path(posts).glob(f"{part}*.parquet")))["id"].to_pylist()
        one, two_ = (pq.read_table(tmp_path / name / f"predictions_{part}.parquet") for name in ("one", "two"))
        assert len(order) == number and one["id"].to_pylist() == two_["id"].to_pylist() == order
        scores = next(one[column].to_pylist() for column in one.column_names if column.startswith("score_"))
        assert len({round(score, 4) for score in scores}) == number  # or a row in a wrong place would not be seen
        for column in one.column_names:
            answers, same = one[column].to_pylist(), two_[column].to_pylist()
            assert same == (pytest.approx(answers, abs=1e-5) if column.startswith("score_") else answers), column
        file = "metrics.json" if part == "validation" else "metrics_test.json"
        alone, shared = (json.loads((tmp_path / name / file).read_text()) for name in ("one", "two"))
        assert shared["n"] == alone["n"] == number
        for figure in ("accuracy", "macro_f1", "confusion", "fingerprint"):
            assert shared[figure] == alone[figure]
        if part == "test":  # the last batch of the other part is filled up with a post, which counts in its loss
            for figure in ("loss", "classification_loss", "contrastive_loss"):
                assert shared[figure] == pytest.approx(alone[figure], rel=1e-3), figure
    answers, figures = tmp_path / "answers.parquet", tmp_path / "figures.json"
    words = ["-m", "duosent", "evaluate", str(tmp_path / "one"), "--data", str(posts), "--split", "validation"]
    words += ["--batch-size", "2", "--use-cpu", "--json", "--output", str(figures), "--predictions", str(answers)]
    done = subprocess.run([*two, *words], capture_output=True, text=True, timeout=400, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    printed, alone = (json.loads(words) for words in (done.stdout, (tmp_path / "one" / "metrics.json").read_text()))
    assert printed == json.loads(figures.read_text()) and printed["confusion"] == alone["confusion"]
    ids = [pq.read_table(file)["id"] for file in (answers, tmp_path / "one" / "predictions_validation.parquet")]
    assert ids[0].equals(ids[1])
