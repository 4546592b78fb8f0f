import io
import logging
import re
import sys

from keras_colorize.console import log, printed_log, progress_bar


def test_a_bar_is_there_from_the_start_and_anew_after_its_end(monkeypatch):
    """A source of one's own counts its images, and then they are read."""
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert progress_bar() is None
    terminal.isatty = lambda: True
    show = progress_bar("reading")
    for done, total in ((0, 2), (1, 2), (2, 2), (0, 4), (3, 4), (4, 4)):
        show(done, total)
    assert re.findall(r"reading +\S+ +(\d+)%", terminal.getvalue()) == (
        ["0", "50", "100", "0", "75", "100"]
    )
    assert terminal.getvalue().count("\n") == 2


def without_logging(monkeypatch):
    """As in a program that has not configured logging. Called by the test itself, since pytest
    adds its own handlers between fixtures and test."""
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [])


def test_the_log_is_printed(monkeypatch, capsys):
    without_logging(monkeypatch)
    with printed_log():
        log.info("%d images", 3)
        log.debug("no news")
    log.info("after")
    assert capsys.readouterr() == ("3 images\n", "")


def test_a_level_that_a_program_has_set_counts(monkeypatch, capsys):
    without_logging(monkeypatch)
    log.setLevel(logging.WARNING)
    try:
        with printed_log():
            log.info("nothing")
            log.warning("something")
    finally:
        log.setLevel(logging.NOTSET)
    assert capsys.readouterr() == ("something\n", "")


def test_it_is_printed_beside_a_result(monkeypatch, capsys):
    without_logging(monkeypatch)
    with printed_log(sys.stderr):
        log.info("on the way")
    assert capsys.readouterr() == ("", "on the way\n")


def test_a_program_that_has_configured_logging_gets_it_instead(monkeypatch, capsys, tmp_path):
    without_logging(monkeypatch)
    handler = logging.FileHandler(tmp_path / "log")
    log.addHandler(handler)
    try:
        with printed_log():
            log.warning("once")
            log.info("at the level of the program")
    finally:
        log.removeHandler(handler)
        handler.close()
    assert (tmp_path / "log").read_text() == "once\n"
    assert capsys.readouterr() == ("", "")
