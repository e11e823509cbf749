"""A data set's name on the Hub, streamed and not, from a Hub on this machine."""

import json
import subprocess
import sys

import trees

from duosent.data.prepare import prepare

SCRIPT = """
import json, sys
from duosent.data.pairs import load_pairs
out = []
for streaming in (False, True):
    splits = load_pairs("anna/posts", streaming=streaming)
    out.append({split: [{**row, "image": len(row["image"]["bytes"])} for row in splits[split]] for split in splits})
try:
    load_pairs("anna/nowhere", streaming=True)
except ValueError as error:
    out.append(str(error))
print(json.dumps(out))
"""


def test_a_name_on_the_hub(start_hub, tmp_path):
    posts = tmp_path / "hub" / "datasets" / "anna" / "posts"
    prepare("twitter-2015", trees.write_twitter(tmp_path / "raw"), posts)
    (posts / "rejected.parquet").unlink()
    (posts / "dataset.json").unlink()
    hub = start_hub(tmp_path / "hub")
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=hub, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole, streamed, message = json.loads(done.stdout)
    assert streamed == whole
    assert [row["target"] for row in whole["train"]] == ["Bob Lee", "win", "St Ives"]
    assert list(whole) == ["train", "validation", "test"] and whole["train"][0]["image"] == len(trees.jpeg(7))
    assert message.startswith("anna/nowhere is neither a file or folder here nor a data set that the Hub gives: ")
    assert "\n" not in message
