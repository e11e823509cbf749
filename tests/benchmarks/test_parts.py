"""Each part at tiny sizes ends in a table and a well-formed record."""

import json
import re
import sys
from functools import partial

import pytest
import torch

from benchmarks import exported_posts, first_answer, loader
from benchmarks.__main__ import PARTS, main, parse
from benchmarks.models import COMPARISONS, TOWERS, build_all
from benchmarks.parts import autogluon, feeding, gpu, residual_attention, scoring
from benchmarks.parts.training import build_optimizers
from benchmarks.shapes import chosen_shapes

WIDTHS = ("text_width", "image_width", "width")
INNER = ("text_inner", "image_inner", "mdse_inner", "radm_inner")
HEADS = ("text_heads", "image_heads", "mdse_heads", "radm_heads")
SIZES = {
    **dict.fromkeys(WIDTHS, 16),
    **dict.fromkeys(INNER, 24),
    **dict.fromkeys(HEADS, 2),
    "text_layers": 1,
    "image_layers": 1,
    "vocabulary": 200,
    "text_tokens": 8,
    "image_size": 32,
    "patch_size": 8,
    "batch_size": 2,
}
SHAPE = [word for name, size in SIZES.items() for word in (f"--{name.replace('_', '-')}", str(size))]
SHAPE += ["--rounds", "2", "--picture", "48", "32"]
TINY = [*SHAPE, "--warmup", "0", "--threads", "1"]


def tiny(*words: str):
    return parse([*TINY, *words])


@pytest.fixture
def measure(tmp_path):
    """Runs one part by the command; gives its record."""
    threads = torch.get_num_threads()

    def run(part: str, *words: str) -> dict:
        main([part, *TINY, "--machine", "tiny", "--results", str(tmp_path), *words])
        record = json.loads((tmp_path / "tiny.json").read_text())[part]
        assert {"command", "seed", "cpu", "cores", "threads", "versions", "commit", "date", "load"} <= set(record)
        assert str(tmp_path) not in json.dumps(record)
        for row in record["rows"]:
            assert row["what"] and row["subject"] and row["unit"]
            assert row["value"]["lower"] <= row["value"]["median"] <= row["value"]["upper"]
            if "ratio" in row:
                assert 0 < row["ratio"]["lower"] <= row["ratio"]["median"] <= row["ratio"]["upper"]
            else:
                assert "against" not in row
        return record

    yield run
    torch.set_num_threads(threads)


def rows_by_pair(record: dict) -> dict:
    return {(row["what"], row["subject"], row.get("against")): row for row in record["rows"]}


def test_training_compares_every_pair_with_its_arithmetic(measure, capsys):
    record = measure("training", "--shapes", "paper")
    rows = rows_by_pair(record)
    steps = "forward and backward, paper", "forward, backward and AdamW, paper"
    assert set(rows) == {(step, *pair) for step in steps for pair in COMPARISONS}
    for (_, subject, against), row in rows.items():
        assert row["over_arithmetic"] == pytest.approx(row["ratio"]["median"] / row["arithmetic"])
        assert (row["arithmetic"] > 1) == (subject in ("mdse", "radm") or against == TOWERS)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| forward")]
    assert len(printed) == len(rows)


@pytest.mark.parametrize("part", ["inference", "latency"])
def test_forwards_compare_every_pair(part, measure):
    what = {"inference": "inference, small", "latency": "one post, small"}[part]
    assert set(rows_by_pair(measure(part, "--shapes", "small"))) == {(what, *pair) for pair in COMPARISONS}


def test_all_models_with_two_towers_read_with_the_same_ones():
    (shape,) = chosen_shapes(tiny(), ["small"]).values()
    models = build_all(shape, dropout=0.0, seed=0)
    shared = {id(parameter) for parameter in models[TOWERS].parameters()}
    for name, model in models.items():
        common = shared & {id(parameter) for parameter in model.parameters()}
        assert common == (set() if name == "ViLT" else shared), name


def test_every_weight_of_a_model_is_in_one_of_its_optimizers():
    (shape,) = chosen_shapes(tiny(), ["small"]).values()
    models = build_all(shape, dropout=0.0, seed=0)
    for name, optimizers in build_optimizers(models).items():
        updated = [id(weight) for one in optimizers for group in one.param_groups for weight in group["params"]]
        assert sorted(updated) == sorted(id(weight) for weight in models[name].parameters()), name


