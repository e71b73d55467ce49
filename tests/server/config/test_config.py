"""The list of settings: kinds, bounds, contradictions, and what is said when they are wrong."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.arguments.values import VALUE_TYPES
from bridge.errors import ConfigError
from bridge.server.config.config import SETTINGS, Config


def error(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)  # type: ignore[arg-type]
    return str(caught.value)


def test_proxies_are_this_machine_s() -> None:
    """S32: without a word only a proxy on this machine is believed."""
    assert Config().forwarded_allow_ips == Config().proxy_protocol_allow_ips == "127.0.0.1,::1"


def test_what_has_said_a_setting() -> None:
    """S51: a setting knows where its value came from; one that nobody gave has no source."""
    config = Config(port=9, threads=4, sources={"port": "--port"})
    assert config.source("port") == "--port"
    assert config.source("threads") == "threads"
    assert config.source("host") is None


def test_a_config_cannot_be_changed() -> None:
    """What a server started with is what it has."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_whole(setting: object) -> None:
    """Each row has a help text that ends like a sentence, and a default that is allowed."""
    assert setting.help.endswith(".")
    assert setting.read(setting.default, setting.name) == setting.default
    assert setting.allowed


def test_names_are_unique() -> None:
    """No two settings share a flag or an environment variable."""
    for names in (
        [flag for setting in SETTINGS for flag in setting.flags],
        [variable for setting in SETTINGS for variable in setting.variables],
    ):
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "8001", 8001),
        ("access_log", "off", False),
        ("access_log", "YES", True),
        ("limit_body_size", "20M", 20 * 1024 * 1024),
        ("limit_body_size", "64k", 65536),
        ("limit_body_size", "1G", 1024**3),
        ("timeout_keep_alive", "2.5", 2.5),
        ("timeout_keep_alive", 2, 2.0),
        ("timeout_keep_alive", "5m", 300.0),
        ("timeout_write", "250ms", 0.25),
        ("uds_mode", "660", 0o660),
        ("uds_mode", 0o660, 0o660),
        ("bind", "a:1, unix:/b", ("a:1", "unix:/b")),
        ("bind", ["a:1", "fd://3"], ("a:1", "fd://3")),
        ("mount", {"/api": "new:app", "/": "old:app"}, ("/api=new:app", "/=old:app")),
        ("ssl_certfile", "", None),
        ("log_config", {"version": 1}, {"version": 1}),
    ],
)
def test_text_is_read_as_what_it_means(name: str, text: object, value: object) -> None:
    """Settings are the same whether they come as text (shell, environment) or as values."""
    assert getattr(Config(**{name: text}), name) == value


