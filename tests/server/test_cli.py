"""The command line as a user meets it: help, mistakes, exit codes; each run is a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import bridge
from bridge import accelerator
from bridge.server.cli import main
from bridge.server.config import commands
from bridge.server.config.config import SETTINGS
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.processes import children
from tests.support.waiting import eventually

HELLO = "tests.support.apps.hello:wsgi"


def run(
    *arguments: str, cwd: Path = hosts.ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """`asgi-bridge` with these arguments, in a process of its own, until it ends."""
    command = [sys.executable, "-m", "bridge", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60
    )


# ------------------------------------------------------------- help


def test_help_shows_every_setting_in_its_section() -> None:
    """What can be set can be found."""
    shown = CliRunner().invoke(main, ["serve", "--help"], terminal_width=100).output
    for setting in SETTINGS:
        if setting.name in commands.SERVE:
            assert f"{setting.section}:" in shown
            assert setting.name == "app" or setting.flag in shown
    assert "--access-log / --no-access-log" in shown
    assert "-w, --workers N" in shown
    assert "--config FILE" in shown
    assert "--mount PATH=APP" in shown


def test_help_shows_defaults_and_choices() -> None:
    """A default is shown as one would write it."""
    shown = " ".join(
        CliRunner().invoke(main, ["serve", "--help"], terminal_width=200).output.split()
    )
    assert "thread|greenlet|inline" in shown
    assert "[8000]" in shown
    assert "[666]" in shown


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_version(arguments: list[str]) -> None:
    """The version is that of the package, and it says whether the accelerator is used."""
    output = CliRunner().invoke(main, arguments).output
    used = "without" if accelerator.read_head is None else "with"
    assert output == f"asgi-bridge, version {bridge.__version__}, {used} the accelerator\n"


def test_module_and_command_are_one() -> None:
    """`python -m bridge` is `asgi-bridge`, by that name."""
    assert "Usage: asgi-bridge serve" in run("serve", "--help").stdout


# ------------------------------------------------------------- exit code 2: wrong usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", HELLO, "--port", "http"], "--port is 'http'; allowed is a whole number from 0"),
        (["serve", HELLO, "--runner", "fork"], "--runner is 'fork'; allowed is one of thread,"),
        (["serve", HELLO, "--mount", "/=a:b"], "both an app"),
        (["serve", "--mount", "old:app"], "--mount is 'old:app'; allowed is PATH=APP, such as /="),
        (["serve", "--mount", "/=wsg:old:app"], "did you mean /=wsgi:old:app?"),
        (["serve", HELLO, "--app-dir", "nowhere"], "app_dir is 'nowhere', and "),
        (["serve", HELLO, "--uds-mode", "999"], "--uds-mode is '999'; allowed is octal permission"),
        (["serve", HELLO, "--timeout-body=-1"], "a number of seconds, at least 0 (0: never)"),
        (["serve", HELLO, "--reload", "--reload-dir", "nowhere"], "there is no such directory"),
        (["serve", HELLO, "--prot", "1"], "No such option"),
        (["serve", HELLO, "--request-timeout", "1"], "did you mean --timeout-request?"),
        (["serve", HELLO, "-k", "gevent"], "; greenlet with --patch, or bridge.greenlet_patch()"),
        (["serve", HELLO, "--port=0", "--max-blocking-time=1e30"], "the most is 1000000000 s"),
        (
            ["serve", "--ws-per-message-deflate", "False", HELLO],
            "--ws-per-message-deflate takes no value (seen: False); say --ws-per-message-deflate "
            "or --no-ws-per-message-deflate",
        ),
        (["serve", HELLO, "--proxy-protocol", "auto"], "--proxy-protocol takes no value (seen: a"),
        (["serve", HELLO, "-c", "none.toml"], "cannot read none.toml"),
        (["serve", HELLO, "--bind", "nowhere"], "nowhere"),
        (["serve"], "no app is named; say module:attr"),
        (["gateway"], "no channels are named"),
        (["gateway", "shop:app"], "a gateway runs no app (seen: shop:app)"),
        (["gateway", "shop:app"], "asgi-bridge worker shop:app"),
        (["serve", "shop:app", "other:app"], "(seen as well: other:app); more: --mount"),
        (["worker", HELLO], "no channels are named"),
        (["server"], "No such command"),
        (["old:app"], "No such command 'old:app'; say: asgi-bridge serve old:app\n"),
        (["old.wsgi", "--port=1"], "; say: asgi-bridge serve old.wsgi --port=1\n"),
        (["run", "old:app"], "No such command 'run'; say: asgi-bridge serve module:attr\n"),
        (
            ["--port=1", "old:app"],
            "--port belongs to serve; say: asgi-bridge serve --port=1 old:app",
        ),
        (["--no-access-log", "old:app"], "; say: asgi-bridge serve --no-access-log old:app"),
        (["--prot=1", "old:app"], "No such option"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str], said: str) -> None:
    """What is wrong is said in one line that tells what is allowed, and nothing is served."""
    ended = run(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_environment_is_named_where_it_is_wrong() -> None:
    """A wrong variable is told by its name."""
    ended = run("serve", HELLO, BRIDGE_THREADS="none")
    assert (ended.returncode, "BRIDGE_THREADS is 'none'" in ended.stderr) == (2, True)


def test_a_variable_that_is_none_of_ours_is_warned_of() -> None:
    """A typing error in the environment is not silent, and does not stop the server either."""
    ended = run("serve", HELLO, "--port", "http", BRIDGE_THREDS="3")
    said = "Warning: BRIDGE_THREDS is not a setting and is ignored; did you mean BRIDGE_THREADS?\n"
    assert said in ended.stderr


def test_what_platforms_set_does_not_stop_the_start(start_host: StartHost) -> None:
    """S64: Heroku's WEB_CONCURRENCY, and Kubernetes' variables of a Service called bridge."""
    platform = {"WEB_CONCURRENCY": "2", "BRIDGE_PORT": "tcp://10.0.0.1:80"}
    host = start_host(hosts.bridge(HELLO).with_env(**platform))
    assert httpx.get(host.url("/")).text == "Hello, world!"
    lines = [line for line in host.log().splitlines() if line.startswith("Warning: ")]
    assert lines[0].startswith("Warning: ignored: BRIDGE_PORT, set by Kubernetes")
    assert len(lines) == 1
    pid = host.process.pid
    eventually(lambda: len(children(pid)) == 2)


# ------------------------------------------------------------- showing and checking


def test_config_shows_where_settings_come_from(tmp_path: Path) -> None:
    """O6: the options, the variables and the file of `serve`; a variable that is none is told."""
    (tmp_path / "bridge.toml").write_text("threads = 3\n")
    arguments = ["config", "shop:app", "-c", "bridge.toml", "--timeout-write", "5m", "--json"]
    done = run(*arguments, cwd=tmp_path, PYTHONPATH=str(hosts.ROOT), BRIDGE_PORT="9", BRIDGE_PT="")
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: BRIDGE_PT is not a setting and is ignored; ")
    found = json.loads(done.stdout)
    assert {name: each for name, each in found.items() if each["source"] != "default"} == {
        "app": {"value": "shop:app", "source": "MODULE:ATTR"},
        "port": {"value": 9, "source": "BRIDGE_PORT"},
        "threads": {"value": 3, "source": "threads in bridge.toml"},
        "timeout_write": {"value": 300.0, "source": "--timeout-write"},
    }


def test_surroundings_come_before_settings(tmp_path: Path) -> None:
    """O5: the directory, the variables and the binds of uvicorn's and Gunicorn's options."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pyproject.toml").write_text("[tool.bridge]\nthreads = 3\n")
    (tmp_path / ".env").write_text("BRIDGE_PORT=9\nBRIDGE_BACKLOG=10\n")
    given = ["--chdir=run", "--env-file=.env", "-e", "BRIDGE_BACKLOG=11", "--uds=x", "--fd=3"]
    done = run("config", "--json", *given, cwd=tmp_path, PYTHONPATH=str(hosts.ROOT))
    assert (done.returncode, done.stderr) == (0, "")
    found = {name: each["value"] for name, each in json.loads(done.stdout).items()}
    assert (found["threads"], found["port"], found["backlog"]) == (3, 9, 11)
    assert found["bind"] == ["unix:x", "fd://3"]
    done = run("serve", "--env", "A")
    assert (done.returncode, done.stderr.endswith("--env is 'A'; allowed is NAME=VALUE\n")) == (
        2,
        True,
    )


