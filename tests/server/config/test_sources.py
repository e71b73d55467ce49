"""Where settings come from, which source wins, and how a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server.config.sources import (
    from_ini,
    from_python,
    ignored_variables,
    make_config,
    unknown_variables,
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the project's own pyproject.toml."""
    monkeypatch.chdir(tmp_path)


def toml(text: str, name: str = "bridge.toml") -> str:
    Path(name).write_text(text)
    return name


def test_command_line_beats_environment_beats_file() -> None:
    """Each source fills in what the stronger ones leave open."""
    file = toml("port = 1\nthreads = 1\nbacklog = 1")
    environ = {"BRIDGE_PORT": "2", "BRIDGE_THREADS": "2"}
    config = make_config({"port": ("3", "--port")}, environ, file)
    assert (config.port, config.threads, config.backlog) == (3, 2, 1)


@pytest.mark.parametrize(
    ("variable", "value", "name", "found"),
    [
        ("BRIDGE_LIMIT_BODY_SIZE", "1M", "limit_body_size", 1024 * 1024),
        ("BRIDGE_ACCESS_LOG", "0", "access_log", False),
        ("BRIDGE_MOUNT", "/=a:b,/c=d:e", "mount", ("/=a:b", "/c=d:e")),
        ("BRIDGE_APP", "a:b", "app", "a:b"),
        ("PORT", "9000", "port", 9000),
        ("WEB_CONCURRENCY", "1", "workers", 1),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8", "forwarded_allow_ips", "10.0.0.0/8"),
    ],
)
def test_settings_from_the_environment(variable: str, value: str, name: str, found: object) -> None:
    """Every setting is BRIDGE_NAME, and the three names that platforms set are honoured."""
    assert getattr(make_config({}, {variable: value}, None), name) == found


def test_our_own_variable_beats_the_common_one() -> None:
    """BRIDGE_PORT was meant for us; PORT may be the platform's."""
    assert make_config({}, {"PORT": "1", "BRIDGE_PORT": "2"}, None).port == 2


def test_an_empty_variable_says_nothing() -> None:
    """`PORT=` in an env file is no port."""
    assert make_config({}, {"PORT": "", "BRIDGE_ACCESS_LOG": ""}, None).port == 8000


def test_a_platform_that_asks_for_workers_gets_them() -> None:
    """S64: Heroku sets WEB_CONCURRENCY by the machine; what says more explicitly counts more."""
    environ = {"WEB_CONCURRENCY": "4"}
    assert make_config({}, environ, None).workers == 4
    assert make_config({"workers": ("2", "--workers")}, environ, None).workers == 2
    assert make_config({}, environ | {"BRIDGE_WORKERS": "1"}, None).workers == 1
    assert ignored_variables(environ, {}) == []
    with pytest.raises(ConfigError, match="WEB_CONCURRENCY is 'many'"):
        make_config({}, {"WEB_CONCURRENCY": "many"}, None)


def service_links(name: str) -> dict[str, str]:
    """What Kubernetes sets in every pod for a Service (its docs, "Accessing the Service")."""
    return {
        f"{name}_SERVICE_HOST": "10.0.0.11",
        f"{name}_SERVICE_PORT": "8000",
        f"{name}_SERVICE_PORT_HTTP": "8000",
        f"{name}_PORT": "tcp://10.0.0.11:8000",
        f"{name}_PORT_8000_TCP": "tcp://10.0.0.11:8000",
        f"{name}_PORT_8000_TCP_PROTO": "tcp",
        f"{name}_PORT_8000_TCP_PORT": "8000",
        f"{name}_PORT_8000_TCP_ADDR": "10.0.0.11",
    }


@pytest.mark.parametrize("name", ["BRIDGE", "BRIDGE_API", "BRIDGE_PROXY"])
def test_what_kubernetes_sets_is_ignored(name: str) -> None:
    """S64: all of it, with one line that says why; PORT counts beside it."""
    environ = service_links(name)
    assert make_config({}, environ, None).port == 8000
    assert make_config({}, environ | {"PORT": "9000"}, None).port == 9000
    (line,) = ignored_variables(environ, {})
    assert line == (
        f"ignored: {name}_PORT and 7 more, set by Kubernetes for a Service whose name begins with "
        "bridge; enableServiceLinks: false in the pod keeps such variables away"
    )