def test_feeding_pads_the_same_posts_in_two_ways(measure):
    sizes = ["--epoch", "24", "--sample", "2", "--feeding-batch", "4", "--padded-to", "160"]
    rows = rows_by_pair(measure("feeding", *sizes))
    assert rows["text tokens, small", feeding.RELEASED, None]["value"]["median"] == 160
    assert rows["text tokens, small", feeding.OURS, None]["value"]["median"] < 130
    for what in ("epoch, small", "its steps alone, small"):
        assert rows[what, feeding.RELEASED, feeding.OURS]["unit"] == "ms a post"


def test_sampled_batches_hold_the_same_posts():
    lengths = [(7 * place) % 40 for place in range(64)]
    grouped, shuffled = feeding.sampled_batches(lengths, size=8, count=3, seed=0)
    assert [len(batch) for batch in grouped + shuffled] == [8] * 6
    once, again = ([place for batch in batches for place in batch] for batches in (grouped, shuffled))
    assert sorted(once) == sorted(again) and once != again and len(set(once)) == 24

    def longest(batches):
        return sum(max(lengths[place] for place in batch) for batch in batches)

    assert longest(grouped) < longest(shuffled)


def test_padding_adds_what_no_tower_reads():
    batch = {
        "input_ids": torch.tensor([[5, 6]]),
        "attention_mask": torch.tensor([[1, 1]]),
        "token_type_ids": torch.tensor([[0, 1]]),
        "labels": torch.tensor([2]),
    }
    padded = feeding.pad_texts(batch, 4, pad_token=9)
    assert {name: tensor.tolist() for name, tensor in padded.items()} == {
        "input_ids": [[5, 6, 9, 9]],
        "attention_mask": [[1, 1, 0, 0]],
        "token_type_ids": [[0, 1, 0, 0]],
        "labels": [2],
    }
    assert feeding.pad_texts(batch, 1, pad_token=9)["input_ids"].shape == (1, 2)


def test_residual_attention_compares_time_and_memory_and_its_growth(measure):
    rows = rows_by_pair(measure("residual_attention", "--shapes", "tweet", "--growth-tokens", "60", "240"))
    forms = residual_attention.WITHOUT, residual_attention.WITH
    assert rows["fusion forward and backward, tweet", *forms]["unit"] == "ms a post"
    growth = {
        form: rows["growth, 4 times the tokens", f"{form}, 240 tokens", f"{form}, 60 tokens"]["ratio"]["median"]
        for form in forms
    }
    assert 3.5 < growth[residual_attention.WITHOUT] < 4.5  # linear in the tokens
    assert growth[residual_attention.WITH] > 8  # its maps are 16 times as large


