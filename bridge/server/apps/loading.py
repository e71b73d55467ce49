"""From a name on the command line to an app: ``module:attr``, or mounts of several."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bridge.arguments.checks import close_names
from bridge.arguments.kinds import KINDS, detect, other_kind
from bridge.arguments.shapes import APP_ENDINGS, FACTORY_PREFIXES
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import AppLoadError, ConfigError
from bridge.log import logger
from bridge.loops.tasks import close_unawaited
from bridge.server.apps.targets import Call, Target, parse_target
from bridge.server.config.config import Config

#: What an app is called where only its module is named.
USUAL_NAMES = ("app", "application")


def load(config: Config) -> Any:
    """The app that `config` names: `app` itself, or a `Dispatcher` of its mounts.

    Raises `AppLoadError` where an app cannot be had, `ConfigError` where none is named.
    An explicit kind wins, with a warning where the app looks like another.
    """
    if config.mount:
        return _load_mounts(config)
    if config.app is None:
        raise ConfigError("no app is named; say module:attr, or --mount PATH=module:attr")
    app = load_app(config.app, config.app_dir, config.factory)
    if config.interface != "auto":
        name = config.app if isinstance(config.app, str) else repr(app)
        _warn_of_doubt(app, name, config.interface, "interface", "--interface {}")
    return app


def _load_mounts(config: Config) -> Dispatcher:
    children: dict[str, Mount] = {}
    for mount in config.mount:
        place, _, target = mount.partition("=")
        if place in children:
            raise ConfigError(f"{place} is mounted twice; give each app a place of its own")
        children[place] = _load_mount(place, target, config)
    return Dispatcher(children)


def _load_mount(place: str, target: str, config: Config) -> Mount:
    kind, name = _split_target(place, target)
    try:
        app = load_app(name, config.app_dir, config.factory)
    except AppLoadError as error:
        if kind is None or ":" in name.partition("(")[0]:
            raise
        raise AppLoadError(
            f"{error}; {kind}: was read as the kind of the app: where it is the module, say "
            f"{place}={kind}:{target}"
        ) from error.__cause__
    if kind is not None:
        _warn_of_doubt(app, f"{name} at {place}", kind, "its mount", f"--mount {place}={{}}:{name}")
        return Mount(app, kind)
    try:
        detect(app, f"its name in front, such as --mount {place}=wsgi:{name}")
    except ConfigError as error:
        raise AppLoadError(f"{name} at {place}: {error}") from None
    return Mount(app)


def _split_target(place: str, target: str) -> tuple[str | None, str]:
    """The kind, where there is one, and the name of the app."""
    kind, colon, name = target.partition(":")
    if colon and kind in KINDS:
        return kind, name
    if ":" not in name.partition("(")[0]:
        return None, target
    close = close_names(kind.lower(), KINDS)
    hint = f"did you mean {place}={close[0]}:{name}?" if close else "or none, to have it told"
    raise ConfigError(
        f"{kind!r} in the mount {place}={target} is no kind of app; allowed is one of "
        f"{', '.join(KINDS)}; {hint}"
    )


def _warn_of_doubt(app: object, name: str, kind: str, said_by: str, remedy: str) -> None:
    seen = other_kind(app, kind)
    if seen is not None:
        logger.warning(
            "%s is served as %s, as %s says, but it looks like %s; if requests fail, say %s",
            name,
            kind,
            said_by,
            seen,
            remedy.format(seen),
        )


def load_app(target: object, app_dir: str = ".", factory: bool = False) -> Any:
    """The app that `target` names, or `target` itself where it is no text.

    A name is ``module:attr`` or ``module:attr.attr``, or a module alone that has an `app` or an
    `application`. With `factory` it is called, and what it returns is the app; so is
    ``module:function("argument")``, with these arguments, whatever `factory` says.

    Raises `AppLoadError` that says what is missing; where the app's own code raised, that error is
    its cause. Raises `ConfigError` where `app_dir` is no directory.
    """
    name, call = type(target).__name__, Call((), {}) if factory else None
    found = target
    if isinstance(target, str):
        parsed = parse_target(target)
        name, found, call = target, _find(parsed, app_dir), parsed.call or call
    if call is not None:
        found = _called(found, name, call)
    if not callable(found):
        raise AppLoadError(f"{name} is {found!r:.60}, which cannot be called; an app is callable")
    return found


def _find(target: Target, app_dir: str) -> Any:
    module = _import(target.module, app_dir)
    if not target.attributes:
        return _usual_app(module, target.module)
    found: Any = module
    for attribute in target.attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AppLoadError(
                f"{target.module} has no attribute {target.attributes!r} (it is "
                f"{getattr(module, '__file__', None) or 'no file'}); "
                f"{_advice(module, target.module, target.attributes.partition('.')[0])}"
            ) from None
    return found


def _import(name: str, app_dir: str) -> Any:
    path = Path(app_dir).resolve()
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
            raise AppLoadError(f"importing {name} failed: {error}") from error
        raise AppLoadError(
            f"there is no module {error.name!r} in {directory} or on the import path; "
            f"{_with_colon(name) or 'say where it is with --app-dir'}"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise AppLoadError(f"importing {name} failed: {type(error).__name__}: {error}") from error


def _with_colon(name: str) -> str | None:
    """What to say if `name` has a dot before the attribute, as in Django's WSGI_APPLICATION."""
    module, _, attribute = name.rpartition(".")
    if hasattr(sys.modules.get(module), attribute):
        return f"did you mean {module}:{attribute}?"
    return None


def _usual_app(module: Any, name: str) -> Any:
    for usual in USUAL_NAMES:
        if hasattr(module, usual):
            return getattr(module, usual)
    raise AppLoadError(
        f"{name} has neither {' nor '.join(USUAL_NAMES)}; {_advice(module, name, 'app')}"
    )


def _advice(module: ModuleType, name: str, wanted: str) -> str:
    """What of `module` may have been meant."""
    found = [
        f"{name}:{each}" + (" --factory" if each.startswith(FACTORY_PREFIXES) else "")
        for each in _candidates(module, wanted)
    ]
    if found:
        return f"did you mean {' or '.join(found)}?"
    return f"say which of its attributes is the app: {name}:attr"


def _candidates(module: ModuleType, wanted: str) -> list[str]:
    """What can be called there and is named like `wanted`, or as apps usually are."""
    names = [
        each for each, value in vars(module).items() if callable(value) and not each.startswith("_")
    ]
    close = close_names(wanted, names)
    return list(dict.fromkeys([*close, *(each for each in names if each.endswith(APP_ENDINGS))]))[
        :5
    ]


def _called(factory: Any, name: str, call: Call) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{name} is {factory!r:.60}; a factory is a function")
    try:
        made = factory(*call.args, **call.kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        hint = ""
        if isinstance(error, TypeError) and other_kind(factory, "factory"):
            hint = "; it looks like an app, and is called: take --factory or the parentheses away"
        raise AppLoadError(
            f"calling {name} failed: {type(error).__name__}: {error}{hint}"
        ) from error
    if inspect.isawaitable(made):
        close_unawaited(made)
        raise AppLoadError(
            f"{name} is an async factory, and a factory must be a plain function: the app is made "
            "before there is an event loop; put what it awaits into the app's lifespan"
        )
    return made
