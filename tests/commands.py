"""Calls of the command line inside the tests' own process."""

from duosent.cli import main


def call(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `duosent words...`."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def wrong_call(capsys, *words) -> str:
    """The one sentence with which a call is refused."""
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert err.endswith((".\n", "?\n")) and err.count("\n") == 1, err
    return err
