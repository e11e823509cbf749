"""Run transformers' own common tests against the classes of duosent.

They are part of the source distribution of transformers, not of its wheel: it is fetched from the package index in
the version that is installed, unpacked under `.venv/`, and the folders that it lacks are filled with the empty
stand-ins beside this file.
Prints what passed, what failed, and each reason for which something was skipped.
"""

import collections
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def unpack_common_tests() -> Path:
    """Folder that holds transformers' `tests` package, our tests in it."""
    version = importlib.metadata.version("transformers")
    home = ROOT / ".venv" / "hf_common" / version
    tests = home / f"transformers-{version}" / "tests"
    if not tests.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(home), f"transformers=={version}"], check=True)
        with tarfile.open(next(home.glob("transformers-*.tar.gz"))) as archive:
            members = [m for m in archive.getmembers() if "/tests/" in m.name]
            archive.extractall(home, members=members, filter="data")
    (tests / "__init__.py").touch()
    shutil.copytree(HERE / "stand_ins", tests, dirs_exist_ok=True)
    shutil.copytree(HERE / "hub_fixtures", tests.parent / "utils", dirs_exist_ok=True)
    shutil.rmtree(tests / "duosent_tests", ignore_errors=True)
    shutil.copytree(HERE / "duosent_tests", tests / "duosent_tests")
    return tests


def main() -> int:
    tests = unpack_common_tests()
    report = tests.parent / "report.xml"
    command = [sys.executable, "-m", "pytest", "--quiet", "--no-header", "-p", "no:cacheprovider", "-n", "2"]
    command += [
        "-W",
        "ignore::pytest.PytestUnknownMarkWarning",
        "--rootdir",
        str(tests.parent),
        "-c",
        "/dev/null",
        f"--junitxml={report}",
        *sys.argv[1:],
    ]
    code = subprocess.run([*command, str(tests / "duosent_tests")], cwd=tests.parent).returncode

    counts, reasons = collections.Counter(), collections.Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        counts["failed" if failed else "passed" if skipped is None else "skipped"] += 1
        if skipped is not None:
            reasons[skipped.get("message")] += 1
    print("\nSkipped, and why:")
    for reason, count in reasons.most_common():
        print(f"{count:4d}  {reason}")
    print(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return code


if __name__ == "__main__":
    sys.exit(main())
