"""From a name on the command line to an app: ``module:attr``, or mounts of several."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from bridge.detect import KINDS
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import AppLoadError, ConfigError
from bridge.server.config import Config

#: What an app is called where only its module is named.
USUAL_NAMES = ("app", "application")


def load(config: Config) -> Any:
    """The app that `config` names: `app` itself, or a `Dispatcher` of its mounts.

    Raises `AppLoadError` where an app cannot be had, `ConfigError` where none is named.
    """
    if config.mount:
        return _load_mounts(config)
    if config.app is None:
        raise ConfigError("no app is named; say module:attr, or --mount PREFIX=module:attr")
    return load_app(config.app, config.app_dir, config.factory)


def _load_mounts(config: Config) -> Dispatcher:
    children: dict[str, Mount] = {}
    for mount in config.mount:
        place, _, target = mount.partition("=")
        if place in children:
            raise ConfigError(f"{place} is mounted twice; give each app a place of its own")
        kind, colon, rest = target.partition(":")
        if not colon or kind not in KINDS:
            kind, rest = "auto", target
        children[place] = Mount(load_app(rest, config.app_dir, config.factory), kind)
    return Dispatcher(
        children,
        runner=config.runner,
        threads=config.threads,
        queue_limit=config.queue_limit,
        websocket=config.websocket,
    )


def load_app(target: object, app_dir: str = ".", factory: bool = False) -> Any:
    """The app that `target` names, or `target` itself where it is no text.

    A name is ``module:attr`` or ``module:attr.attr``, or a module alone that has an `app` or an
    `application`. With `factory` it is called, and what it returns is the app.

    Raises `AppLoadError` that says what is missing; where the app's own code raised, that error is
    its cause.
    """
    found = _find(target, app_dir) if isinstance(target, str) else target
    name = target if isinstance(target, str) else type(target).__name__
    if factory:
        found = _call(found, name)
    if not callable(found):
        raise AppLoadError(f"{name} is {found!r:.60}, which cannot be called; an app is callable")
    return found


def _find(target: str, app_dir: str) -> Any:
    module_name, colon, attributes = target.partition(":")
    if not module_name or (colon and not attributes):
        raise AppLoadError(f"{target!r} names no app; say module:attr, such as main:app")
    if module_name.endswith(".py") or "/" in module_name:
        stem = Path(module_name).stem
        raise AppLoadError(
            f"{module_name!r} is a file; name the module instead, such as {stem}:"
            f"{attributes or 'app'} (and its directory with --app-dir)"
        )
    if "(" in attributes:
        raise AppLoadError(
            f"{target!r} is a call; name the function and add --factory to have it called"
        )
    module = _import(module_name, app_dir)
    if not colon:
        return _usual_app(module, module_name)
    found: Any = module
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AppLoadError(
                f"{module_name} has no attribute {attributes!r}; it is "
                f"{getattr(module, '__file__', None) or 'no file'}"
            ) from None
    return found


def _import(name: str, app_dir: str) -> Any:
    directory = str(Path(app_dir).resolve())
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise AppLoadError(f"importing {name} failed: {error}") from error
        raise AppLoadError(
            f"there is no module {error.name!r} in {directory} or on the import path; "
            "say where it is with --app-dir"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise AppLoadError(f"importing {name} failed: {type(error).__name__}: {error}") from error


def _usual_app(module: Any, name: str) -> Any:
    for usual in USUAL_NAMES:
        if hasattr(module, usual):
            return getattr(module, usual)
    raise AppLoadError(
        f"{name} has neither {' nor '.join(USUAL_NAMES)}; say which of its attributes is the app: "
        f"{name}:attr"
    )


def _call(factory: Any, name: str) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{name} is {factory!r:.60}; a factory is a function")
    try:
        return factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise AppLoadError(f"calling {name} failed: {type(error).__name__}: {error}") from error
