"""Load the app that the command line names: ``module:attr``, or mounts of several."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bridge.arguments.checks import close_names
from bridge.arguments.kinds import KINDS, detect, other_kind
from bridge.arguments.shapes import APP_ENDINGS, FACTORY_PREFIXES
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import AppLoadError, ConfigError, shown
from bridge.log import logger
from bridge.loops.tasks import close_unawaited
from bridge.runners.patching.patch import greenlet_patch
from bridge.server.apps.targets import CallArguments, Target, parse_target
from bridge.server.config.config import Config

#: The names of an app if only its module is given.
DEFAULT_NAMES = ("app", "application")
#: Modules of a package that usually have one, the likeliest first.
_APP_MODULES = ("wsgi", "app", "main", "asgi", "application", "server")
#: Modules that no package brings: they come with Python, or with uWSGI.
_NOT_TO_INSTALL = sys.stdlib_module_names | {"uwsgi", "uwsgidecorators"}


def load(config: Config) -> Any:
    """Return the app that `config` names: itself, or a `Dispatcher` or `Cutover` of several.

    If `config` wishes that, the process is patched before anything is imported (G6).

    Raises `AppLoadError` if an app cannot be loaded, `ConfigError` if none is named.
    An explicit kind wins, with a warning if the app looks like another.
    """
    if config.patch:
        greenlet_patch()
    if config.mount:
        return _load_mounts(config)
    if config.cutover is not None:
        ramp = importlib.import_module("bridge.server.apps.ramp")  # few servers need it
        return ramp.load_cutover(
            config.cutover, lambda target: load_app(target, config.app_dir, config.factory)
        )
    if config.app is None:
        raise ConfigError("no app is named; say module:attr, or --mount PATH=module:attr")
    app = load_app(config.app, config.app_dir, config.factory)
    if config.interface != "auto":
        name = config.app if isinstance(config.app, str) else repr(app)
        _warn_kind_mismatch(app, name, config.interface, "interface", "--interface {}")
    return app


def _load_mounts(config: Config) -> Dispatcher:
    children: dict[str, Mount] = {}
    for mount in config.mount:
        mount_point, _, target = mount.partition("=")
        if mount_point in children:
            raise ConfigError(f"{mount_point} is mounted twice; give each app a place of its own")
        children[mount_point] = _load_mount(mount_point, target, config)
    return Dispatcher(children)


def _load_mount(mount_point: str, target: str, config: Config) -> Mount:
    kind, name = _split_kind(mount_point, target)
    try:
        app = load_app(name, config.app_dir, config.factory)
    except AppLoadError as error:
        if kind is None or ":" in name.partition("(")[0]:
            raise
        raise AppLoadError(
            f"{error}; {kind}: was read as the kind of the app: where it is the module, say "
            f"{mount_point}={kind}:{target}"
        ) from error.__cause__
    if kind is not None:
        _warn_kind_mismatch(
            app, f"{name} at {mount_point}", kind, "its mount", f"--mount {mount_point}={{}}:{name}"
        )
        return Mount(app, kind)
    try:
        detect(app, f"its name in front, such as --mount {mount_point}=wsgi:{name}")
    except ConfigError as error:
        raise AppLoadError(f"{name} at {mount_point}: {error}") from None
    return Mount(app)


def _split_kind(mount_point: str, target: str) -> tuple[str | None, str]:
    """Split the target of a mount: its kind, None if it names none, and the name of the app."""
    kind, colon, name = target.partition(":")
    if colon and kind in KINDS:
        return kind, name
    if ":" not in name.partition("(")[0]:
        return None, target
    close = close_names(kind.lower(), KINDS)
    hint = f"did you mean {mount_point}={close[0]}:{name}?" if close else "or none, to have it told"
    raise ConfigError(
        f"{kind!r} in the mount {mount_point}={target} is no kind of app; allowed is one of "
        f"{', '.join(KINDS)}; {hint}"
    )


def _warn_kind_mismatch(app: object, name: str, kind: str, said_by: str, remedy: str) -> None:
    """Warn if `app` looks like another kind than `kind`; ``{}`` in `remedy` stands for that."""
    looks_like = other_kind(app, kind)
    if looks_like is not None:
        logger.warning(
            "%s is served as %s, as %s says, but it looks like %s; if requests fail, say %s",
            name,
            kind,
            said_by,
            looks_like,
            remedy.format(looks_like),
        )


def load_app(target: object, app_dir: str = ".", factory: bool = False) -> Any:
    """Return the app that `target` names, or `target` itself if it is no text.

    A name is ``module:attr`` or ``module:attr.attr``, or a module alone that has an `app` or an
    `application`. With `factory` it is called, and what it returns is the app; so is
    ``module:function("argument")``, with these arguments, whatever `factory` says.

    Raises `AppLoadError` that says what is missing; if the app's own code raised, that error is
    its cause. Raises `ConfigError` if `app_dir` is no directory.
    """
    name, call = type(target).__name__, CallArguments((), {}) if factory else None
    found = target
    if isinstance(target, str):
        parsed = parse_target(target)
        name, found, call = target, _resolve(parsed, app_dir), parsed.call or call
    if call is not None:
        found = _call_factory(found, name, call)
    if not callable(found):
        hint = "" if call is not None or not isinstance(target, str) else _instead_of(target)
        raise AppLoadError(
            f"{name} is {shown(found)}, which cannot be called; an app is callable{hint}"
        )
    return found


def find(name: str, app_dir: str = ".") -> Any:
    """Return what ``module:attr`` names, whatever that is. Raises as `load_app` does."""
    return _resolve(parse_target(name), app_dir)


def _resolve(target: Target, app_dir: str) -> Any:
    """Import the module and look its attributes up. Raises as `load_app` does."""
    module = _import(target.module, app_dir)
    if not target.attributes:
        return _default_app(module, target.module)
    found: Any = module
    for attribute in target.attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AppLoadError(
                f"{target.module} has no attribute {target.attributes!r} (it is {_place(module)}); "
                f"{_name_hint(module, target.module, target.attributes.partition('.')[0])}"
            ) from None
    return found


def _instead_of(target: str) -> str:
    """Say what else in the module that `target` names may be the app."""
    name = parse_target(target).module
    module = sys.modules.get(name)
    return "" if module is None else f"; {_name_hint(module, name, 'app')}"


def _import(name: str, app_dir: str) -> Any:
    """Import the module `name`, from `app_dir` first. Raises as `load_app` does."""
    path = _absolute(app_dir)
    if not path.is_dir():
        wrong = "is a file" if path.exists() else "does not exist"
        raise ConfigError(
            f"app_dir is {app_dir!r}, and {path} {wrong}; name the directory that holds "
            f"{name.partition('.')[0]} with --app-dir"
        )
    directory = str(path)
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            hint = _missing_hint(error.name, name, app_dir, path)
            raise AppLoadError(f"importing {name} failed: {error}{hint}") from error
        raise AppLoadError(
            f"there is no module {error.name!r} in {directory} or on the import path; "
            f"{_colon_hint(name) or _place_hint(error.name, app_dir, path)}"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        said += _settings_hint(said, path)
        raise AppLoadError(f"importing {name} failed: {said}") from error


def _missing_hint(missing: str | None, name: str, app_dir: str, directory: Path) -> str:
    """Say what to do about a module that `name` imports, and that is not there."""
    if missing is None or "." in missing or missing in _NOT_TO_INSTALL:
        return ""
    if missing == directory.name and (directory / "__init__.py").is_file():
        above = os.path.normpath(Path(app_dir, ".."))
        return f"; it is the directory itself: say {missing}.{name} with --app-dir {above}"
    for place in _places(missing, directory):
        inner = name.removeprefix(f"{place.name}.")
        say = f"{inner} with --app-dir" if inner != name else "--app-dir"
        return f"; it is in {place.name}: say {say} {Path(app_dir, place.name)}"
    return (
        f"; if it is a library, install it for this Python ({sys.executable}); if it is yours, say "
        f"which directory holds it with --app-dir (it is {directory}) or --pythonpath"
    )


def _settings_hint(said: str, directory: Path) -> str:
    """Say what to do if Django wants to be told its settings."""
    if "DJANGO_SETTINGS_MODULE" not in said:
        return ""
    projects = [each.parent.name for each in sorted(directory.glob("*/settings.py"))]
    project = projects[0] if projects else "mysite"
    return (
        f" Say the module of the project's wsgi.py, which names them ({project}.wsgi), or set "
        f"DJANGO_SETTINGS_MODULE={project}.settings in the environment"
    )


def _places(module: str, directory: Path) -> list[Path]:
    """List the directories in `directory` that hold a module; none if nobody may look."""
    try:
        return [each for each in sorted(directory.iterdir()) if _holds(each, module)]
    except OSError:
        return []


def _place_hint(missing: str, app_dir: str, directory: Path) -> str:
    """Say where the module may be instead, or which one may have been meant."""
    places = _places(missing, directory)
    try:
        here = {each.stem for each in directory.glob("*.py")}
        here |= {each.parent.name for each in directory.glob("*/__init__.py")}
    except OSError:  # nobody may look
        here = set()
    if places:
        return f"it is in {places[0].name}: say --app-dir {Path(app_dir, places[0].name)}"
    meant = "".join(f"did you mean {each}? Or " for each in close_names(missing, here, 1))
    return f"{meant}say where it is with --app-dir"


def _holds(directory: Path, module: str) -> bool:
    return (directory / f"{module}.py").is_file() or (directory / module / "__init__.py").is_file()


def _absolute(app_dir: str) -> Path:
    try:
        return Path(app_dir).resolve()
    except FileNotFoundError as error:  # of a relative path, if there is nothing that it starts at
        raise ConfigError(
            f"app_dir is {app_dir!r}, and the working directory has been removed; start again in "
            "another one, or start with --chdir PATH: a reload enters that anew"
        ) from error


def _colon_hint(name: str) -> str | None:
    """Hint at the colon if `name` has a dot there, as in Django's WSGI_APPLICATION; else None."""
    module, _, attribute = name.rpartition(".")
    if attribute == "toml":
        return f"did you mean --cutover {name}?"
    if hasattr(sys.modules.get(module), attribute):
        return f"did you mean {module}:{attribute}?"
    return None


