"""A checkpoint with its code beside it, read by a Python that has transformers but not this package."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import CLASSIFIERS, build, make_batch
from torch.testing import assert_close
from transformers import pipeline

from duosent import (
    ImageTextClassificationPipeline,
    ImageTextProcessor,
    MdseConfig,
    MdseForImageTextClassification,
    MdseModel,
    RadmForVisualQuestionAnswering,
)
from duosent.configuration.remote_code import FOLDERS
from duosent.training.adapters import add_adapters, save_adapters

ROOT = Path(__file__).resolve().parent.parent.parent
CNN = {"model_type": "resnet", "hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "layer_type": "basic"}
TIMM = {"model_type": "timm_wrapper", "architecture": "test_resnet", "do_pooling": False}
CALIBRATION = {"tasks": {"label": {"temperature": 3.0, "num_labels": 3}}}
MODELS = {
    **CLASSIFIERS,
    "mdse": (MdseForImageTextClassification, {"calibration": CALIBRATION}),
    "mdse_cnn": (MdseForImageTextClassification, {"vision_config": CNN}),
    "mdse_timm": (MdseForImageTextClassification, {"vision_config": TIMM}),
    "mdse_tasks": (MdseForImageTextClassification, {"tasks": {"mood": ["good"], "wish": ["love", "none"]}}),
    "mdse_adapters": (MdseForImageTextClassification, {}),
    "mdse_base": (MdseModel, {}),
    "radm_answers": (RadmForVisualQuestionAnswering, {}),
}
ASK = """
import json, sys
from pathlib import Path
import torch, transformers
from PIL import Image
from safetensors.torch import load_file, save_file

try:
    import duosent
except ImportError:
    pass
else:
    sys.exit("duosent is installed here.")
