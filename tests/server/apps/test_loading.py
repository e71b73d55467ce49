"""Apps are loaded by their names; the error says what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.dispatcher import Dispatcher
from bridge.errors import AppLoadError, ConfigError
from bridge.server.apps.loading import load, load_app
from bridge.server.config.config import Config


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The import path and the modules as they were, after each test."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("example_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path):
    """``write(name, source)``: a module in an app directory."""

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    return write


APP = "def app(environ, start_response): ...\n"


def failure(target: object, app_dir: Path, factory: bool = False) -> AppLoadError:
    with pytest.raises(AppLoadError) as caught:
        load_app(target, str(app_dir), factory)
    return caught.value


def test_an_app_by_name(write, tmp_path: Path) -> None:
    """`module:attr`, with dots in either."""
    write("example_one", APP + "class site: main = app\n")
    assert load_app("example_one:app", str(tmp_path)).__name__ == "app"
    assert load_app("example_one:site.main", str(tmp_path)).__name__ == "app"


@pytest.mark.parametrize("name", ["app", "application"])
def test_the_module_alone(write, tmp_path: Path, name: str) -> None:
    """The two names that everybody uses need not be said."""
    write("example_two", f"def {name}(environ, start_response): ...\n")
    assert load_app("example_two", str(tmp_path)).__name__ == name


def test_an_object_is_the_app(tmp_path: Path) -> None:
    """From Python the app itself is passed."""

    async def app(scope, receive, send): ...

    assert load_app(app) is app


def test_a_factory_is_called(write, tmp_path: Path) -> None:
    """With `factory`, what the function returns is the app; without, the function is."""
    write("example_factory", APP + "def make(): return app\n")
    assert load_app("example_factory:make", str(tmp_path), True).__name__ == "app"
    assert load_app("example_factory:make", str(tmp_path)).__name__ == "make"
    assert load_app(lambda: print, factory=True) is print


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("make()", ((), {})),
        ("make( )", ((), {})),
        ("make('a:b, c', 2)", (("a:b, c", 2), {})),
        ('make("production", debug=False)', (("production",), {"debug": False})),
        ("make({'a': [1, (2.5, None)]}, b=-1)", (({"a": [1, (2.5, None)]},), {"b": -1})),
        ("site.make('x')", (("x",), {})),
    ],
)
@pytest.mark.parametrize("factory", [False, True])
def test_a_call_makes_the_app(
    write, tmp_path: Path, call: str, given: tuple[object, object], factory: bool
) -> None:
    """S62: with its literal arguments, and once, whether --factory is said or not."""
    write(
        "example_called",
        "def make(*args, **kwargs):\n"
        "    def app(environ, start_response): ...\n"
        "    app.given = args, kwargs\n"
        "    return app\n"
        "class site: make = make\n",
    )
    assert load_app(f"example_called:{call}", str(tmp_path), factory).given == given


def test_calls_and_apps_are_mounted_together(write, tmp_path: Path) -> None:
    """S62: a factory beside an app, from every source, with and without its kind."""
    write(
        "example_both",
        APP + "async def new(scope, receive, send): ...\n"
        "def make(*args): return app if args else new\n",
    )
    targets = [
        "/=example_both:app",
        "/a=example_both:make()",
        "/b=example_both:make('x:y', 2)",
        "/c=wsgi:example_both:make('(', \"a, b\")",
    ]
    given: list[object] = [targets, ", ".join(targets)]
    given.append(dict(target.split("=", 1) for target in targets))
    for mount in given:
        app = load(Config(mount=mount, app_dir=str(tmp_path)))
        assert [(route.prefix, route.kind) for route in app.routes] == [
            ("", "wsgi"),
            ("/a", "asgi3"),
            ("/b", "wsgi"),
            ("/c", "wsgi"),
        ]


def test_a_factory_that_wants_arguments_is_told_so(write, tmp_path: Path) -> None:
    """S62: the app's own error, with the call as it was written."""
    write("example_wants", "def make(name): ...\n")
    said = str(failure("example_wants:make()", tmp_path))
    assert said.startswith("calling example_wants:make() failed: TypeError: ")
    assert said.endswith('; say its arguments in the call, such as example_wants:make("...")')
    write("example_raises", "def make(): raise TypeError('no database')\n")
    said = str(failure("example_raises:make()", tmp_path))
    assert said == "calling example_raises:make() failed: TypeError: no database"


def test_the_app_directory_comes_first(write, tmp_path: Path) -> None:
    """One's own module is found before an installed one of that name."""
    write("example_three", APP)
    load_app("example_three:app", str(tmp_path))
    assert sys.path[0] == str(tmp_path)


