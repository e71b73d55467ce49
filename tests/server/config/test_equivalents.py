"""The options of uvicorn, Gunicorn, waitress: each is ours, or what to write instead is told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gunicorn.config
import pytest
import uvicorn
import waitress.adjustments
from click.testing import CliRunner

from bridge.errors import ConfigError
from bridge.server.cli import main
from bridge.server.config.config import SETTINGS
from bridge.server.config.equivalents import GUNICORN, NOTES, UVICORN, WAITRESS, equivalent
from bridge.server.config.sources import from_python, make_config, unknown_variables

OURS = {option for each in main.commands["serve"].params for option in each.opts}  # type: ignore[attr-defined]
OURS |= {option for each in main.commands["serve"].params for option in each.secondary_opts}  # type: ignore[attr-defined]
#: Of every program, and no setting of ours.
COMMON = {"--version", "-v", "--help", "-h"}


def options_of_uvicorn() -> set[str]:
    params = [each for each in uvicorn.main.params if each.name != "app"]
    return {option for each in params for option in (*each.opts, *each.secondary_opts)} - COMMON


def options_of_gunicorn() -> set[str]:
    return {option for each in gunicorn.config.KNOWN_SETTINGS for option in each.cli or ()} - COMMON


def options_in_help(program: str) -> set[str]:
    """What `--help` of the installed program lists."""
    done = subprocess.run(
        [sys.executable, "-m", program, "--help"], capture_output=True, text=True, check=True
    )
    heads = re.findall(r"^  ?(?:  )?-.*?(?=  |$)", done.stdout, re.M)
    return {each for head in heads for each in re.findall(r"(?<![\w-])--?[a-z][\w-]*", head, re.I)}


def options_of_waitress() -> set[str]:
    """Its keys in an INI file, as options."""
    keys = [name for name, _ in waitress.adjustments.Adjustments._params]
    return {"--" + name.replace("_", "-") for name in keys}


@pytest.mark.parametrize(
    ("program", "listed"),
    [("uvicorn", options_of_uvicorn()), ("gunicorn", options_of_gunicorn())],
)
def test_the_lists_are_whole(program: str, listed: set[str]) -> None:
    """O5: what a user of the program finds in its help is what is looked for here."""
    assert options_in_help(program) - COMMON == listed


@pytest.mark.parametrize(
    ("table", "theirs"),
    [
        (UVICORN, options_of_uvicorn()),
        (GUNICORN, options_of_gunicorn()),
        (WAITRESS, options_of_waitress()),
    ],
    ids=["uvicorn", "gunicorn", "waitress"],
)
def test_every_option_is_ours_or_has_an_answer(table: dict[str, str], theirs: set[str]) -> None:
    """S63, O5: read from the programs; none is missing, or there twice, or not one of theirs."""
    assert len(theirs) > 30
    assert theirs - OURS - table.keys() == set()
    assert table.keys() & OURS == set()
    assert table.keys() - theirs == set()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--http2"], "--http2 is an option of uvicorn; here: this server speaks HTTP/1.1"),
        (["--use-colors"], "here: there are colours on a terminal, unless NO_COLOR is set"),
        (["-D"], "it stays in the foreground; have systemd or your container do it"),
        (["--reuse-port"], "is an option of Gunicorn"),
        (["--worker-class", "gthread"], "say --runner thread|greenlet|inline"),
    ],
)
def test_an_option_of_theirs_gets_its_equivalent(given: list[str], said: str) -> None:
    """S63: before and behind `serve`; and no guess by spelling."""
    for arguments in (["serve", "shop:app", *given], [*given, "shop:app"]):
        ended = CliRunner().invoke(main, arguments)
        assert ended.exit_code == 2
        assert said in ended.output
        assert "Did you mean" not in ended.output


@pytest.mark.parametrize("table", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_what_is_advised_exists(table: dict[str, str]) -> None:
    """S63: every option behind `say` is one of ours."""
    for option, advice in table.items():
        _, say, words = advice.partition("say --")
        if say:
            assert f"--{words.split()[0].rstrip(',;')}" in OURS, option


def test_notes_are_about_what_works() -> None:
    """O5: each is about an option of ours that one of the programs has, too."""
    assert NOTES.keys() <= OURS
    assert NOTES.keys() <= options_of_uvicorn() | options_of_gunicorn()


def test_a_typing_error_still_gets_what_is_close() -> None:
    """S63: an option of nobody is told by its spelling."""
    assert equivalent("--prot") is None
    assert "--port" in CliRunner().invoke(main, ["serve", "--prot=1"]).output


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("--graceful-timeout", "timeout_graceful_shutdown"),
        ("--keep-alive", "timeout_keep_alive"),
        ("--certfile", "ssl_certfile"),
        ("--keyfile", "ssl_keyfile"),
        ("--ca-certs", "ssl_ca_certs"),
        ("--ciphers", "ssl_ciphers"),
        ("--limit-request-fields", "limit_header_count"),
        ("--access-logformat", "access_log_format"),
        ("--websocket-max-message-size", "ws_max_message_size"),
        ("--asgi-lifespan", "lifespan"),
        ("--cert-reqs", "ssl_cert_reqs"),
        ("--error-logfile", "log_file"),
        ("--h11-max-incomplete-event-size", "limit_header_size"),
        ("--worker-connections", "limit_connections"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    """S63: what means the same may be written as there."""
    (setting,) = [each for each in SETTINGS if alias in each.flags]
    assert setting.name == name


def test_files_variables_and_python_get_the_same_answer(tmp_path: Path) -> None:
    """S63: a name of theirs in a file, in the environment and in `serve` is told the same.

    So is what is an option of the command line, and no setting.
    """
    (tmp_path / "x.toml").write_text("uds = '/run/x'\n")
    for failing in (
        lambda: make_config({}, {}, str(tmp_path / "x.toml")),
        lambda: from_python(None, {"uds": "/run/x"}),
    ):
        with pytest.raises(
            ConfigError, match="--uds is for the command line alone; else: say --bind u"
        ):
            failing()
    (line,) = unknown_variables(["BRIDGE_UDS"])
    assert line.endswith("--uds is for the command line alone; else: say --bind unix:PATH")
