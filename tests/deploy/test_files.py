"""What can be checked of the deployment files without a container runtime or a cluster."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SCRIPTS = sorted((DEPLOY / "slurm").glob("*.sbatch"))


def test_what_the_container_copies_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()]
    assert {"requirements.lock", "pyproject.toml", "platform", "schemas", "jobs"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "\nUSER nanolake\n" in text
    sent = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in sent if line.startswith("!")} == set(copied)


def test_the_container_user_owns_every_volume_of_its_services() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    owned = set(re.findall(r"chown nanolake (.+)", text)[0].split())
    ours = [s for s in COMPOSE["services"].values() if s["image"] == "nanolake"]
    mounted = {volume.split(":")[-1] for s in ours for volume in s.get("volumes", [])} - {"ro"}
    assert mounted <= owned


def test_every_service_has_a_command_and_what_it_waits_for() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert service["command"]
        for other in service.get("depends_on", {}):
            assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            name = volume.split(":")[0]
            assert name in COMPOSE["volumes"] or name.startswith("$")


def test_only_this_machine_reaches_published_ports() -> None:
    published = [port for s in COMPOSE["services"].values() for port in s.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_secret_is_in_the_example_and_empty() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    secrets = set(re.findall(r"\$\{(\w+):\?", text))
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    assert secrets == {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"}
    assert all(re.search(rf"^{name}=$", example, re.M) for name in secrets)


def manifests(name: str) -> dict[str, Any]:
    text = (DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")
    return {f"{m['kind']}/{m['metadata'].get('name')}": m for m in yaml.safe_load_all(text)}


def defaults(text: str, values: Mapping[str, str]) -> list[str]:
    filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: values.get(found[1], found[2]), text)
    return shlex.split(filled)


@pytest.mark.parametrize("name", ["dask-scheduler", "dask-worker"])
def test_kubernetes_starts_dask_as_compose_does(name: str) -> None:
    pod = manifests("dask.yaml")[f"Deployment/{name}"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == defaults(COMPOSE["services"][name]["command"], {})


def test_kubernetes_starts_the_service_as_compose_does() -> None:
    found = manifests("serve.yaml")
    container = found["Deployment/nanolake-serve"]["spec"]["template"]["spec"]["containers"][0]
    service = COMPOSE["services"]["service"]
    assert container["args"] == defaults(service["command"], {})
    port = found["Service/nanolake-serve"]["spec"]["ports"][0]["port"]
    probe = container["readinessProbe"]["httpGet"]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f":{port}{probe['path']}'" in " ".join(defaults(service["healthcheck"]["test"], {}))
    assert (probe["port"], probe["path"]) == (port, "/health")


def test_kubernetes_job_takes_the_words_that_the_scripts_name() -> None:
    command = manifests("job.yaml")["Job/None"]["spec"]["template"]["spec"]["containers"][0]
    assert "WORDS" in command["command"][-1]
    for script in (ROOT / "jobs").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        assert f"sed 's|WORDS|jobs/{script.name} " in text
        assert f"sbatch deploy/slurm/job.sbatch jobs/{script.name}" in text
        assert f"ray job submit --working-dir . -- python jobs/{script.name} " in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_slurm_scripts_are_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=20)


@pytest.mark.slow
@pytest.mark.dask
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_slurm_scripts_run_a_job(path: Path, small_world: Path, tmp_path: Path) -> None:
    """With Slurm's variable set and an ``srun`` that runs its words once, on this node."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nexec "$@"\n')
    srun.chmod(0o755)
    folders = [str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {"PATH": os.pathsep.join(folders), "SLURM_CPUS_PER_TASK": "2"}
    done = subprocess.run(
        ["bash", str(path), str(ROOT / "jobs/ingest.py"), str(tmp_path / "lake"), str(small_world)],
        env={**os.environ, **environment, "SHARED": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "12 micrograph rows" in done.stdout
    assert not list(tmp_path.glob("dask-*.json"))
