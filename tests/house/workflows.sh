#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The workflows of .github: what they call is in the tree, and they are as careful as CONTRIBUTING.md has it.
set -euo pipefail
cd "$1"
python3 -c 'import yaml' 2>/dev/null || {
  echo 'skipped: no YAML for python3 (scripts/setup --ci installs it)'
  exit 77
}
python3 - <<'END'
import itertools
import json
import os
import re
import subprocess
import sys
import yaml

faults = []
ROOMS = r"(?:\.ci|scripts|cmake|tests|docs|host|plugins|sdk|guest|bench)"
stages = set(re.findall(r"^  ([a-z]+) +\S", subprocess.check_output([".ci/run", "--help"], text=True), re.M))
with open("CMakePresets.json") as file:
    presets = {preset["name"] for preset in json.load(file)["configurePresets"]}


def legs(job):
    """The job's values of the matrix, leg by leg."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    listed = matrix.pop("include", [])
    yield from listed
    if listed and not matrix:
        return
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values))


def filled(text, leg):
    return re.sub(r"\$\{\{ *matrix\.(\w+) *\}\}", lambda m: str(leg.get(m[1], m[0])), text)


def options_of(script):
    return set(re.findall(r"--[a-z][a-z-]+", subprocess.check_output([script, "--help"], text=True)))


def check_command(where, command):
    words = command.replace("\\\n", " ").split()
    for i, word in enumerate(words):
        path = word.strip("\"'")
        if not re.fullmatch(ROOMS + r"/[\w./-]+", path):
            continue
        if not os.path.exists(path):
            faults.append(f"{where}: calls {path}, which is not there")
        elif path == ".ci/run":
            if not words[i + 1 :]:
                faults.append(f"{where}: .ci/run without a stage is not meant to be run in one job")
            for stage in words[i + 1 :]:
                if stage not in stages:
                    faults.append(f"{where}: {stage} is no stage of .ci/run")
        elif path.startswith("scripts/"):
            if not os.access(path, os.X_OK):
                faults.append(f"{where}: {path} is not executable")
            for option in words[i + 1 :]:
                if option in ("||", "&&", "|"):
                    break
                if option.startswith("--") and option not in options_of(path):
                    faults.append(f"{where}: {path} has no option {option}")
            if "--preset" in words[i + 1 :] and words[words.index("--preset") + 1] not in presets:
                faults.append(f"{where}: {words[words.index('--preset') + 1]} is no preset")


def check_job(where, job, all_jobs):
    if not isinstance(job.get("timeout-minutes"), int):
        faults.append(f"{where}: has no timeout-minutes")
    for other in job.get("needs", []):
        if other not in all_jobs:
            faults.append(f"{where}: needs {other}, which is no job")
    for value in job.get("permissions", {}).values():
        if value == "write" and "refs/tags/" not in str(job.get("if", "")):
            faults.append(f"{where}: may write, and not on a tag alone")
    for leg in legs(job):
        for step in job["steps"]:
            if "uses" in step and not re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+", step["uses"]):
                faults.append(f"{where}: {step['uses']}: is not pinned to a whole version")
            if "run" in step:
                if "${{" in filled(step["run"], leg):
                    faults.append(f"{where}: puts an expression into a shell: {step['run']}")
                for line in filled(step["run"], leg).replace("\\\n", " ").splitlines():
                    check_command(where, line)


count = 0
for name in sorted(os.listdir(".github/workflows")):
    where = f".github/workflows/{name}"
    with open(where) as file:
        workflow = yaml.safe_load(file)
    if workflow.get("permissions") != {"contents": "read"}:
        faults.append(f"{where}: permissions are not contents: read alone")
    if "group" not in workflow.get("concurrency", {}):
        faults.append(f"{where}: has no concurrency group")
    for key, job in workflow["jobs"].items():
        check_job(f"{where}: {key}", job, workflow["jobs"])
        count += 1
if count == 0:
    faults.append(".github/workflows: no job was found")
for fault in dict.fromkeys(faults):
    print(fault)
sys.exit(1 if faults else 0)
END
