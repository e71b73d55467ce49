"""The recipes in examples/deploy, as far as a machine without a cluster can try them (O4, O1)."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.hosts import ROOT, Command, Host, free_port, start
from tests.support.load import Load
from tests.support.waiting import eventually

DEPLOY = ROOT / "examples" / "deploy"
BIN = Path(sys.executable).parent


def text(name: str) -> str:
    return (DEPLOY / name).read_text()


def documents(name: str) -> dict[str, Any]:
    """The documents of a YAML file, by kind."""
    return {each.get("kind", ""): each for each in yaml.safe_load_all(text(name))}


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(DEPLOY / "asgi-bridge.service")
    return unit["Service"]


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    return dict(found)


def pod() -> dict[str, Any]:
    return dict(documents("kubernetes.yaml")["Deployment"]["spec"]["template"]["spec"])


def dockerfile() -> list[tuple[str, str]]:
    """The instructions: name and the rest."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.M))
    return [(name, rest.strip()) for name, _, rest in (x.partition(" ") for x in lines.split("\n"))]


def last_of(name: str) -> str:
    return [rest for each, rest in dockerfile() if each == name][-1]


def commands() -> dict[str, list[str]]:
    """What each recipe runs, the program aside."""
    found = {
        "service": shlex.split(service()["ExecStart"]),
        "Dockerfile": json.loads(last_of("CMD")),
        "kubernetes": container()["args"],
        "Procfile": shlex.split(text("Procfile").removeprefix("web: ")),
    }
    assert all(Path(program).name == "asgi-bridge" for program, *_ in found.values())
    return {name: arguments for name, (_, *arguments) in found.items()}


def settings(recipe: str) -> dict[str, Any]:
    """Every setting of what a recipe runs; an option that the server does not have is an error."""
    _, *arguments = commands()[recipe]
    done = subprocess.run(
        [BIN / "asgi-bridge", "config", "--json", *arguments],
        cwd=DEPLOY, env=ENV, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return {name: each["value"] for name, each in json.loads(done.stdout).items()}


def longest_stop(recipe: str) -> float:
    """Seconds that a stop may take."""
    found = settings(recipe)
    names = "drain_delay", "timeout_graceful_shutdown", "timeout_shutdown"
    return float(sum(found[name] for name in names))


ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
    "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
    "PYTHONPATH": str(ROOT),
}


def command(recipe: str, port: int = 0, **files: str) -> Command:
    """What a recipe runs, at ports of its own: `{port}`, and `port` for monitors."""
    arguments = [
        re.sub(r"0\.0\.0\.0:9000|127\.0\.0\.1:9000", f"127.0.0.1:{port}", word)
        for word in commands()[recipe]
    ]
    place = ["--host=127.0.0.1", "--port={port}", "--drain-delay=0"]
    return Command(recipe, (str(BIN / "asgi-bridge"), *arguments, *place), ENV, DEPLOY)


# ------------------------------------------------------------- what all of them run


@pytest.mark.parametrize("recipe", commands())
def test_it_starts_serves_and_stops(recipe: str) -> None:
    """O1: each command as it stands, but for its ports; SIGTERM reaches the server."""
    monitor = free_port()
    with start(command(recipe, monitor)) as host:
        assert httpx.get(host.url("/")).text == "Hello from version 1\n"
        if recipe != "Procfile":
            assert httpx.get(f"http://127.0.0.1:{monitor}/ready").status_code == 200
            assert httpx.get(f"http://127.0.0.1:{monitor}/live").status_code == 200
        assert host.stop() == 0