# ------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "names no app; say module:attr"),
        (":app", "names no app; say module:attr"),
        ("main:", "names no app; say module:attr"),
        ("main.py:app", "is a file; name the module instead, such as main:app"),
        ("src/main:app", "is a file; name the module instead, such as main:app"),
        ("make()", "'make()' names no module; say module:function()"),
        ("main:make(", "is no call that can be read; say module:function() or module:function("),
        ("main:make(name)", "with text, numbers and other literals only"),
        ("main:make(*[1])", "with text, numbers and other literals only"),
        ("main:make(**{})", "with text, numbers and other literals only"),
        ("main:make()()", "is no call that can be read"),
        ("main:make().app", "is no call that can be read"),
        ("main:make(open('x'))", "with text, numbers and other literals only"),
        ("example_bad:nothing()", "example_bad has no attribute 'nothing'"),
        ("example_bad:text()", "example_bad:text() is 'no app'; a factory is a function"),
        ("example_none:app", "there is no module 'example_none'"),
        ("example_none.deep:app", "there is no module 'example_none'"),
        ("example_bad:nothing", "example_bad has no attribute 'nothing'"),
        ("example_bad:text.nothing", "example_bad has no attribute 'text.nothing'"),
        ("wsgi:example_bad:app", "has two colons; say module:attr, and the kind with --interface "),
        ("example_bad:text:app", "'example_bad:text:app' has two colons; say module:attr"),
        ("example_bad:text", "is 'no app', which cannot be called"),
        ("example_bad", "has neither app nor application; say which of its attributes is the app"),
        ("sys:nothing", "sys has no attribute 'nothing'"),
    ],
)
def test_a_wrong_name_says_what_to_do(write, tmp_path: Path, target: str, said: str) -> None:
    """Each mistake has an answer of its own, and no traceback of ours."""
    write("example_bad", "text = 'no app'\n")
    error = failure(target, tmp_path)
    assert said in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("attribute", "meant"),
    [
        (":aplication", "example_near:application or example_near:create_app --factory or"),
        (":create_ap", "example_near:create_app --factory or example_near:application or"),
        (":nothing", "example_near:application or example_near:create_app --factory or"),
        (":site_app.nothing", "example_near:site_app or"),
    ],
)
def test_a_missing_attribute_names_what_is_there(
    write, tmp_path: Path, attribute: str, meant: str
) -> None:
    """What is spelled alike comes first, then what is named as apps are; values are no apps."""
    source = "def application(environ, start_response): ...\ncreate_app = site_app = application\n"
    write("example_near", source + "my_app = 5\n_app = application\n")
    said = str(failure(f"example_near{attribute}", tmp_path))
    assert f"did you mean {meant}" in said
    assert str(tmp_path / "example_near.py") in said
    assert "my_app" not in said
    assert ":_app" not in said


def test_a_dot_before_the_attribute(write, tmp_path: Path) -> None:
    """S62: a name with a dot for its colon, as Django writes it, is answered with the right one."""
    write("example_dotted", APP)
    said = str(failure("example_dotted.app", tmp_path))
    assert said.endswith("did you mean example_dotted:app?")
    assert "say where it is" in str(failure("example_dotted.nothing", tmp_path))


def test_what_is_no_app_names_what_may_be_one(write, tmp_path: Path) -> None:
    """S62: a value in the place of the app is answered with the apps that are beside it."""
    write("example_value", "text = 5\ndef application(environ, start_response): ...\n")
    said = str(failure("example_value:text", tmp_path))
    assert said.endswith("an app is callable; did you mean example_value:application?")


def test_a_module_that_is_elsewhere(write, tmp_path: Path) -> None:
    """S62: a directory below that has it is named; so is a module that is spelled alike."""
    write("example_shop", APP)
    said = str(failure("example_shp:app", tmp_path))
    assert said.endswith("; did you mean example_shop? Or say where it is with --app-dir")
    (tmp_path / "src" / "example_below").mkdir(parents=True)
    (tmp_path / "src" / "example_below" / "__init__.py").write_text(APP)
    said = str(failure("example_below:app", tmp_path))
    assert said.endswith(f"; it is in src: say --app-dir {tmp_path / 'src'}")


