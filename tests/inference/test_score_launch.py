"""Several processes as torchrun and accelerate start them, through the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scored import contents, made_up_posts, make_checkpoint, manifest, write_parquet

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.slow
def test_two_processes_do_what_one_does(text_encoder_dir, image_encoder_dir, processor, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", (text_encoder_dir, image_encoder_dir), processor)
    posts = write_parquet(tmp_path / "posts.parquet", made_up_posts(400), row_group_size=100)
    file = (
        (ROOT / "examples" / "launch" / "one_machine.yaml").read_text().replace("num_processes: 4", "num_processes: 2")
    )
    (tmp_path / "two.yaml").write_text(file.replace("gpu_ids: all", "use_cpu: true"))
    accelerate = ["-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(tmp_path / "two.yaml")]
    words = [
        "-m",
        "duosent",
        "predict",
        checkpoint,
        "--data",
        posts,
        "--shard-rows",
        "20",
        "--device",
        "cpu",
        "--json",
    ]
    ends = {"one": [], "torchrun": TORCHRUN, "accelerate": accelerate}
    printed = {}
    for name, launcher in ends.items():
        command = [sys.executable, *launcher, *words, "--output", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        printed[name] = json.loads(done.stdout)  # of one process alone
    for name in ("torchrun", "accelerate"):
        assert contents(tmp_path / name) == contents(tmp_path / "one")
        assert manifest(tmp_path / name) == manifest(tmp_path / "one")
        assert (printed[name]["n"], printed[name]["rejected"]) == (printed["one"]["n"], printed["one"]["rejected"])
    # A changed option is refused by both, and the launcher says that the work failed.
    command = [sys.executable, *TORCHRUN, *words, "--output", str(tmp_path / "one"), "--with-sides"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode != 0 and "holds answers with with_sides False, not True" in done.stderr