folder = Path(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
batch = load_file(folder / "batch.safetensors")
answers = {}
for name, auto in json.loads((folder / "models.json").read_text()).items():
    config = transformers.AutoConfig.from_pretrained(folder / name, trust_remote_code=True)
    for place in (folder / name, folder / "again" / name, folder / "once_more" / name):
        model = getattr(transformers, auto).from_pretrained(place, trust_remote_code=True).eval()
        assert model.config.model_type == config.model_type and "transformers_modules" in type(model).__module__
        with torch.no_grad():
            output = model(**batch)
        answers[f"{place.parent.name} {name}"] = output["logits"] if "logits" in output else output["fused_embeds"]
        following = folder / ("once_more" if place.parent.name == "again" else "again") / name
        if place.parent.name != "once_more":
            model.save_pretrained(following)
for place in (folder / "mdse", folder / "processor"):
    processor = transformers.AutoProcessor.from_pretrained(place, trust_remote_code=True)
    seen = processor(text="a good day", images=Image.open(folder / "sun.png"))
    answers |= {f"{place.name} {key}": value for key, value in seen.items()}
    processor.save_pretrained(folder / "again" / "processor")
processor = transformers.AutoProcessor.from_pretrained(folder / "again" / "processor", trust_remote_code=True)
answers["processor again"] = processor(text="a good day")["input_ids"]
said = []
for place in (folder / "mdse", folder / "again" / "pipeline", folder / "once_more" / "pipeline"):
    classify = transformers.pipeline("image-text-classification", model=str(place), trust_remote_code=True)
    said.append(classify({"text": "a good day", "image": str(folder / "sun.png")}, top_k=None))
    classify.save_pretrained(str(folder / ("once_more" if said[1:] else "again") / "pipeline"))
(folder / "said.json").write_text(json.dumps(said))
save_file(answers, folder / "answers.safetensors")
"""


def save_with_adapters(folder: Path, *encoders: str) -> MdseForImageTextClassification:
    """A model whose towers lie in other folders."""
    torch.manual_seed(0)
    model = MdseForImageTextClassification.from_encoders(*encoders, hidden_size=16, num_attention_heads=2)
    add_adapters(model, rank=2, alpha=4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    save_adapters(model, folder)
    return model.eval()


def test_every_checkpoint_answers_the_same_without_the_package(
    python_without_package, processor, text_encoder_dir, image_encoder_dir, tmp_path
):
    batch = make_batch()
    del batch["labels"]
    batch["text_present"][0] = batch["image_present"][3] = False
    save_file(batch, tmp_path / "batch.safetensors")
    autos, expected = {}, {}
    for name, (model_class, config) in MODELS.items():
        if name == "mdse_adapters":
            model = save_with_adapters(tmp_path / name, text_encoder_dir, image_encoder_dir)
        else:
            model = build(model_class, **config)
            model.save_pretrained(tmp_path / name)
        with torch.no_grad():
            output = model(**batch)
        expected[name] = output["logits"] if "logits" in output else output["fused_embeds"]
        kinds = {MdseModel: "AutoModel", RadmForVisualQuestionAnswering: "AutoModelForVisualQuestionAnswering"}
        autos[name] = kinds.get(model_class, "AutoModelForSequenceClassification")
    (tmp_path / "models.json").write_text(json.dumps(autos))
    Image.new("RGB", (40, 30), (240, 200, 40)).save(tmp_path / "sun.png")
    processor.save_pretrained(tmp_path / "mdse")
    processor.save_pretrained(tmp_path / "processor")

    words = [python_without_package, "-c", ASK, tmp_path, str(torch.get_num_threads())]
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = load_file(tmp_path / "answers.safetensors")
    for name, logits in expected.items():
        files = [{file.name for file in (place / name).glob("*.py")} for place in (tmp_path, tmp_path / "once_more")]
        assert files[0] == files[1], name
        for place in (tmp_path.name, "again", "once_more"):
            # Not to the bit: a convolution may be another one in another process.
            assert_close(answers[f"{place} {name}"], logits, rtol=0, atol=1e-5, msg=f"{place} {name}")
    seen = processor(text="a good day", images=Image.open(tmp_path / "sun.png"))
    for place in ("mdse", "processor"):
        assert all(torch.equal(answers[f"{place} {key}"], value) for key, value in seen.items())
    assert torch.equal(answers["processor again"], seen["input_ids"])
    classify = pipeline("image-text-classification", model=str(tmp_path / "mdse"))  # asks for no trust
    assert type(classify) is ImageTextClassificationPipeline
    expected = classify({"text": "a good day", "image": str(tmp_path / "sun.png")}, top_k=None)
    for said in json.loads((tmp_path / "said.json").read_text()):
        assert [answer["label"] for answer in said] == [answer["label"] for answer in expected]
        for answer, known in zip(said, expected, strict=True):
            assert answer["score"] == pytest.approx(known["score"], abs=1e-5)


def test_names_of_modules_are_one_of_a_kind():
    """Beside a checkpoint all lie in one folder."""
    names = Counter(
        file.stem for folder in FOLDERS for file in (ROOT / folder).glob("*.py") if file.stem != "__init__"
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_config_from_a_repository_points_to_the_code_beside_it(tmp_path):
    """What was loaded from the Hub names classes as `owner/name--module.Class`."""
    config = MdseConfig()
    config.auto_map = {"AutoModel": "owner/name--modeling_mdse.MdseModel"}
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["auto_map"]["AutoModel"] == "modeling_mdse.MdseModel"
    for reference in saved["auto_map"].values():
        module, name = reference.split(".")
        assert f"class {name}(" in (tmp_path / f"{module}.py").read_text()


def test_the_processor_is_the_same_after_it_was_saved(processor, tmp_path):
    before = processor.to_dict()
    processor.save_pretrained(tmp_path)
    assert processor.to_dict() == before
    assert json.loads((tmp_path / "processor_config.json").read_text())["auto_map"] == {
        "AutoProcessor": "processing_image_text.ImageTextProcessor"
    }
    assert ImageTextProcessor.from_pretrained(tmp_path).to_dict() == before
