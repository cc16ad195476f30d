"""The files in ``docs/deploy`` hold: systemd verifies the units, and the receiver takes the options."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loguru_stdbridge.receiver.cli import main

DEPLOY = Path(__file__).parent.parent / "docs" / "deploy"
RECEIVER = ["python", "-m", "loguru_stdbridge.receiver"]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Return ``inside(text)``, which puts the paths of a text below a directory of the test's."""
    monkeypatch.chdir(tmp_path)
    for name in ("var/log/shop", "var/lib/shop", "etc/shop"):
        (tmp_path / name).mkdir(parents=True)
    pattern = re.compile(r"(?<![\w.])/(?=(?:var|etc|run)/)")
    return lambda text: pattern.sub(f"{tmp_path}/", text)


def check(arguments, monkeypatch, **environment):
    """Have the receiver check these options; it must take them, and leave nothing behind."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main([*arguments, "--check"]) == 0


def test_systemd_verifies_the_units(tmp_path):
    """``systemd-analyze verify`` finds nothing wrong with the service and its socket."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for name in ("shop-log.service", "shop-log.socket"):
        text = (DEPLOY / name).read_text()
        text = text.replace("/srv/shop/.venv/bin/python", sys.executable).replace(
            "=shop\n", "=root\n"
        )
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "shop-log.service"),
         str(tmp_path / "shop-log.socket")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "shop-log" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 reads TOML")
def test_the_service_is_taken(inside, tmp_path, monkeypatch):
    """The receiver takes the command line of the unit, with the configuration that goes with it."""
    unit = (DEPLOY / "shop-log.service").read_text()
    (tmp_path / "etc/shop/log.toml").write_text(inside((DEPLOY / "log.toml").read_text()))
    (command,) = re.findall("^ExecStart=(.*)$", unit, re.M)
    words = shlex.split(inside(command))
    assert words[1:3] == RECEIVER[1:]
    ((name, value),) = re.findall(r"^Environment=(\w+)=(.*)$", unit, re.M)
    check(words[3:], monkeypatch, **{name: inside(value)})


def test_the_image_is_taken(inside, monkeypatch):
    """The receiver takes what the image has it called with."""
    text = (DEPLOY / "Dockerfile").read_text()
    words = [
        json.loads(re.search(rf"^{each} (\[.*\])$", text, re.M)[1])
        for each in ("ENTRYPOINT", "CMD")
    ]
    assert words[0] == RECEIVER
    (variable,) = re.findall(r"^ENV (\w+)=(.*)$", text, re.M)
    check(map(inside, words[1]), monkeypatch, **{variable[0]: inside(variable[1])})


def test_the_compose_file_is_taken(inside, monkeypatch):
    """The receiver takes the command in the Compose file, and the others name its address."""
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    check(map(inside, services["logs"]["command"]), monkeypatch)
    assert services["web"]["environment"]["LOGURU_STDBRIDGE_ADDRESS"] == "tcp://logs:9020"
    volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["volumes"]
    named = {v.split(":")[0] for each in services.values() for v in each["volumes"]}
    assert named == set(volumes)


def test_the_compose_file_with_nats_is_taken(inside, monkeypatch):
    """The receivers take their commands in the Compose file with NATS, and the volumes are there."""
    yaml = pytest.importorskip("yaml")
    whole = yaml.safe_load((DEPLOY / "nats-compose.yaml").read_text())
    services = whole["services"]
    for name in ("shop", "logs"):
        command = services[name]["command"]
        command = command[: command.index("--")] if "--" in command else command
        check(map(inside, command), monkeypatch)
    assert {v.split(":")[0] for s in services.values() for v in s["volumes"]} == set(
        whole["volumes"]
    )


def test_the_sidecar_is_taken(inside, monkeypatch):
    """The receiver takes the arguments of the sidecar, and the application has its address."""
    yaml = pytest.importorskip("yaml")
    pod = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())["spec"]["template"]["spec"]
    (sidecar,), (application,) = pod["initContainers"], pod["containers"]
    check(map(inside, sidecar["args"]), monkeypatch)
    variables = {each["name"]: each["value"] for each in application["env"]}
    arguments = sidecar["args"]
    assert variables == {
        "LOGURU_STDBRIDGE_ADDRESS": arguments[arguments.index("--listen") + 1],
        "LOGURU_STDBRIDGE_SPOOL_DIR": arguments[arguments.index("--spool-dir") + 1],
    }
    mounts = {each["name"] for one in (sidecar, application) for each in one["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