def test_choices_in_any_case() -> None:
    """S61: a word may be written in capitals, as in BRIDGE_LOG_LEVEL=INFO."""
    assert Config(log_level="INFO", runner="Thread").log_level == "info"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", 70000, "port is 70000; allowed is a whole number from 0 to 65535"),
        ("port", True, "port is True; allowed is a whole number from 0 to 65535"),
        ("port", "http", "port is 'http'; allowed is a whole number from 0 to 65535"),
        ("port", None, "port is None; allowed is a whole number from 0 to 65535"),
        ("threads", 0, "threads is 0; allowed is a whole number, at least 1"),
        ("runner", "fork", "runner is 'fork'; allowed is one of thread, greenlet, inline"),
        ("access_log", "perhaps", "access_log is 'perhaps'; allowed is true or false"),
        ("access_log", 1, "access_log is 1; allowed is true or false"),
        ("timeout_header", -1, "timeout_header is -1; allowed is a number of seconds, at least 0 "),
        ("timeout_keep_alive", -1, "timeout_keep_alive is -1; allowed is a number of seconds, at "),
        ("limit_requests", -1, "limit_requests is -1; allowed is a whole number, at least 0 (0: "),
        ("workers", 0, "workers is 0; allowed is auto, or a whole number from 1 to 1000"),
        ("workers", "1001", "workers is '1001'; allowed is auto, or a whole number from 1 to"),
        ("workers", "abc", "workers is 'abc'; allowed is auto, or a whole number from 1 to 1000"),
        ("timeout_body", "5 apples", "timeout_body is '5 apples'; allowed is a number of seconds"),
        ("ws_max_queue", 0, "ws_max_queue is 0; allowed is a whole number, at least 1"),
        ("timeout_header", "nan", "timeout_header is 'nan'; allowed is a number of seconds"),
        ("limit_body_size", "20 apples", "limit_body_size is '20 apples'; allowed is a number of"),
        ("uds_mode", "999", "uds_mode is '999'; allowed is octal permission bits (digits 0 to 7) "),
        ("uds_mode", 660, "uds_mode is 660; allowed is octal permission bits (digits 0 to 7) from"),
        ("bind", [1], "bind is [1]; allowed is a list of texts"),
        ("mount", "new:app", "mount is 'new:app'; allowed is PATH=APP, such as /=old:app or /api"),
        ("mount", ["/=a:b", "new:app"], "mount is 'new:app'; allowed is PATH=APP"),
        ("mount", ("api=new:app",), "mount is 'api=new:app'; allowed is PATH=APP"),
        ("mount", ("/api=",), "mount is '/api='; allowed is PATH=APP"),
        ("root_path", 5, "root_path is 5; allowed is the path of a URL"),
        ("server_header", "maybe", "server_header is 'maybe'; allowed is true or false"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(name: str, value: object, said: str) -> None:
    """The error has what was seen and what is allowed."""
    assert error(**{name: value}).startswith(said)


def test_octal_bounds_are_shown_in_octal() -> None:
    """The error for wrong permissions shows them as they are written."""
    assert error(uds_mode="1777").endswith("from 0 to 777, such as 660 (as a number, 0o660)")


def test_what_0_means_is_said_where_it_is_special() -> None:
    """The error for -1, tried as "no limit", says what to write instead."""
    assert error(limit_body_size=-1).endswith("at least 0 (0: any), such as 65536 or 64K")
    (ping,) = (each for each in SETTINGS if each.name == "ws_ping_interval")
    assert ping.help == "Between two pings. 0: none."


def test_a_cutover_names_its_apps_itself() -> None:
    """M5: no app and no kind beside it."""
    assert "both an app ('a:b') and a cutover (c.toml) are given" in error(
        app="a:b", cutover="c.toml"
    )
    assert "both mounts and a cutover" in error(mount=["/=a:b"], cutover="c.toml")
    assert "say the kind in its file" in error(cutover="c.toml", interface="wsgi")


def test_an_app_and_mounts_contradict() -> None:
    """Which of them would answer `/`? The error shows how to mount the app."""
    assert "--mount /=module:attr" in error(app="a:b", mount=["/api=c:d"])


def test_one_interface_for_several_apps_is_refused() -> None:
    """Each mount says its own kind, and the error shows how."""
    assert "--mount /=wsgi:legacy.wsgi:application" in error(mount=["/=a:b"], interface="wsgi")


def test_a_port_is_not_taken_for_a_pid_file() -> None:
    """O5: `-p 8000` means a port to most people, and a file to Gunicorn."""
    assert error(pid="8000", sources={"pid": "--pid"}) == (
        "--pid is '8000', the file for the number of the process; for the port say --port 8000, "
        "for a file of that name ./8000"
    )
    assert Config(pid="./8000").pid == "./8000"


def test_logs_have_one_place() -> None:
    """O5: a log_config says where logs go, and so does a file."""
    said = error(log_file="log", log_config="log.toml")
    assert said.startswith("--log-file and --log-config are given")
    assert error(access_log_file="x", log_config="y").startswith("--access-log-file and --log-")


def test_reloading_needs_a_supervisor() -> None:
    """P9: it is the supervisor that is told of changes."""
    assert Config(reload=True).supervised


@pytest.mark.parametrize(
    "settings",
    [
        {"ssl_keyfile": "key.pem"},
        {"ssl_keyfile_password": "secret"},
        {"ssl_ca_certs": "ca.pem"},
        {"ssl_ciphers": "HIGH"},
    ],
)
def test_tls_settings_need_a_certificate(settings: dict[str, str]) -> None:
    """S31: half a TLS configuration does not quietly serve plain HTTP."""
    assert "--ssl-certfile" in error(**settings)


def test_client_certificates_need_an_authority() -> None:
    """S31: nothing can be checked against nobody."""
    assert "--ssl-ca-certs" in error(ssl_certfile="cert.pem", ssl_cert_reqs="required")


@pytest.mark.parametrize(
    ("metrics_bind", "bind"),
    [
        ("127.0.0.1:8000", ()),
        (":8000", ()),
        ("127.0.0.1:9000", ("unix:/run/app.sock", "0.0.0.0:9000")),
        ("[::1]:9000", ("[::1]:9000",)),
        ("unix:/run/app.sock", ("unix:/run/app.sock",)),
    ],
)
def test_metrics_are_not_where_apps_are(metrics_bind: str, bind: tuple[str, ...]) -> None:
    """O8: one address cannot be both; the error says what to do."""
    said = error(metrics_bind=metrics_bind, bind=bind)
    assert said.startswith(f"metrics_bind is {metrics_bind!r}, where the apps are served; choose")


def test_metrics_apart_from_apps() -> None:
    """O8: another port, another host or another path is another address; 0 is any free port."""
    Config(metrics_bind="127.0.0.1:8001")
    Config(metrics_bind="127.0.0.1:8000", bind=("127.0.0.2:8000",))
    Config(metrics_bind="127.0.0.1:0", port=0)
    Config(metrics_bind="unix:/run/metrics.sock", bind=("unix:/run/app.sock",))


@pytest.mark.parametrize("metrics_bind", ["fd://3", "9000"])
def test_where_metrics_cannot_be(metrics_bind: str) -> None:
    """O8: what is no address of its own is refused."""
    assert "give host:port" in error(metrics_bind=metrics_bind)


def test_a_password_is_not_shown() -> None:
    """A config that is printed does not give the key away."""
    config = Config(ssl_certfile="cert.pem", ssl_keyfile_password="sesame")
    assert "sesame" not in repr(config)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.lists(st.text())))
def test_any_value_is_taken_or_refused_by_name(value: object) -> None:
    """Whatever is given, there is a value of the right type or a ConfigError, nothing else."""
    for setting in SETTINGS:
        try:
            found = setting.read(value, "label")
        except ConfigError as wrong:
            found = str(wrong)
            assert found.startswith("label is ")
            continue
        types = (type(setting.default), str, dict, type(None))
        assert setting.type is VALUE_TYPES["object"] or isinstance(found, types)


def test_a_watchdog_that_looks_too_often_is_refused() -> None:
    """R3, S61: each look costs something; 0 turns it off."""
    assert Config(max_blocking_time="10ms").max_blocking_time == 0.01
    assert Config(max_blocking_time=0).max_blocking_time == 0
    with pytest.raises(ConfigError, match=r"is 0.005 s, and must be at least 0.01 s.*0 turns it"):
        Config(max_blocking_time=0.005)