def test_config_with_a_wrong_setting() -> None:
    """O6: it is told as at a start, with 2."""
    done = run("config", "--port", "x")
    assert done.returncode == 2
    assert "Error: --port is 'x'; allowed is a whole number from 0 to 65535\n" in done.stderr


def test_serve_shows_its_settings_too() -> None:
    """O6: `--print-config`, Gunicorn's name, shows the same and starts nothing."""
    shown = run("config", "no.such:app", "--port", "9")
    printed = run("serve", "no.such:app", "--port", "9", "--print-config")
    assert printed.returncode == shown.returncode == 0
    assert "\nport  " in shown.stdout
    assert printed.stdout == shown.stdout


def test_serve_checks_without_serving() -> None:
    """O6: `--check-config` says what is served, or what is wrong; settings come first, if asked."""
    done = run("serve", HELLO, "--check-config")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nthe settings and the app are in order\n")
    done = run("serve", "no.such:app", "--check-config", "--print-config")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: there is no module 'no'")
    assert "# The app\n" in done.stdout


# ------------------------------------------------------------- serving


def test_mounts_from_the_shell(start_host: StartHost) -> None:
    """D1, D2: apps of both kinds, one of them with its kind said."""
    mounts = ("--mount", "/=wsgi:tests.support.apps.hello:wsgi")
    host = start_host(hosts.bridge(*mounts, "--mount", "/new=tests.support.apps.hello:asgi"))
    assert httpx.get(host.url("/")).status_code == 200
    assert httpx.get(host.url("/new")).status_code == 200


