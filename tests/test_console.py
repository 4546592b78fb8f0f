import logging

import pytest

from keras_colorize.console import log, printed_log


@pytest.fixture
def no_logging(monkeypatch):
    """As in a program that has not configured logging; pytest has."""
    monkeypatch.setattr(log, "propagate", False)


@pytest.mark.usefixtures("no_logging")
def test_the_log_is_printed(capsys):
    with printed_log():
        log.info("%d images", 3)
        log.debug("no news")
    log.info("after")
    assert capsys.readouterr() == ("3 images\n", "")


@pytest.mark.usefixtures("no_logging")
def test_a_program_that_has_configured_logging_gets_it_instead(capsys, tmp_path):
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