def test_kept_bytes_are_counted_once_and_without_weights():
    class Squares(torch.nn.Module):
        """Its backward needs what it makes of the input, 10 numbers of 4 bytes, and the weight."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(10))

        def forward(self, x):
            class Output:
                made = x + 1
                loss = (self.weight * made).sum() + (made * made).sum()

            return Output

    step = partial(residual_attention.loss_of, Squares(), {"x": torch.ones(10, requires_grad=True)})
    assert residual_attention.kept_bytes(step) == 40


def test_loading_stands_beside_forward_and_training_step(measure):
    rows = rows_by_pair(measure("loading", "--posts", "4", "--workers", "0"))
    assert set(rows) == {
        ("0 workers, small", "loader alone", "forward alone"),
        ("0 workers, small", "loader alone", "training step alone"),
        ("0 workers, small", "from Parquet", "forward alone"),
    }


def test_ways_to_decode_stand_beside_the_model_and_every_pixel(tmp_path):
    rows = loader.measure(loader.parse([*SHAPE, "--rows", "4", "--workers", "1"]), tmp_path)
    ways = loader.EVERY_PIXEL, loader.REDUCED, loader.CACHED
    pairs = {(way, model) for way in ways for model in ("forward alone", "training step alone")}
    pairs |= {(way, loader.EVERY_PIXEL) for way in ways[1:]}
    assert {(row.subject, row.against) for row in rows if row.ratio is not None} == pairs
    memory = {row.subject: row for row in rows if row.ratio is None}
    assert set(memory) == set(ways) and all(row.value.median > 1 for row in memory.values())
    assert {row.what for row in rows} == {"1 workers"}


def test_startup_takes_over_what_first_answer_measures(measure, monkeypatch):
    rounds = iter([{"import": (3.0, 2.0)}, {"import": (2.0, 2.0)}])
    monkeypatch.setattr(first_answer, "one_round", lambda folder: next(rounds))
    rows = rows_by_pair(measure("startup"))
    imports = rows["import", "duosent", "transformers, text alone"]
    assert imports["value"]["median"] == 2.5 and imports["ratio"]["median"] == 1.25
    assert rows["load a checkpoint", "duosent", "transformers, both towers"]["value"]["median"] > 0


@pytest.mark.slow
def test_startup_in_processes_of_its_own(measure):
    rows = measure("startup", "--rounds", "1")["rows"]
    assert len(rows) == 7


def test_exported_models_stand_beside_eager_torch(measure, monkeypatch):
    figures = {
        "eager": {"accuracy": 0.5},
        "int8": {"accuracy": 0.25, "accuracy_lost": 0.25, "label_agreement": 0.75},
    }
    # 4 posts/s are 250 ms a post; in the rounds int8 is 2, 3 and 4 times as fast.
    rounds = [{"eager": 4.0, "int8": speed} for speed in (8.0, 12.0, 16.0)]
    seen = []

    def compare(checkpoint, options):
        seen.append((checkpoint, options.data, options.split, options.posts, options.threads, options.rounds))
        return figures, {"int8": 32.5}, rounds

    monkeypatch.setattr(exported_posts, "compare", compare)
    rows = measure("exported", "--checkpoints", "runs/mdse-0", "--data", "posts", "--exported-posts", "9")["rows"]
    assert seen == [("runs/mdse-0", "posts", "validation", 9, 1, 2)]
    scoring, answers, lost, size = rows
    assert (scoring["what"], scoring["subject"], scoring["against"]) == ("bulk scoring, mdse-0", "eager", "int8")
    assert scoring["value"]["median"] == 250 and scoring["ratio"] == {"median": 3, "lower": 2.5, "upper": 3.5}
    assert [row["value"]["median"] for row in (answers, lost, size)] == [75, 25, 32.5]


@pytest.mark.parametrize("part", ["exported", "scoring"])
def test_checkpoints_need_posts_of_their_labels(part, tmp_path, capsys):
    main([part, "--checkpoints", "runs/mdse-0", *TINY, "--machine", "tiny", "--results", str(tmp_path)])
    assert "Not measured: --checkpoints need --data" in capsys.readouterr().out


@pytest.mark.slow
def test_exported_models_score_made_up_posts(measure):
    rows = measure("exported", "--exported-batch", "2", "--timed-batches", "1")["rows"]
    assert {row["against"] for row in rows} == {
        "eager, bfloat16",
        "float32",
        "int8",
        "int8, embeddings float32",
    }
    assert {row["subject"] for row in rows} == {"eager"}


STUB = """
import json, sys
sizes = json.loads(sys.stdin.readline())
print("ready", flush=True)
for line in sys.stdin:
    with open(sys.argv[0] + ".log", "a") as log:
        log.write(line)
    print("done", flush=True)