def _default_app(module: Any, name: str) -> Any:
    """Return the app of a module that is named alone. Raises `AppLoadError`."""
    for default in DEFAULT_NAMES:
        if hasattr(module, default):
            return getattr(module, default)
    raise AppLoadError(
        f"{name} has neither {' nor '.join(DEFAULT_NAMES)}; {_name_hint(module, name, 'app')}"
    )


def _name_hint(module: ModuleType, name: str, wanted: str) -> str:
    """Say which attributes of `module` may have been meant."""
    found = [
        f"{name}:{each}" + (" --factory" if each.startswith(FACTORY_PREFIXES) else "")
        for each in _candidates(module, wanted)
    ]
    if found:
        return f"did you mean {' or '.join(found)}?"
    return _module_hint(module, name, wanted) or (
        f"say which of its attributes is the app: {name}:attr"
    )


def _module_hint(module: ModuleType, name: str, wanted: str) -> str | None:
    """Name the module that has the app, if `module` is its package, or stands beside it."""
    file, package = getattr(module, "__file__", None), name
    directories = [*getattr(module, "__path__", ())]
    if not directories and file is not None:
        package, directories = name.rpartition(".")[0], [str(Path(file).parent)]
        if name == "manage":
            found = sorted(Path(file).parent.glob("*/wsgi.py"))
            return f"did you mean {found[0].parent.name}.wsgi?" if found else None
    for each in _APP_MODULES if package else ():
        if any(Path(directory, f"{each}.py").is_file() for directory in directories):
            if file is None:
                below = os.path.relpath(directories[0])
                return f"did you mean {each}:{wanted} with --app-dir {below}?"
            return f"did you mean {package}.{each}?"
    return None