def test_variables_of_other_servers_are_told() -> None:
    """S64: one line tells a user of uvicorn or Gunicorn that their variables are not read."""
    environ = {"UVICORN_PORT": "9000", "GUNICORN_CMD_ARGS": "-w 4", "UVICORN_RELOAD": "", "X": "1"}
    assert ignored_variables(environ, {}) == [
        "ignored: GUNICORN_CMD_ARGS, UVICORN_PORT, of another server; say instead "
        "BRIDGE_WORKERS=4 BRIDGE_PORT=9000"
    ]
    said = {"workers": ("2", "--workers")}
    (line,) = ignored_variables(environ | {"BRIDGE_PORT": "1"}, said)
    assert "say instead" not in line
    assert make_config({}, environ, None).port == 8000


def test_a_file_in_python_is_told() -> None:
    """S63: Gunicorn's configuration is Python, and is not taken for a broken file of ours."""
    with pytest.raises(ConfigError, match=r"not TOML: .*; files in Python, such as Gunicorn's"):
        make_config({}, {}, toml("import os", "gunicorn.conf.py"))


def test_a_port_of_ours_is_none_of_kubernetes() -> None:
    """S64: a wrong one is told, and not taken for a Service's."""
    assert make_config({}, {"BRIDGE_PORT": "9000"}, None).port == 9000
    for wrong in ("http://x", "8000/tcp"):
        with pytest.raises(ConfigError, match="BRIDGE_PORT is"):
            make_config({}, {"BRIDGE_PORT": wrong}, None)
    assert len(ignored_variables({"BRIDGE_SERVICE": "x", "BRIDGE_PORTS": "1"}, {})) == 2


@pytest.mark.parametrize(
    ("given", "environ", "file", "label"),
    [
        ({"port": ("x", "--port")}, {}, "", "--port is 'x'"),
        ({}, {"PORT": "x"}, "", "PORT is 'x'"),
        ({}, {"BRIDGE_PORT": "x"}, "", "BRIDGE_PORT is 'x'"),
        ({}, {}, "port = 'x'", "port in bridge.toml is 'x'"),
        ({}, {}, "access-log = 3", "access-log in bridge.toml is 3"),
    ],
)
def test_an_error_names_its_source(
    given: dict[str, tuple[object, str]], environ: dict[str, str], file: str, label: str
) -> None:
    """The error names the variable, which its user may not know."""
    with pytest.raises(ConfigError) as caught:
        make_config(given, environ, toml(file))
    assert str(caught.value).startswith(label)


# ------------------------------------------------------------- the file


def test_a_file_of_its_own_needs_no_table() -> None:
    """Keys may have dashes, as options have, and mounts are a table."""
    config = make_config({}, {}, toml('limit-header-count = 50\n[mount]\n"/api" = "new:app"\n'))
    assert (config.limit_header_count, config.mount) == (50, ("/api=new:app",))


def test_a_table_for_us_is_the_only_one_read() -> None:
    """A shared file keeps its other contents to itself."""
    assert make_config({}, {}, toml("other = 1\n[tool.bridge]\nport = 5\n")).port == 5


def test_pyproject_in_the_working_directory_is_read() -> None:
    """Without --config, where it has [tool.bridge]; and nothing else of it is."""
    toml("[project]\nname = 'x'\n[tool.bridge]\nport = 5\n", "pyproject.toml")
    assert make_config({}, {}, None).port == 5
    toml("[project]\nname = 'x'\n", "pyproject.toml")
    assert make_config({}, {}, None).port == 8000
    assert make_config({}, {}, "pyproject.toml").port == 8000


