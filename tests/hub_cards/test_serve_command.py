"""`duosent serve` without a browser: what it refuses, where it listens, and the Space's files without the package."""

import os
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import call, wrong_call
from gradio_client import Client
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from served import serve_command, served
from setuptools.config.setupcfg import read_configuration
from tiny import build
from transformers import pipeline

from duosent import MdseForImageTextClassification

ROOT = Path(__file__).resolve().parent.parent.parent
SPACE = ROOT / "hub_cards" / "space"
WORDS = "a good day"


@pytest.fixture(scope="module")
def checkpoint(processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    build(MdseForImageTextClassification).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_out_of_range_is_a_wrong_call(capsys, port):
    assert wrong_call(capsys, "serve", "c", "--port", port).endswith(f"--port must be from 1 to 65535, got {port}.\n")


def test_without_gradio_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, err = call(capsys, "serve", "c")
    assert (code, out) == (1, "")
    assert err == "duosent serve failed: The page needs Gradio: pip install 'duosent[serve]'.\n"


def test_what_is_no_checkpoint_is_one_sentence(capsys, tmp_path):
    code, out, err = call(capsys, "serve", tmp_path / "nothing")
    assert (code, out) == (1, "")
    assert err.startswith("duosent serve failed: ") and err.count("\n") == 1, err


def test_it_listens_to_this_machine_alone_at_the_port_that_was_asked_for(checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # What Gradio would be told by the environment.
    environment = os.environ | {"GRADIO_SERVER_NAME": "0.0.0.0"}
    with served(serve_command(checkpoint, "--port", str(port)), env=environment) as address:
        assert urlsplit(address).netloc == f"127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))
        command = serve_command(checkpoint, "--port", str(port))
        taken = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert taken.returncode == 1
    assert taken.stderr.startswith("duosent serve failed: ") and str(port) in taken.stderr


@pytest.mark.slow
def test_a_space_needs_no_package(checkpoint, python_without_package, tmp_path):
    """The folder as the Hub runs it, in a Python without this package."""
    environment = {"PATH": os.environ["PATH"], "HF_HOME": str(tmp_path), "DUOSENT_MODEL": str(checkpoint)}
    command = [python_without_package, "app.py"]
    with served(command, cwd=SPACE, env=environment | {"GRADIO_SERVER_NAME": "127.0.0.1"}) as address:
        answer = Client(address, verbose=False).predict(text=WORDS, top_k=3, api_name="/classify")
    known = pipeline("image-text-classification", model=str(checkpoint))(WORDS, top_k=3)
    assert [entry["label"] for entry in answer] == [entry["label"] for entry in known]
    assert [entry["score"] for entry in answer] == pytest.approx([entry["score"] for entry in known], abs=1e-5)


def test_the_spaces_card_and_requirements_are_true():
    card = SpaceCard.load(SPACE / "README.md", ignore_metadata_errors=False)
    assert (card.data.sdk, card.data.app_file, card.data.license) == ("gradio", "app.py", "apache-2.0")
    options = read_configuration(ROOT / "setup.cfg")["options"]
    [gradio] = map(Requirement, options["extras_require"]["serve"])
    assert gradio.specifier.contains(card.data.sdk_version)
    known = {Requirement(line).name: line for line in options["install_requires"]}
    for line in (SPACE / "requirements.txt").read_text().split():
        assert line == known[Requirement(line).name]