def test_a_library_that_is_missing(write, tmp_path: Path) -> None:
    """S62: which Python wants it is said: often it is installed for another one."""
    write("example_needs", "import example_library")
    said = str(failure("example_needs:app", tmp_path))
    assert f"install it for this Python ({sys.executable})" in said
    write("example_under_uwsgi", "import uwsgi")
    said = str(failure("example_under_uwsgi:app", tmp_path))
    assert said == "importing example_under_uwsgi failed: No module named 'uwsgi'"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("example_site", "did you mean example_site.wsgi?"),
        ("example_site:app", "did you mean example_site.wsgi?"),
        ("example_site.settings", "did you mean example_site.wsgi?"),
        ("manage", "did you mean example_site.wsgi?"),
        (
            "example_place:site",
            "example_place); did you mean app:site with --app-dir example_place?",
        ),
        ("wsgi", "it is the directory itself: say example_site.wsgi with --app-dir .."),
        ("example_outer.main", "it is in example_outer: say main with --app-dir example_outer"),
        (
            "example_bare",
            "wsgi.py, which names them (example_site.wsgi), or set DJANGO_SETTINGS_MO",
        ),
    ],
)
def test_a_project_or_a_package_says_which_module_has_the_app(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str
) -> None:
    """S62: so does what is no app of a project, and what cannot be imported from where one is."""
    for name in ("example_site", "example_place", "example_outer/example_inner"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("example_site/__init__", "manage", "example_site/settings", "example_place/app"):
        write(name, "")
    write("example_site/wsgi", "import example_site.settings")
    write("example_outer/example_inner/__init__", "")
    write("example_outer/main", "import example_inner")
    write("example_bare", "raise TypeError('Say DJANGO_SETTINGS_MODULE.')")
    monkeypatch.chdir(tmp_path / "example_site" if target == "wsgi" else tmp_path)
    try:
        assert said in str(failure(target, Path()))
    finally:
        for name in ("manage", "wsgi"):
            sys.modules.pop(name, None)


def test_a_module_alone_names_what_is_there(write, tmp_path: Path) -> None:
    """A module without an `app` often has a function that makes one."""
    write("example_maker", "def make_app(): ...\n")
    assert "did you mean example_maker:make_app --factory?" in str(
        failure("example_maker", tmp_path)
    )


@pytest.mark.parametrize(("name", "wrong"), [("nowhere", "does not exist"), ("a.py", "is a file")])
def test_an_app_directory_that_is_none(write, tmp_path: Path, name: str, wrong: str) -> None:
    """The directory is named, not the module that was not found in it."""
    write("a", APP)
    directory = str(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        load_app("example_site.wsgi:app", directory)
    said = f"app_dir is {directory!r}, and {directory} {wrong}; name the directory that holds "
    assert str(caught.value) == f"{said}example_site with --app-dir"
    assert directory not in sys.path


def test_a_working_directory_that_has_been_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that was cleared away, say: a reload finds no app there, and says why."""
    release = tmp_path / "release"
    release.mkdir()
    monkeypatch.chdir(release)
    release.rmdir()
    with pytest.raises(ConfigError, match=r"has been removed; .* --chdir PATH"):
        load_app("example_site.wsgi:app")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import example_missing", "No module named 'example_missing'"),
        ("from sys import nothing", "ImportError"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("raise SystemExit('settings are missing')", "SystemExit: settings are missing"),
    ],
)
def test_an_error_in_the_apps_module_is_kept(write, tmp_path: Path, source: str, said: str) -> None:
    """The app's own error is the cause, so that its traceback can be shown."""
    write("example_broken", source)
    error = failure("example_broken:app", tmp_path)
    assert str(error).startswith("importing example_broken failed")
    assert said in str(error)
    assert error.__cause__ is not None


@pytest.mark.parametrize(
    "source", ["raise KeyboardInterrupt", "def app(): raise KeyboardInterrupt"]
)
def test_interrupting_is_no_error_of_the_app(write, tmp_path: Path, source: str) -> None:
    """Ctrl+C while a slow app is imported or made stops it."""
    write("example_slow", source)
    with pytest.raises(KeyboardInterrupt):
        load_app("example_slow:app", str(tmp_path), True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("make = 5", "make is 5; a factory is a function"),
        ("def make(needed): ...", "TypeError"),
        ("def make(environ, start_response): ...", "it looks like an app, and is called: take "),
        ("async def make(scope, receive, send): ...", "it looks like an app, and is called: take"),
        ("def make(): raise ValueError('no database')", "ValueError: no database"),
        ("def make(): return None", "is None, which cannot be called"),
        ("async def make(): ...", "example_fails:make is an async factory, and a factory must be"),
    ],
)
def test_a_factory_that_fails(write, tmp_path: Path, source: str, said: str) -> None:
    """What goes wrong in a factory is told like what goes wrong in a module."""
    write("example_fails", source)
    assert said in str(failure("example_fails:make", tmp_path, True))


# ------------------------------------------------------------- from a whole config


def test_mounts_make_a_dispatcher(write, tmp_path: Path) -> None:
    """D2: each target is loaded, and may say its kind."""
    write("example_mounts", APP + "async def new(scope, receive, send): ...\n")
    mount = ["/=wsgi:example_mounts:app", "/new=example_mounts:new", "x.test/=example_mounts:app"]
    app = load(Config(mount=mount, app_dir=str(tmp_path)))
    assert isinstance(app, Dispatcher)
    assert [(route.host, route.prefix, route.kind) for route in app.routes] == [
        ("", "", "wsgi"),
        ("", "/new", "asgi3"),
        ("x.test", "", "wsgi"),
    ]


def test_a_place_is_taken_once(write, tmp_path: Path) -> None:
    """D1: two apps at one prefix are a mistake, not a surprise."""
    write("example_twice", APP)
    mount = ["/=example_twice:app", "/=example_twice:app"]
    with pytest.raises(ConfigError, match="mounted twice"):
        load(Config(mount=mount, app_dir=str(tmp_path)))


def failed_mount(target: str, app_dir: Path) -> str:
    with pytest.raises((AppLoadError, ConfigError)) as caught:
        load(Config(mount=[f"/x={target}"], app_dir=str(app_dir)))
    return str(caught.value)


def test_a_mount_whose_kind_is_not_told(write, tmp_path: Path) -> None:
    """D2: the error names the mount, and the way to say its kind there."""
    write("example_odd", "def app(one, two, three, four): ...\n")
    said = failed_mount("example_odd:app", tmp_path)
    assert said.startswith("example_odd:app at /x: cannot tell what kind of app")
    assert said.endswith(
        "say which with its name in front, such as --mount /x=wsgi:example_odd:app"
    )
    assert "--interface" not in said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("wsg", "did you mean /x=wsgi:example_kind:app?"),
        ("WSGI", "did you mean /x=wsgi:example_kind:app?"),
        ("asgi", "did you mean /x=asgi3:example_kind:app?"),
        ("rack", "or none, to have it told"),
    ],
)
def test_a_mount_of_no_kind(tmp_path: Path, kind: str, said: str) -> None:
    """D2: the kinds are named, and the one that was meant if it is close."""
    told = failed_mount(f"{kind}:example_kind:app", tmp_path)
    assert told == (
        f"'{kind}' in the mount /x={kind}:example_kind:app is no kind of app; allowed is one of "
        f"asgi3, asgi2, asgi1, wsgi; {said}"
    )


