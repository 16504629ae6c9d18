"""Turns a job's YAML, as ``gcloud run jobs replace`` takes it, into the message that the API takes."""

from __future__ import annotations

from typing import Any

import yaml
from google.cloud import run_v2
from google.protobuf.duration_pb2 import Duration


def job_from_yaml(text: str) -> tuple[str, run_v2.Job]:
    """Return a job's name and message."""
    document: dict[str, Any] = yaml.safe_load(text)
    assert (document["apiVersion"], document["kind"]) == ("run.googleapis.com/v1", "Job")
    execution = document["spec"]["template"]["spec"]
    task = dict(execution.pop("template")["spec"])
    assert execution == {"parallelism": 1, "taskCount": 1}
    (container,) = task.pop("containers")
    message = run_v2.TaskTemplate(
        containers=[_container(dict(container))],
        max_retries=task.pop("maxRetries"),
        timeout=Duration(seconds=int(task.pop("timeoutSeconds"))),
        service_account=task.pop("serviceAccountName"),
    )
    assert not task, f"unknown fields {sorted(task)}"
    template = run_v2.ExecutionTemplate(task_count=1, parallelism=1, template=message)
    return document["metadata"]["name"], run_v2.Job(template=template)


def _container(fields: dict[str, Any]) -> run_v2.Container:
    message = run_v2.Container(
        image=fields.pop("image"),
        command=fields.pop("command"),
        resources=run_v2.ResourceRequirements(limits=fields.pop("resources")["limits"]),
        env=[_variable(dict(each)) for each in fields.pop("env")],
    )
    assert not fields, f"unknown fields {sorted(fields)}"
    return message


def _variable(fields: dict[str, Any]) -> run_v2.EnvVar:
    name = fields.pop("name")
    if "value" in fields:
        made = run_v2.EnvVar(name=name, value=fields.pop("value"))
    else:
        secret = fields.pop("valueFrom")["secretKeyRef"]
        selector = run_v2.SecretKeySelector(secret=secret["name"], version=secret["key"])
        made = run_v2.EnvVar(name=name, value_source=run_v2.EnvVarSource(secret_key_ref=selector))
    assert not fields, f"unknown fields {sorted(fields)}"
    return made