def test_the_environment_can_name_the_file() -> None:
    """BRIDGE_CONFIG does what --config does, and --config beats it."""
    environ = {"BRIDGE_CONFIG": toml("port = 5")}
    assert make_config({}, environ, None).port == 5
    assert make_config({}, environ, toml("port = 6", "other.toml")).port == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 5", "prot in bridge.toml is not a setting; did you mean port?"),
        ("zzzzzz = 5", "zzzzzz in bridge.toml is not a setting; asgi-bridge serve --help lists"),
        (
            "limit-concurrency = 5",
            "limit-concurrency in bridge.toml is not a setting; did you mean",
        ),
        ("[mounts]\n'/' = 'a:b'", "mounts in bridge.toml is not a setting; did you mean mount?"),
        ("port = ", "bridge.toml is not TOML: "),
        ("port = 5\ntool = 3", "tool in bridge.toml is not a setting"),
    ],
)
def test_a_wrong_file_says_where(text: str, said: str) -> None:
    """A typing error in a file is not ignored."""
    with pytest.raises(ConfigError) as caught:
        make_config({}, {}, toml(text))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[server]\nport = 5",
            "server in bridge.toml is a table that is not read; settings are ",
        ),
        ("[tool.bridge.server]\nport = 5", "server in bridge.toml is a table that is not read; "),
        (
            "[tool.asgi-bridge]\nport = 5",
            "[tool.asgi-bridge] in bridge.toml is not read; settings ",
        ),
        ("[tool.bridge]\n[tool.asgi_bridge]", "[tool.asgi_bridge] in bridge.toml is not read; "),
        ("[asgi-bridge]\nport = 5", "[asgi-bridge] in bridge.toml is not read; settings are in "),
    ],
)
def test_settings_in_a_table_of_another_name(text: str, said: str) -> None:
    """The error says in which table they would be read."""
    with pytest.raises(ConfigError) as caught:
        make_config({}, {}, toml(text))
    assert str(caught.value).startswith(said)
    assert "[tool.bridge] or, in a file of its own, without any table" in str(caught.value)


def test_a_wrong_table_of_pyproject_is_told() -> None:
    """One that can only be meant for us is not passed over; others' tables are."""
    toml("[tool.asgi-bridge]\nport = 5\n", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"^\[tool\.asgi-bridge\] in pyproject\.toml is not read"):
        make_config({}, {}, None)
    toml("[server]\nport = 5\n[tool.other]\nport = 5\n", "pyproject.toml")
    assert make_config({}, {}, None).port == 8000


def test_a_file_that_is_not_there() -> None:
    """One that was named has to be there."""
    with pytest.raises(ConfigError, match=r"cannot read none\.toml: No such file"):
        make_config({}, {}, "none.toml")


# ------------------------------------------------------------- sources that contradict


def test_a_stronger_port_is_not_hidden_by_a_weaker_bind() -> None:
    """PORT from the platform means something even where the file binds elsewhere."""
    config = make_config({}, {"PORT": "9000"}, toml("bind = ['unix:/x']"))
    assert (config.port, config.bind) == (9000, ())


def test_a_stronger_bind_hides_a_weaker_port() -> None:
    """-b overrules PORT."""
    config = make_config({"bind": (("[::1]:1",), "--bind")}, {"PORT": "9000"}, None)
    assert config.bind == ("[::1]:1",)


def test_a_stronger_app_replaces_weaker_mounts_and_back() -> None:
    """One can serve another app than the file's without editing it."""
    mounts = toml("mount = { '/' = 'a:b' }")
    config = make_config({"app": ("c:d", "MODULE:ATTR")}, {}, mounts)
    assert (config.app, config.mount) == ("c:d", ())
    config = make_config({"mount": (("/=a:b",), "--mount")}, {"BRIDGE_APP": "c:d"}, None)
    assert (config.app, config.mount) == (None, ("/=a:b",))
    config = make_config({"cutover": ("c.toml", "--cutover")}, {"BRIDGE_APP": "c:d"}, mounts)
    assert (config.app, config.mount, config.cutover) == (None, (), "c.toml")


def test_the_table_of_a_cutover_is_in_the_file_itself() -> None:
    """M1: what is in it is read when the apps are loaded."""
    file = toml("[tool.bridge.cutover]\nold = 'a:b'\n")
    assert make_config({}, {}, file).cutover == file
    assert make_config({"app": ("c:d", "MODULE:ATTR")}, {}, file).cutover is None


def test_both_in_one_source_still_contradict() -> None:
    """A file with an app and mounts is a mistake."""
    with pytest.raises(ConfigError, match="both an app"):
        make_config({}, {}, toml("app = 'c:d'\nmount = { '/' = 'a:b' }"))