def test_a_module_with_the_name_of_a_kind(write, tmp_path: Path) -> None:
    """D2: if `wsgi:main` was meant as module and attribute, the error says how to write it."""
    said = failed_mount("wsgi:main", tmp_path)
    assert said.startswith("there is no module 'main'")
    assert said.endswith("where it is the module, say /x=wsgi:wsgi:main")
    assert "was read as the kind" not in failed_mount("wsgi:main:app", tmp_path)


def test_a_kind_that_the_app_contradicts_is_warned_of(
    write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """D2: a kind that was said wins, and the log says at the start what the app looks like."""
    write("example_doubt", APP + "def unsure(*args): ...\n")
    target = "example_doubt:app"
    assert load(Config(app=target, interface="asgi3", app_dir=str(tmp_path))).__name__ == "app"
    mounts = load(Config(mount=[f"/=asgi2:{target}"], app_dir=str(tmp_path)))
    assert [route.kind for route in mounts.routes] == ["asgi2"]
    assert caplog.messages == [
        f"{target} is served as asgi3, as interface says, but it looks like wsgi; if requests "
        "fail, say --interface wsgi",
        f"{target} at / is served as asgi2, as its mount says, but it looks like wsgi; if "
        f"requests fail, say --mount /=wsgi:{target}",
    ]


def test_a_kind_that_nothing_contradicts_is_not_warned_of(
    write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """D2: not if the app is of that kind, and not if its kind is in doubt."""
    write("example_sure", APP + "def unsure(*args): ...\n")
    for name in ("app", "unsure"):
        load(Config(app=f"example_sure:{name}", interface="wsgi", app_dir=str(tmp_path)))
        load(Config(mount=[f"/=wsgi:example_sure:{name}"], app_dir=str(tmp_path)))
    assert caplog.messages == []


def test_no_app_at_all() -> None:
    """The error says both ways to name one."""
    with pytest.raises(ConfigError, match=r"say module:attr, or --mount"):
        load(Config())


def test_one_app(write, tmp_path: Path) -> None:
    """What the command line says most."""
    write("example_last", APP)
    assert load(Config(app="example_last", app_dir=str(tmp_path))).__name__ == "app"


def test_a_file_of_settings_is_no_app(tmp_path: Path) -> None:
    """M1: who names the file of a cutover is told how."""
    with pytest.raises(AppLoadError, match=r"did you mean --cutover example_moved\.toml\?"):
        load_app("example_moved.toml", str(tmp_path))