"""


def test_autogluon_takes_its_turns_in_a_process_of_its_own(measure, monkeypatch, tmp_path):
    stub = tmp_path / "stub.py"
    stub.write_text(STUB)
    monkeypatch.setattr(autogluon, "WORKER", stub)
    monkeypatch.setattr(autogluon, "IMAGE_MODELS", {(16, 1, 2, 24, 32, 8): "tiny"})
    rows = rows_by_pair(measure("autogluon", "--shapes", "small", "--autogluon-python", sys.executable))
    assert (tmp_path / "stub.py.log").read_text().split() == ["learn", "update"] * 2 + ["answer"] * 2
    steps = "forward and backward, small", "forward, backward and AdamW, small", "inference, small"
    assert set(rows) == {(step, "AutoGluon", against) for step in steps for against in autogluon.AGAINST}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "--autogluon-python must name a Python"),
        (["--autogluon-python", "no-such-python"], "cannot be run: No such file or directory"),
        (["--autogluon-python", sys.executable], "AutoGluon's process ended: ModuleNotFoundError: no autogluon"),
    ],
)
def test_autogluon_that_is_not_there_is_left_out_with_a_reason(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(autogluon, "IMAGE_MODELS", {(16, 1, 2, 24, 32, 8): "tiny"})
    monkeypatch.setattr(autogluon, "WORKER", tmp_path / "worker.py")
    autogluon.WORKER.write_text("raise ModuleNotFoundError('no autogluon')")
    threads = torch.get_num_threads()
    main(["autogluon", *TINY, "--machine", "tiny", "--results", str(tmp_path / "results"), *words])
    torch.set_num_threads(threads)
    assert f"Not measured: {reason}" in capsys.readouterr().out.replace("--autogluon-python cannot", "cannot")
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_part_that_cannot_be_measured_says_why_and_leaves_no_record(tmp_path, capsys):
    main(["gpu", "--threads", "1", "--machine", "tiny", "--results", str(tmp_path)])
    assert "Not measured: there is no GPU." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_card_is_measured_by_its_share_of_the_peak(monkeypatch):
    """On the CPU in the card's place, with a memory that grows by 5 MB a step."""
    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    monkeypatch.setattr(gpu, "peak_bytes", lambda step: (step(), 5_000_000)[1])
    monkeypatch.setattr(gpu, "count_flops", lambda step: (step(), 3 * 10**9)[1])
    monkeypatch.setattr(gpu, "take_turns", lambda steps, *_, **__: {name: [0.02, 0.02] for name in steps})
    monkeypatch.setattr(torch, "compile", lambda model: model)
    (shape,) = chosen_shapes(tiny(), ["tweet"]).values()
    rows = gpu.measure_model("mdse, tweet", "mdse", shape, peak=2.0, options=tiny())
    found = {(row.what, row.subject): row.value.median for row in rows if row.ratio is None}
    # 3 GFLOP in 0.02 s are 0.15 TFLOP/s, of 2.
    for way in (gpu.BFLOAT16, gpu.COMPILED):
        assert found["share of peak arithmetic, mdse, tweet, 2 posts", way] == pytest.approx(7.5)
        assert found["peak memory, mdse, tweet, 2 posts", way] == 5
    assert [(row.subject, row.against, row.ratio.median) for row in rows if row.ratio is not None] == [
        (gpu.FLOAT32, gpu.BFLOAT16, 1),
        (gpu.FLOAT32, gpu.COMPILED, 1),
    ]


def test_the_peak_of_a_card_is_known_or_given():
    assert gpu.peak_tflops("NVIDIA H100 PCIe", None) == 756 and gpu.peak_tflops("NVIDIA H100 80GB HBM3", None) == 989
    assert gpu.peak_tflops("NVIDIA L40S", None) == 362 and gpu.peak_tflops("NVIDIA L40S", 100.0) == 100
    with pytest.raises(gpu.NotMeasured, match="--peak-tflops must be given .* got Toy 1"):
        gpu.peak_tflops("Toy 1", None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "PART must be one of training, inference, .* got 'nothing'"),
        (["--rounds", "0"], "--rounds must be >= 1, got 0"),
        (["--threads", "0"], "--threads must be >= 1, got 0"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words)
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])


def test_each_part_has_a_line_in_the_help(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in PARTS)


@pytest.mark.slow  # exports a model
def test_a_scored_table_stands_beside_a_loop_over_the_pipeline(measure):
    rows = measure("scoring", "--scored-posts", "3", "--scored-batch", "2")["rows"]
    ways = ["pipeline, batches", "predict", "predict, ONNX int8"]
    assert [(row["subject"], row["against"]) for row in rows] == [(scoring.LOOP, way) for way in ways]
    assert {row["what"] for row in rows} == {"Parquet to scores, mdse, 3 posts"}
    assert all(row["value"]["median"] > 0 and row["ratio"]["median"] > 0 for row in rows)


def test_a_rejected_post_stops_the_scoring(measure, monkeypatch):
    monkeypatch.setattr(scoring, "export", lambda *words, **options: None)
    monkeypatch.setattr(scoring, "predict_table", lambda *words, **options: {"rejected": 2})
    with pytest.raises(RuntimeError, match="2 posts were rejected"):
        measure("scoring", "--scored-posts", "3")