def test_unknown_variables_are_noticed() -> None:
    """A typing error in the environment is worth a warning; others' variables are not ours."""
    known = ["BRIDGE_CONFIG", "BRIDGE_PORT", "BRIDGE_SPEEDUPS"]
    environ = ["BRIDGE_THREDS", *known, "PATH", "PORT"]
    assert unknown_variables(environ) == [
        "BRIDGE_THREDS is not a setting and is ignored; did you mean BRIDGE_THREADS?"
    ]


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("BRIDGE_LOGLEVEL", "did you mean BRIDGE_LOG_LEVEL?"),
        ("BRIDGE_CONFG", "did you mean BRIDGE_CONFIG?"),
        ("BRIDGE_WS_MAX_SIZE", "did you mean BRIDGE_WS_MAX_MESSAGE_SIZE?"),
        ("BRIDGE_REQUEST_TIMEOUT", "did you mean BRIDGE_TIMEOUT_REQUEST?"),
        ("BRIDGE_FOO", "asgi-bridge serve --help lists them all"),
        ("BRIDGE_HOME", "asgi-bridge serve --help lists them all"),
        ("BRIDGE_TOKEN", "asgi-bridge serve --help lists them all"),
    ],
)
def test_only_what_is_close_is_suggested(variable: str, advice: str) -> None:
    """A name that resembles no setting gets the list of them, and no far-fetched guess."""
    assert unknown_variables([variable]) == [
        f"{variable} is not a setting and is ignored; {advice}"
    ]


# ------------------------------------------------------------- Python, and INI files


def test_settings_of_a_call() -> None:
    """S61: `serve(app, name=...)` takes the names of `Config`, and says where a value came from."""
    config = from_python("a:b", {"port": 9, "root_path": "/api"})
    assert (config.app, config.port, config.root_path) == ("a:b", 9, "/api")
    assert config.source("port") == "serve(port=...)"


def test_a_call_may_say_it_as_the_shell_does() -> None:
    """S61, O5: `serve(app, workers="auto", timeout_worker="30s")`."""
    config = from_python("a:b", {"workers": "auto", "timeout_worker": "5m", "max_rss": "1G"})
    assert config.workers >= 1
    assert (config.timeout_worker, config.max_rss) == (300.0, 1024**3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prot", "serve() has no setting prot; did you mean port?"),
        ("app", "serve() has no setting app; "),
        (
            "uds",
            "serve() has no setting uds; --uds is for the command line alone; else: say --bind",
        ),
        ("quite_else", "serve() has no setting quite_else; asgi-bridge serve --help lists them"),
    ],
)
def test_a_call_with_a_name_that_is_none(name: str, said: str) -> None:
    """S61, S63: it is refused, with what was probably meant, or what is said instead."""
    with pytest.raises(ConfigError) as caught:
        from_python(None, {name: 1})
    assert str(caught.value).startswith(said)


def test_settings_of_an_ini_file() -> None:
    """S61: text, with hyphens or underscores; it beats the environment, also in other words."""
    environ = {"BRIDGE_THREADS": "3", "BRIDGE_PORT": "1", "BRIDGE_BIND": "unix:/x"}
    config = from_ini("the app", {"port": "9", "log-level": "debug"}, environ)
    assert (config.app, config.port, config.log_level) == ("the app", 9, "debug")
    assert (config.threads, config.bind) == (3, ())
    assert config.source("port") == "port in [server:main]"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("prot", "prot is no setting; did you mean port?"),
        ("app", "app is no setting; "),
        ("unix_socket", "unix_socket is no setting; --unix-socket is an option of waitress"),
    ],
)
def test_an_ini_file_with_a_key_that_is_none(key: str, said: str) -> None:
    """S61, S63: the key is named, with what was probably meant, or what is said instead."""
    with pytest.raises(ConfigError) as caught:
        from_ini("the app", {key: "1"}, {})
    assert str(caught.value).startswith(said)


def test_a_file_with_a_bom(tmp_path: Path) -> None:
    """S64: as editors on Windows write it."""
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfapp = 'a:b'\r\n")
    assert make_config({}, {}, str(tmp_path / "a.toml")).app == "a:b"