# ------------------------------------------------------------- systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_the_units_are_right(tmp_path: Path) -> None:
    """O4: systemd finds nothing wrong with them."""
    program = tmp_path / ".venv" / "bin" / "asgi-bridge"
    program.parent.mkdir(parents=True)
    program.symlink_to(BIN / "asgi-bridge")
    units = [tmp_path / "asgi-bridge.service", tmp_path / "asgi-bridge.socket"]
    for unit in units:
        unit.write_text(text(unit.name).replace("/srv/shop", str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60
    )
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []
    assert done.returncode == 0, done.stderr


def test_the_page_shows_the_units() -> None:
    """O4: as they are."""
    page = (ROOT / "docs" / "howto" / "start-by-systemd.md").read_text()
    shown = re.findall(r"^```ini\n(.*?)^```$", page, re.M | re.S)
    assert shown == [text("asgi-bridge.socket"), text("asgi-bridge.service")]


def test_the_time_that_systemd_gives() -> None:
    """P2 O4: it is longer than a start or a stop may take; a wrong app is not started again."""
    found = service()
    assert float(found["TimeoutStopSec"]) > longest_stop("service")
    assert float(found["TimeoutStartSec"]) > settings("service")["timeout_startup"]
    assert found["RestartPreventExitStatus"].split() == ["2", "3"]


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate"
)
def test_on_a_socket_of_systemd(tmp_path: Path) -> None:
    """S30 O4: what the unit runs serves at the socket that it is passed."""
    port, monitor = free_port(), free_port()
    arguments = [*commands()["service"], f"--metrics-bind=127.0.0.1:{monitor}"]
    passed = ["PATH", "PYTHONPATH", "HOME"]
    process = subprocess.Popen(
        [
            *("systemd-socket-activate", f"--listen=127.0.0.1:{port}"),
            *(f"--setenv={name}" for name in passed if name in ENV),
            *(BIN / "asgi-bridge", *arguments, "--drain-delay=0"),
        ],
        env=ENV, cwd=DEPLOY, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:

        def answer() -> str:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/", timeout=60).text
            except httpx.ConnectError:
                return ""

        eventually(lambda: answer() == "Hello from version 1\n")
        assert httpx.get(f"http://127.0.0.1:{monitor}/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------- containers


def test_the_image_is_small_and_not_root() -> None:
    """O7: two stages, a user that is not root, and a command that no shell stands before."""
    names = [name for name, _ in dockerfile() if name]
    assert names.count("FROM") == 2
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("FROM", "RUN"))
    assert last_of("USER").isdigit()
    assert int(last_of("USER")) > 0
    assert json.loads(last_of("CMD"))[0] == "asgi-bridge"
    sources = [word for name, rest in dockerfile() if name == "COPY" for word in rest.split()[:-1]]
    local = [word for word in sources if not word.startswith(("/", "--"))]
    assert [name for name in local if not (DEPLOY / name).exists()] == []


def test_the_check_of_the_image() -> None:
    """O1: it is fine while the server is ready, and fails if there is none."""
    _, check = last_of("HEALTHCHECK").split("CMD ")
    monitor = free_port()
    argv = [word.replace(":9000", f":{monitor}") for word in json.loads(check)]
    argv[0] = sys.executable
    with start(command("Dockerfile", monitor)):
        subprocess.run(argv, check=True, timeout=60)
    assert subprocess.run(argv, capture_output=True, timeout=60).returncode == 1


def docker_works() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.skipif(not docker_works(), reason="needs a Docker daemon")
@pytest.mark.slow
def test_the_image_can_be_built(tmp_path: Path) -> None:
    """O7: with this version of the package in it."""
    context = tmp_path / "context"
    shutil.copytree(DEPLOY, context)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", context, ROOT]
    subprocess.run(wheel, check=True, timeout=110)
    (made,) = context.glob("*.whl")
    file = context / "Dockerfile"
    file.write_text(file.read_text().replace("COPY req", f"COPY {made.name} .\nCOPY req"))
    (context / "requirements.txt").write_text(f"./{made.name}\n")
    subprocess.run(["docker", "build", "-q", context], check=True, timeout=600)


def test_compose() -> None:
    """O7: nginx waits for a healthy shop, is trusted, and finds it; a stop has enough time."""
    (compose,) = documents("compose.yaml").values()
    shop, nginx = compose["services"]["shop"], compose["services"]["nginx"]
    assert nginx["depends_on"] == {"shop": {"condition": "service_healthy"}}
    assert float(shop["stop_grace_period"].removesuffix("s")) > longest_stop("Dockerfile")
    (network,) = compose["networks"]["shop"]["ipam"]["config"]
    assert shop["environment"] == {"BRIDGE_FORWARDED_ALLOW_IPS": network["subnet"]}
    (volume,) = nginx["volumes"]
    assert (DEPLOY / volume.partition(":")[0]).exists()
    assert f"server shop:{settings('Dockerfile')['port']};" in text("nginx.conf")


def test_kubernetes() -> None:
    """O1: the probes ask the port of `--metrics-bind`; a pod that ends drains, and has the time."""
    found, ours = settings("kubernetes"), container()
    ports = {each["name"]: each["containerPort"] for each in ours["ports"]}
    assert ports == {"http": found["port"], "operations": int(found["metrics_bind"][-4:])}
    for probe, path in [("startup", "/ready"), ("readiness", "/ready"), ("liveness", "/live")]:
        assert ours[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "operations"}
    start_up, ready = ours["startupProbe"], ours["readinessProbe"]
    assert start_up["periodSeconds"] * start_up["failureThreshold"] > found["timeout_startup"]
    assert found["drain_delay"] > ready["periodSeconds"] * ready["failureThreshold"]
    assert pod()["terminationGracePeriodSeconds"] > longest_stop("kubernetes")
    labels = documents("kubernetes.yaml")["Deployment"]["spec"]["selector"]["matchLabels"]
    assert documents("kubernetes.yaml")["Service"]["spec"]["selector"] == labels
    assert documents("kubernetes.yaml")["PodDisruptionBudget"]["spec"]["selector"] == {
        "matchLabels": labels
    }
    assert pod()["securityContext"]["runAsUser"] == int(last_of("USER"))


def test_the_platform_names_the_port() -> None:
    """S60: a Procfile's command is run by a shell; PORT is the only thing that it is told."""
    line = text("Procfile").removeprefix("web: ").strip()
    assert "--port" not in line
    argv = ("sh", "-c", f"PORT={{port}} exec {line}")
    with start(Command("Procfile", argv, ENV, DEPLOY)) as host:
        assert httpx.get(host.url("/")).text == "Hello from version 1\n"


# ------------------------------------------------------------- proxies in front

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
HAPROXY = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")

#: What stands around a file of conf.d.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
USER
events {}
http {
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
CONF
}
"""


@pytest.mark.skipif(NGINX is None, reason="needs Debian's package nginx")
def test_behind_nginx() -> None:
    """S32: the server knows the client; nginx keeps its connections open."""
    with ExitStack() as stack:
        shop = stack.enter_context(start(command("Dockerfile", free_port())))
        conf = text("nginx.conf").replace("server shop:8000;", f"server 127.0.0.1:{shop.port};")
        conf = AROUND.replace("CONF", conf.replace("listen 80;", "listen 127.0.0.1:PORT;"))
        conf = conf.replace("USER", "user root root;" if os.getuid() == 0 else "")
        line = (
            f"sed s/PORT/{{port}}/ {{folder}}/template.conf > {{folder}}/nginx.conf && "
            f"exec {NGINX} -p {{folder}} -e stderr -c {{folder}}/nginx.conf"
        )
        proxy = Command("nginx", ("bash", "-c", line), files={"template.conf": conf})
        nginx = stack.enter_context(start(proxy))
        for _ in range(3):
            response = httpx.get(nginx.url("/"), headers={"X-Forwarded-For": "192.0.2.7"})
            assert response.text == "Hello from version 1\n"
        eventually(lambda: shop.log().count('192.0.2.7:0 - "GET / HTTP/1.1" 200') == 3)


@pytest.fixture
def shops() -> Iterator[list[tuple[Host, int]]]:
    """Two servers that drain, each with the port for its monitors."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(2)]
        started = [command("Dockerfile", port) for port in ports]
        yield [
            (stack.enter_context(start(_draining(each))), port)
            for each, port in zip(started, ports, strict=True)
        ]


def _draining(command: Command) -> Command:
    return Command(command.name, (*command.argv, "--drain-delay=5s"), ENV, DEPLOY)


@pytest.mark.skipif(HAPROXY is None, reason="needs Debian's package haproxy")
@pytest.mark.slow
def test_behind_haproxy(shops: list[tuple[Host, int]]) -> None:
    """O1: HAProxy takes a server that stops out before anything is refused: no request fails."""
    cfg = text("haproxy.cfg").replace("bind :80\n", "bind 127.0.0.1:PORT\n")
    for (host, monitor), port in zip(shops, ("8000 port 9000", "8001 port 9001"), strict=True):
        assert cfg.count(port) == 1
        cfg = cfg.replace(port, f"{host.port} port {monitor}")
    line = (
        f"sed s/PORT/{{port}}/ {{folder}}/template.cfg > {{folder}}/haproxy.cfg && "
        f"exec {HAPROXY} -db -f {{folder}}/haproxy.cfg"
    )
    proxy = Command("haproxy", ("bash", "-c", line), files={"template.cfg": cfg})
    with start(proxy) as front:
        one, _ = shops[0]

        async def main() -> Load:
            load = Load(front, ["/"], lambda: 0.01)
            async with load.running(8):
                await load.more(200)
                code = await asyncio.to_thread(one.stop, 60)
                assert code == 0
                await load.more(200)
            return load

        load = asyncio.run(main())
        assert load.failed == []
        assert httpx.get(front.url("/")).text == "Hello from version 1\n"