def _place(module: ModuleType) -> str:
    """Say where a module comes from."""
    if getattr(module, "__file__", None):
        return str(module.__file__)
    return (
        f"the directory {next(iter(module.__path__))}" if hasattr(module, "__path__") else "no file"
    )


def _candidates(module: ModuleType, wanted: str) -> list[str]:
    """List what can be called there and has a name like `wanted`, or as apps usually have."""
    names = [
        each for each, value in vars(module).items() if callable(value) and not each.startswith("_")
    ]
    close = close_names(wanted, names)
    return list(dict.fromkeys([*close, *(each for each in names if each.endswith(APP_ENDINGS))]))[
        :5
    ]


def _call_factory(factory: Any, name: str, call: CallArguments) -> Any:
    """Return the app that `factory` makes. Raises `AppLoadError`."""
    if not callable(factory):
        raise AppLoadError(
            f"{name} is {shown(factory)}; a factory is a function: take --factory or the "
            "parentheses away, if it is the app"
        )
    try:
        app = factory(*call.args, **call.kwargs)
    except (KeyboardInterrupt, AppLoadError):  # the latter says what another app lacks
        raise
    except BaseException as error:
        hint = ""
        if isinstance(error, TypeError) and other_kind(factory, "factory"):
            hint = "; it looks like an app, and is called: take --factory or the parentheses away"
        elif isinstance(error, TypeError) and _is_of_the_call(error):
            hint = f'; say its arguments in the call, such as {name.partition("(")[0]}("...")'
        raise AppLoadError(
            f"calling {name} failed: {type(error).__name__}: {error}{hint}"
        ) from error
    if inspect.isawaitable(app):
        close_unawaited(app)
        raise AppLoadError(
            f"{name} is an async factory, and a factory must be a plain function: the app is made "
            "before there is an event loop; put what it awaits into the app's lifespan"
        )
    return app


def _is_of_the_call(error: BaseException) -> bool:
    """Whether the call itself has failed, and not the code of what is called."""
    frames = error.__traceback__
    return frames is not None and frames.tb_next is None