def test_an_app_and_a_factory_from_the_shell(start_host: StartHost, tmp_path: Path) -> None:
    """S62: mounted together, the factory with its argument."""
    (tmp_path / "made.py").write_text(
        "def create_app(name=None):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [repr(name).encode()]\n"
        "    return app\n"
    )
    calls = ("--mount", "/a=made:create_app()", "--mount", '/b=made:create_app("production")')
    host = start_host(hosts.bridge("--mount", f"/={HELLO}", *calls, "--app-dir", str(tmp_path)))
    answers = {path: httpx.get(host.url(path)).text for path in ("/", "/a", "/b")}
    assert answers == {"/": "Hello, world!", "/a": "None", "/b": "'production'"}


def test_a_forgotten_factory_is_named(tmp_path: Path) -> None:
    """D2: `create_app(test_config=None)`, as in Flask's tutorial."""
    (tmp_path / "forgot.py").write_text("def create_app(test_config=None): ...\n")
    for target in (["forgot:create_app"], ["--mount", "/=forgot:create_app"]):
        ended = run("serve", *target, "--app-dir", str(tmp_path), "--port=0")
        assert ended.returncode == 3
        assert "say --factory, or forgot:create_app()" in ended.stderr


def test_kind_not_told() -> None:
    """D2: an app whose kind cannot be told is named once, with what to do; exit code 3."""
    result = subprocess.run(
        [sys.executable, "-m", "bridge", "serve", "tests.support.apps.hello:undecided"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: cannot tell what kind of app")
    assert result.stderr.count("--interface") == 1


def test_kind_of_a_mount_not_told() -> None:
    """D2: the same for a mount, whose kind is said in another way."""
    target = "tests.support.apps.hello:undecided"
    for ended in (
        run("serve", "--mount", f"/x={target}"),
        run("serve", BRIDGE_MOUNT=f"/x={target}"),
    ):
        assert ended.returncode == 3
        assert ended.stderr.startswith(f"Error: {target} at /x: cannot tell what kind of app")
        assert ended.stderr.endswith(f"such as --mount /x=wsgi:{target}\n")


def test_a_kind_that_the_app_contradicts(start_host: StartHost) -> None:
    """D2: it is served as was said, and the log names the remedy before the first request fails."""
    host = start_host(hosts.bridge(HELLO, "--interface", "asgi3"))
    eventually(lambda: "running on" in host.log())
    warning = host.log().partition("running on")[0]
    assert f"WARNING: {HELLO} is served as asgi3, as interface says, but it looks like" in warning
    assert "say --interface wsgi\n" in warning
    assert httpx.get(host.url("/")).status_code == 500


def test_settings_from_file_and_environment(start_host: StartHost, tmp_path: Path) -> None:
    """S11: the file switches one field off, the environment the other."""
    (tmp_path / "settings.toml").write_text(f"app = '{HELLO}'\nserver-header = false\n")
    command = hosts.bridge("-c", str(tmp_path / "settings.toml"))
    host = start_host(command.with_env(BRIDGE_DATE_HEADER="off"))
    response = httpx.get(host.url("/"))
    assert response.status_code == 200
    assert {"server", "date"}.isdisjoint(response.headers)


def test_an_option_of_another_server() -> None:
    """S63: it is answered with what to write instead, before `serve` and behind it."""
    for arguments in (["serve", HELLO, "--http2"], ["--http2", HELLO]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert "--http2 is an option of uvicorn; here: this server speaks HTTP/1.1" in done.output
