"""Tiny parts that the tests share: width 16, no downloads, seconds in all."""

import io
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import settings
from PIL import Image
from tiny_wordnet import write_wordnet
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTModel

import duosent
from duosent.modeling import modeling_radm

# A process's first tensor operation is slow: no deadline.
settings.register_profile("duosent", deadline=None, max_examples=25)
settings.load_profile("duosent")

WORDS = """
a the this is was not so very good bad fine happy sad great awful sun rain dog cat day night sea
city tea bus love hate hope fear joy anger calm we you they she he it and but or with without on in
at my our what why how
""".split()  # noqa: SIM905  (a list of them would be a page)


def pytest_addoption(parser):
    parser.addoption("--page-checkpoint", metavar="DIR", help="what the demo page shows: out/demo/runs/mdse")
    parser.addoption("--screenshots", metavar="DIR", help="folder for screenshots of pages")
    parser.addoption("--explain-runs", metavar="DIR", help="whose mdse and radm are explained: out/demo/runs")
    parser.addoption("--report-checkpoint", metavar="DIR", help="what the error report in them is of")


@pytest.fixture(scope="class")
def without_maps():
    """RADM takes the way of a GPU and of long texts, not the one that is faster on a CPU while texts are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_radm, "MOST_TOKENS_WRITTEN_OUT", 0)
        yield


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def processor(tokenizer) -> "duosent.ImageTextProcessor":
    return duosent.ImageTextProcessor(ViTImageProcessor(size={"height": 32, "width": 32}), tokenizer)


@pytest.fixture(scope="session")
def text_encoder_dir(tokenizer, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("text_encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def image_encoder_dir(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("image_encoder")
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


# Question, colour of the picture, its ten annotators, type of the answer. "blue" and "pink" are in no vocabulary.
VQA_ANSWERS = ["yes", "no", "red", "green"]
VQA_QUESTIONS = {
    "train": [
        ("what is it", "red", {"red": 10}, "other"),
        ("what is it", "green", {"green": 8, "blue": 2}, "other"),
        ("is it a sun", "green", {"yes": 7, "no": 3}, "yes/no"),
        ("is it a sun", "red", {"no": 9, "yes": 1}, "yes/no"),
        ("what is the city", "red", {"red": 3, "pink": 7}, "other"),
        ("is the city so good", "green", {"yes": 10}, "yes/no"),
        ("why", "red", {"blue": 6, "pink": 4}, "other"),  # nothing to learn here
    ]
    * 2,
    "validation": [
        ("what is it", "red", {"red": 10}, "other"),
        ("what is it", "green", {"green": 2, "pink": 8}, "other"),
        ("is it a sun", "green", {"yes": 9, "no": 1}, "yes/no"),
        ("is it a sun", "red", {"no": 8, "yes": 2}, "yes/no"),
        ("why", "green", {"blue": 10}, "other"),
    ],
    "test": [("what is it", "red", {}, ""), ("is it a sun", "green", {}, "")],
}


@pytest.fixture(scope="session")
def vqa_data(tmp_path_factory) -> str:
    """A prepared table of made-up questions: three parts and the vocabulary."""
    folder = tmp_path_factory.mktemp("vqa")
    (folder / "answers.json").write_text(json.dumps(VQA_ANSWERS))
    pictures = {}
    for colour in ("red", "green"):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), colour).save(file, "PNG")
        pictures[colour] = {"bytes": file.getvalue(), "path": f"{colour}.png"}
    for part, questions in VQA_QUESTIONS.items():
        rows = []
        for number, (question, colour, counts, answer_type) in enumerate(questions):
            known = {name: count for name, count in counts.items() if name in VQA_ANSWERS}
            rows.append(
                {
                    "id": f"{part}{number}",
                    "text": question,
                    "image": pictures[colour],
                    "answers": [name for name, count in counts.items() for _ in range(count)],
                    "answer_ids": [VQA_ANSWERS.index(name) for name in known],
                    "answer_scores": [min(10, 3 * count) / 10 for count in known.values()],
                    "question_type": question.split()[0],
                    "answer_type": answer_type,
                }
            )
        kinds = {"answers": pa.list_(pa.string()), "answer_ids": pa.list_(pa.int32())}
        kinds |= {"answer_scores": pa.list_(pa.float32())}
        columns = {name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]}
        pq.write_table(pa.table(columns), folder / f"{part}.parquet")
    return str(folder)


@pytest.fixture(scope="session")
def wordnet_dir(tmp_path_factory) -> str:
    return str(write_wordnet(tmp_path_factory.mktemp("wordnet")))


@pytest.fixture(scope="session")
def python_without_package(tmp_path_factory) -> Path:
    """A virtual environment of its own that has all that is installed here, but for the package."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    # Folders named in such a file are searched; an editable install is such a file itself, and is not read there.
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    python = folder / "bin" / "python"
    if subprocess.run([python, "-c", "import duosent"], capture_output=True, cwd=folder).returncode == 0:
        pytest.skip("duosent is installed as a copy, which no environment over these packages can leave out.")
    return python


@pytest.fixture
def start_hub():
    """Starts a Hub over a folder, see `loopback_hub.py`; gives the environment of processes that find it there."""
    running = []

    def start(folder: Path, takes: int = sys.maxsize) -> dict[str, str]:
        server = Path(__file__).with_name("loopback_hub.py")
        command = [sys.executable, str(server), str(folder), str(takes)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        endpoint = f"http://127.0.0.1:{running[-1].stdout.readline().strip()}"
        home = {"HF_HOME": str(folder.with_name("home")), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_made_up"}
        return {**os.environ, "HF_ENDPOINT": endpoint, **home}

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()
