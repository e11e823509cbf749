"""The endpoint, in a process without this package, under good requests and a thousand bad ones."""

import base64
import io
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import build
from transformers import pipeline

from duosent import MdseForImageTextClassification
from duosent.hub_cards import publishing

SERVE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler

handle = EndpointHandler(sys.argv[1])
print(os.getpid(), flush=True)
for line in sys.stdin:
    print(json.dumps(handle(json.loads(line)), allow_nan=False), flush=True)
"""
LABELS = {"LABEL_0", "LABEL_1", "LABEL_2"}


class Endpoint:
    """A process that answers a line of JSON with a line of JSON."""

    def __init__(self, python: Path, folder: Path, **settings: str):
        environment = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", **settings}
        self.process = subprocess.Popen(
            [python, "-c", SERVE, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=folder,
        )
        self.pid = self.process.stdout.readline()

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def folder(processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("endpoint")
    build(MdseForImageTextClassification).save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "handler.py").write_text(publishing.HANDLER.read_text())
    return folder


@pytest.fixture(scope="module")
def endpoint(python_without_package, folder):
    endpoint = Endpoint(python_without_package, folder, DUOSENT_MAX_POSTS="3", DUOSENT_MAX_CHARACTERS="100")
    yield endpoint
    endpoint.close()


def encoded(size=(32, 32)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, "orange").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


SUN = encoded()
POST = {"text": "a good day", "image": SUN}


def test_the_answers_are_the_pipelines(endpoint, folder):
    classify = pipeline("image-text-classification", model=str(folder))
    posts = [POST, {"text": "a bad day"}, {"image": f"data:image/png;base64,{SUN}"}]
    expected = classify(posts, top_k=None)
    answers = endpoint.ask({"inputs": posts, "parameters": {"top_k": None}})
    assert [[answer["label"] for answer in of_post] for of_post in answers] == [
        [answer["label"] for answer in of_post] for of_post in expected
    ]
    for of_post, known in zip(answers, expected, strict=True):
        assert [answer["score"] for answer in of_post] == pytest.approx(
            [answer["score"] for answer in known], abs=1e-5
        )
    assert endpoint.ask({"inputs": POST}) == answers[0][:1]
    assert endpoint.ask({"inputs": "a bad day"}) == answers[1][:1]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ([], 'A request must be an object with "inputs".'),
        ({"inputs": POST, "token": "mine"}, "A request has inputs and parameters, got 'token'."),
        ({"inputs": []}, "inputs must hold 1 to 3 posts, got 0."),
        ({"inputs": [POST] * 4}, "inputs must hold 1 to 3 posts, got 4."),
        ({"inputs": 7}, "A post must be an object or a string, got int."),
        ({"inputs": "a" * 101}, "text must have 100 characters at most, got 101."),
        ({"inputs": {"text": "a", "target": "a" * 101}}, "target must have 100 characters at most, got 101."),
        ({"inputs": {"image": {"path": "/etc/hostname"}}}, "image must be a string with base64, got dict."),
        ({"inputs": POST, "parameters": {"allow_paths": True}}, "parameters are top_k, threshold, consistent, "),
        ({"inputs": POST, "parameters": []}, "parameters must be an object, got list."),
        ({"inputs": POST, "parameters": {"top_k": 0}}, "top_k must be a whole number >= 1, or None for all labels"),
        ({"inputs": [POST, {}]}, "Row 1: The post must have a text or a picture that the model reads, got neither."),
        (
            {"inputs": {"image": "https://example.org/sun.png"}},
            "is fetched only with allow_urls=True",
        ),
        (
            {"inputs": {"image": "/etc/hostname"}},
            "must be base64 or an address on the web, got '/etc/hostname'.",
        ),
    ],
)
def test_bad_requests_get_a_sentence(endpoint, request_, sentence):
    answer = endpoint.ask(request_)
    assert answer.keys() == {"error"} and sentence in answer["error"] and "\n" not in answer["error"], answer


def test_addresses_may_be_allowed_but_private_ones_never_are(python_without_package, folder):
    endpoint = Endpoint(python_without_package, folder, DUOSENT_ALLOW_URLS="1", DUOSENT_MAX_PIXELS="1000")
    answer = endpoint.ask({"inputs": {"image": "http://127.0.0.1:9/sun.png"}})
    large = endpoint.ask({"inputs": {"image": SUN}})
    endpoint.close()
    assert "must lead to a public address, and 127.0.0.1 has one that is not" in answer["error"]
    assert "1000" in large["error"] or "1,000" in large["error"], large


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
BROKEN_PICTURES = st.sampled_from(
    [
        SUN[:60],
        SUN[:-8],
        SUN[:80] + "AAAA" + SUN[84:],
        "data:image/png;base64,",
        f"data:text/html;base64,{SUN}",
        "file:///",
    ]
) | st.binary(max_size=90).map(lambda content: base64.b64encode(content).decode())
POSTS = st.dictionaries(
    st.sampled_from(["text", "image", "target", "imgae", "id"]), ANYTHING | BROKEN_PICTURES, max_size=3
)
REQUESTS = ANYTHING | st.fixed_dictionaries(
    {"inputs": POSTS | st.lists(POSTS | ANYTHING, max_size=3) | ANYTHING},
    optional={
        "parameters": ANYTHING
        | st.dictionaries(st.sampled_from(["top_k", "threshold", "consistent", "function_to_apply"]), ANYTHING)
    },
)


def is_answer(value) -> bool:
    return isinstance(value, list) and all(
        isinstance(answer, dict) and answer.keys() == {"label", "score"} and answer["label"] in LABELS
        for answer in value
    )


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(request_=REQUESTS)
def test_a_thousand_requests(endpoint, request_):
    answer = endpoint.ask(request_)
    if isinstance(answer, dict):
        assert answer.keys() == {"error"} and isinstance(answer["error"], str) and "\n" not in answer["error"]
        assert answer["error"] != "The request could not be answered."
    else:
        assert is_answer(answer) or all(is_answer(of_post) for of_post in answer)


def test_it_is_still_the_same_process(endpoint):
    assert endpoint.process.poll() is None and endpoint.process.pid == int(endpoint.pid)
    assert is_answer(endpoint.ask({"inputs": POST}))
