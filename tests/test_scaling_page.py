"""What docs/scaling.md starts workers with: commands, Slurm script and Kubernetes manifest, run."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from keras_colorize.recipe import load_recipe
from keras_colorize.training.cluster import Cluster, find_cluster

PAGE = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text()

# In place of the programs that are called; a worker prints what it is called with.
WORKER = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps([os.environ["TF_CONFIG"], *sys.argv[1:]]))
"""
SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames node[1-2]" ] && printf "node1\\nnode2\\n"
"""
SRUN = """#!/bin/bash
for rank in 0 1; do SLURM_PROCID=$rank "$@" || exit; done
"""
PROGRAMS = {"keras-colorize": WORKER, "scontrol": SCONTROL, "srun": SRUN}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a script with stand-ins for `PROGRAMS`: each worker's cluster and arguments."""
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)

    def run(script, **environment):
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", script],
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        clusters, commands = [], []
        for line in done.stdout.splitlines():
            config, *arguments = json.loads(line)
            monkeypatch.setenv("TF_CONFIG", config)
            clusters.append(find_cluster(None))
            commands.append(arguments)
        return clusters, commands

    return run


def code(language):
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "TF_CONFIG" in block]


def require_one_training(commands):
    """All workers have the same command, which is one of `fit`."""
    first, *others = commands
    assert others == [first]
    assert first == [
        *("fit", "paintings_gan_batch_norm", "--name", "mine"),
        *("--set", "data.path=/shared/images", "--runs", "/shared/runs"),
    ]
    load_recipe(first[1], [first[5]])


def test_two_machines(run):
    (commands,) = code("")
    clusters, arguments = run(commands)
    assert clusters == [Cluster(("a:2222", "b:2222"), index) for index in range(2)]
    require_one_training(arguments)


def test_slurm(run):
    (script,) = code("bash")
    clusters, arguments = run(script, SLURM_JOB_NODELIST="node[1-2]")
    assert clusters == [Cluster(("node1:2222", "node2:2222"), index) for index in range(2)]
    require_one_training(arguments)


def test_kubernetes(run):
    (manifest,) = code("yaml")
    service, job = yaml.safe_load_all(manifest)
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    name, subdomain = job["metadata"]["name"], service["metadata"]["name"]
    # A pod is NAME-INDEX.SUBDOMAIN if the service has no address of its own and finds the pod.
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    pod = spec["template"]["spec"]
    assert pod["subdomain"] == subdomain
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    bash, option, script = container["command"]
    assert (bash, option) == ("bash", "-c")
    workers = tuple(f"{name}-{index}.{subdomain}:2222" for index in range(spec["completions"]))
    commands = []
    for index in range(spec["parallelism"]):
        (cluster,), arguments = run(script, JOB_COMPLETION_INDEX=str(index))
        assert cluster == Cluster(workers, index)
        commands += arguments
    require_one_training(commands)
