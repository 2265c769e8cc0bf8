"""The command ``personalize-local`` on runs, audiences and schedules."""

import http.server
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from personalize_local import cli
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import JobFixture
from unit.local.machine_fixture import MachineFixture
from unit.local.test_schedules import ScheduleFixture


@pytest.fixture
def within(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command of `personalize-local run`."""
    for name, value in local_aws.environment().items():
        if name.startswith(("AWS_", "PERSONALIZE_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")


def workflow(items: list[dict[str, Any]], bucket: str, wait: int = 0) -> dict[str, Any]:
    """The states of a workflow that publishes the events of its audiences, after a wait."""
    detail = {
        "version": "1",
        "workflow": "Weekly",
        "audience.$": "$.Audience.Name",
        "run.$": "$.Run.Run",
        "status.$": "$.Audience.Status",
        "reason.$": "$.Audience.Reason",
        "outputUri": f"s3://{bucket}/out/",
        "jobNames": [],
    }
    entry = {
        "Source": "cdk-personalize-segments",
        "DetailType.$": "States.Format('Personalize Segments {}', $.Audience.Type)",
        "Detail": detail,
    }
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::events:putEvents",
        "Parameters": {"Entries": [entry]},
        "End": True,
    }
    states = {"Wait": {"Type": "Wait", "Seconds": wait, "Next": "Publish"}, "Publish": publish}
    return {
        "Audiences": {
            "Type": "Map",
            "Label": "Audiences",
            "ItemsPath": "$.items",
            "ItemSelector": {"Audience.$": "$$.Map.Item.Value", "Run": {"Run": "20261130T030000Z"}},
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "Wait", "States": states},
            "ResultPath": None,
            "End": True,
        }
    }


def audience(name: str, status: str = "SUCCEEDED", reason: str = "") -> dict[str, Any]:
    return {"Name": name, "Status": status, "Reason": reason, "Type": status.capitalize()}


def allow(machine: MachineFixture) -> None:
    machine.allow(("events:PutEvents", "*"), ("states:StartExecution", machine.arn))


def test_long_list_shows_only_audiences_that_are_not_complete(
    jobs: JobFixture, machine: MachineFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    allow(machine)
    items = [audience(f"{machine.name}-{number}") for number in range(24)]
    items.append(audience(f"{machine.name}-drama", "FAILED", "no free capacity"))
    assert machine.run(workflow(items, jobs.output), {"items": items})["status"] == "SUCCEEDED"
    assert cli.main(["status"]) == 0
    shown = capsys.readouterr().out
    (hidden,) = re.findall(
        r"^(\d+) audiences without a failure are not shown\. To show one, pass its name\.$", shown, re.M
    )
    assert int(hidden) >= 24
    assert re.findall(rf"{machine.name}-(\w+)", shown) == ["drama"]
    assert cli.main(["status", f"{machine.name}-7"]) == 0
    shown = capsys.readouterr().out
    assert f"{machine.name}-7" in shown
    assert "There are no batch segment jobs" not in shown


def test_shows_runs_and_audiences(
    jobs: JobFixture, machine: MachineFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    allow(machine)
    jobs.put('{"itemId": "1"}\n')
    jobs.run()
    items = [audience(f"{machine.name}-comedy"), audience(f"{machine.name}-drama", "FAILED", "no free capacity")]
    assert machine.run(workflow(items, jobs.output), {"items": items})["status"] == "SUCCEEDED"
    assert cli.main(["status", machine.name]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"{machine.name} +20\S+ +SUCCEEDED +2 succeeded *\n", shown)
    assert re.search(rf"Weekly +{machine.name}-comedy +20261130T030000Z +SUCCEEDED *\n", shown)
    assert re.search(rf"Weekly +{machine.name}-drama +20261130T030000Z +FAILED +no free capacity *\n", shown)
    assert cli.main(["segments", f"{machine.name}-comedy", "--users", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"{machine.name}-comedy 20261130T030000Z SUCCEEDED\ns3://{jobs.output}/out/\n" in shown
    assert re.search(r"\n1 +25 +user-\d+ user-\d+ *\n", shown)
    assert cli.main(["segments", f"{machine.name}-drama"]) == 0
    assert capsys.readouterr().out == f"{machine.name}-drama 20261130T030000Z FAILED no free capacity\n"


def test_waits_for_an_audience_that_runs(
    jobs: JobFixture, machine: MachineFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    allow(machine)
    items = [audience(machine.name)]
    # At the scale of the tests, this is six seconds.
    started = machine.start(workflow(items, jobs.output, wait=12000), {"items": items})

    def is_running() -> bool:
        assert cli.main(["status", machine.name]) == 0
        return f"{machine.name} 20261130T030000Z RUNNING Wait" in re.sub(" +", " ", capsys.readouterr().out)

    wait_until(is_running, interval=0.1)
    assert cli.main(["segments", machine.name]) == 0
    shown = capsys.readouterr()
    assert "personalize-local: waiting for 1 audience" in shown.err
    assert f"{machine.name} 20261130T030000Z SUCCEEDED" in shown.out
    assert machine.end(started)["status"] == "SUCCEEDED"


def test_waits_for_an_audience_that_a_run_has_not_started(
    jobs: JobFixture, machine: MachineFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    allow(machine)
    items = [audience(machine.name)]
    states = workflow(items, jobs.output)
    prepare = {"Type": "Wait", "Seconds": 12000, "Next": "Audiences"}
    failed = [audience(machine.name, "FAILED", "an internal error")]
    assert machine.run(states, {"items": failed})["status"] == "SUCCEEDED"
    started = machine.start({"Prepare": prepare, **states}, {"items": items})
    assert cli.main(["segments", machine.name]) == 0
    shown = capsys.readouterr()
    assert "personalize-local: waiting for 1 audience" in shown.err
    assert f"{machine.name} 20261130T030000Z SUCCEEDED" in shown.out
    assert machine.end(started)["status"] == "SUCCEEDED"


def test_fires_a_schedule(machine: MachineFixture, within: None, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = ScheduleFixture(machine)
    schedule.create("cron(0 3 ? * MON *)")
    assert cli.main(["run-schedule", schedule.name]) == 2
    assert "is not authorized to perform: states:StartExecution" in capsys.readouterr().err
    schedule.allow()
    assert cli.main(["run-schedule", schedule.name, "--at", "2026-11-30T03:00:00Z"]) == 0
    assert "fired with the scheduled time 2026-11-30T03:00:00+00:00" in capsys.readouterr().err
    assert [given["run"] for given in schedule.inputs()] == ["2026-11-30T03:00:00Z"]
    assert cli.main(["run-schedule", "no-such-schedule"]) == 2
    assert (
        "schedule: got 'no-such-schedule', expected a name that selects one schedule; found: none"
        in capsys.readouterr().err
    )
    for at in ("tomorrow", "2026-02-30T03:00:00Z"):
        assert cli.main(["run-schedule", "--at", at]) == 2
        assert f"--at: got '{at}', expected a time like 2026-11-30T03:00:00Z" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["garbage", "http://127.0.0.1:{port}"])
def test_names_an_endpoint_that_is_no_local_aws(
    within: None, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = url.format(port=server.server_port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert cli.main(["status"]) == 2
        server.shutdown()
    assert f"AWS_ENDPOINT_URL: got {url!r}, expected the URL of a local AWS" in capsys.readouterr().err


def test_only_the_root_user_controls_the_local_aws(caller: Callable[..., Any], local_aws: LocalAws) -> None:
    client = caller({"Effect": "Allow", "Action": "*", "Resource": "*"})
    headers = {"X-Amz-Target": "PersonalizeLocal.ListRuns"}
    request = AWSRequest("POST", f"{local_aws.endpoint_url}/", headers, "{}")
    SigV4Auth(client._get_credentials(), "personalize", local_aws.region).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    assert answer.status_code == 403
    assert b"only the root user may control the local AWS" in answer.content
