"""Retries: which errors are transient, how long the handler retries, and that it responds in time."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, cast

import boto3
import botocore.endpoint
import pytest
from batch_segment_handler import clients
from batch_segment_handler.errors import JobError, UnavailableError
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.retries import RetryBudget, call_with_retries
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from support.constants import REGION
from support.events import (
    NAME,
    Context,
    answer,
    arn,
    event,
    failure,
    stub_create,
    stub_create_error,
    stub_errors,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
    waiting,
)

pytestmark = pytest.mark.usefixtures("new_stack")
#: Creates the handler's real clients. Fixtures replace the functions of `clients` during a test.
CREATE_CLIENT = {name: getattr(clients, name).__wrapped__ for name in ("personalize", "cloudformation")}
DENIED = "User: arn:aws:sts::123456789012:assumed-role/handler is not authorized to perform: personalize:Create"
PRIVILEGES = "Insufficient privileges for accessing data in S3. Please look at the guide and fix bucket policy on in"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidInputException", PRIVILEGES),
        ("InvalidInputException", "Role cannot be assumed by Personalize"),
        ("AccessDeniedException", DENIED),
        ("LimitExceededException", "5 jobs"),
        ("ResourceInUseException", "still creating"),
        ("ThrottlingException", "Rate exceeded"),
    ],
)
def test_retries_transient_errors(personalize: Stubber, clock: Any, log: Any, code: str, message: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, code, message)
    stub_create_error(personalize, code, message)
    stub_create(personalize)
    assert on_event(event(), Context()) == answer()
    assert clock.sleeps == [2, 4]
    assert [line["decision"] for line in log()] == ["received", "waited", "waited", "created"]


@pytest.mark.parametrize(("jitter", "sleeps"), [(0.0, [1, 2, 4]), (0.5, [1.5, 3, 6]), (1.0, [2, 4, 8])])
def test_waits_are_half_fixed_and_half_random(
    personalize: Stubber, clock: Any, jitter: float, sleeps: list[Any] | list[int]
) -> None:
    clock.jitter = jitter
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "ThrottlingException", "Rate exceeded", 3)
    stub_create(personalize)
    assert on_event(event(), Context()) == answer()
    assert clock.sleeps == sleeps


def test_reports_a_missing_permission_after_two_minutes(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "InvalidInputException", PRIVILEGES, 12)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert sum(clock.sleeps) == 120
    assert str(failed.value) == failure(
        f"a permission is missing (CreateBatchSegmentJob: InvalidInputException: {PRIVILEGES}; 12 attempts in 120 "
        "seconds). Check the policies of the role, the buckets and the key, and deploy again: a new policy takes a "
        "while to propagate"
    )


def test_retries_while_the_service_is_busy(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "LimitExceededException", "5 jobs", 18)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context(seconds=840))
    assert sum(clock.sleeps) == 740
    assert str(failed.value) == failure(
        "Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (CreateBatchSegmentJob: "
        "LimitExceededException: 5 jobs; 18 attempts in 740 seconds). Deploy again when other jobs are complete, or "
        "run fewer jobs at once: give them wait_for_completion, and call BatchSegmentJob.limit_concurrency"
    )


@pytest.mark.parametrize(
    "error",
    [
        ConnectionClosedError(endpoint_url="https://personalize"),
        EndpointConnectionError(endpoint_url="https://personalize"),
        ReadTimeoutError(endpoint_url="https://personalize"),
        ResponseParserError("not JSON"),
        ClientError(
            cast(Any, {"Error": {"Code": "503"}, "ResponseMetadata": {"HTTPStatusCode": 503}}), "DescribeFilter"
        ),
    ],
)
def test_retries_connection_errors_until_the_budget_ends(clock: Any, error: Any) -> None:
    answers: list[Any] = [error, error, "answer", *[error] * 6]

    def operation() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert call_with_retries(operation, RetryBudget(60)) == "answer"
    with pytest.raises(
        UnavailableError, match=r"^AWS returned an unexpected response .*; 6 attempts in 60 seconds\)\. Deploy"
    ):
        call_with_retries(operation, RetryBudget(60))
    assert answers == []


class RunningContext(Context):
    """Lambda's context, whose time passes on the handler's clock."""

    def __init__(self, clock: Any, seconds: float) -> None:
        super().__init__(seconds)
        self._clock, self._ends = clock, clock.now + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - self._clock.now) * 1000)


@pytest.fixture(scope="module")
def real_clients() -> Iterator[Any]:
    """The handler's real clients by name, without the cache."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        # The default session would keep these credentials for the tests that follow.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        yield {name: create() for name, create in CREATE_CLIENT.items()}


@pytest.fixture
def hang_after(monkeypatch: pytest.MonkeyPatch, clock: Any, real_clients: Any) -> Iterator[Any]:
    """Returns a function that sets when the services start to hang. Until then, their connections break at once."""
    monkeypatch.setattr(botocore.endpoint, "time", clock)
    for name, client in real_clients.items():
        monkeypatch.setattr(clients, name, lambda client=client: client)
    sent: list[str] = []
    begins = float("inf")

    def fail(request: Any, event_name: str, client: Any, **_: Any) -> None:
        sent.append(event_name.rpartition(".")[2])
        if clock.now < begins:
            raise ConnectionClosedError(endpoint_url=request.url)
        config = client.meta.config
        clock.now += config.connect_timeout + config.read_timeout
        raise ReadTimeoutError(endpoint_url=request.url)

    def hang_after(seconds: float) -> list[str]:
        nonlocal begins
        begins = clock.now + seconds
        return sent

    handlers = {name: functools.partial(fail, client=client) for name, client in real_clients.items()}
    for name, client in real_clients.items():
        client.meta.events.register("before-send", handlers[name])
    yield hang_after
    for name, client in real_clients.items():
        client.meta.events.unregister("before-send", handlers[name])


@pytest.mark.parametrize("seconds_before_timeout", [300, 200, 140, 105, 100.1, 99, 60, 55, 50.1, 49])
@pytest.mark.parametrize(("entry_point", "timeout"), [(on_event, 840), (is_complete, 300), (is_complete, 200)])
def test_responds_before_the_timeout_if_services_hang(
    clock: Any, hang_after: Any, entry_point: Any, timeout: int, seconds_before_timeout: float | int
) -> None:
    sent = hang_after(timeout - seconds_before_timeout)
    context = RunningContext(clock, timeout)
    with contextlib.suppress(JobError):
        entry_point(waiting("Update", deadline=0, PhysicalResourceId=arn("other")), context)
    assert set(sent) == {"DescribeBatchSegmentJob", "DescribeStacks"}
    # Time for the response.
    assert context.get_remaining_time_in_millis() >= 5000


def test_retries_a_limit_of_requests_as_throttling(personalize: Stubber, clock: Any) -> None:
    message = "The limit on the number of requests per second has been exceeded"
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "LimitExceededException", message, 18)
    with pytest.raises(JobError, match=r"^AWS returned an unexpected response or none \(CreateBatchSegmentJob: Limit"):
        on_event(event(), Context())


def test_retries_if_a_job_that_exists_is_not_visible_yet(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "ResourceAlreadyExistsException", "exists")
    stub_missing_job(personalize)
    stub_missing_job(personalize)
    stub_existing_job(personalize, status="CREATE PENDING")
    assert on_event(event(), Context()) == answer()
    assert len(clock.sleeps) == 2


def test_reports_a_job_that_exists_and_never_becomes_visible(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "ResourceAlreadyExistsException", "exists")
    for _ in range(12):
        stub_missing_job(personalize)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert sum(clock.sleeps) == 120
    assert str(failed.value) == failure(
        f"the job {NAME} exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not find it (12 "
        "attempts in 120 seconds). Deploy again"
    )


@pytest.mark.parametrize("seconds", [0, -1])
def test_ended_budget_does_not_wait(clock: Any, seconds: int) -> None:
    assert not RetryBudget(seconds).wait(1, for_propagation=False)
    assert clock.sleeps == []


def test_budget_ends_after_its_seconds(clock: Any) -> None:
    budget = RetryBudget(3)
    assert [budget.wait(2, for_propagation=False) for _ in range(3)] == [2, 1, 0]
    assert clock.sleeps == [2, 1]


def test_budget_ends_if_sleeping_is_scaled_down(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on the local AWS.
    monkeypatch.setattr(clock, "sleep", clock.sleeps.append)
    budget = RetryBudget(3)
    assert [budget.wait(2, for_propagation=False) for _ in range(3)] == [2, 1, 0]


def test_budget_ends_if_the_calls_take_the_time(clock: Any) -> None:
    budget = RetryBudget(3)
    clock.now += 2.5
    assert [budget.wait(2, for_propagation=False) for _ in range(2)] == [0.5, 0]


def test_budget_for_propagation_ends_after_two_minutes(clock: Any) -> None:
    budget = RetryBudget(300)
    assert [budget.wait(100, for_propagation=True) for _ in range(3)] == [100, 20, 0]
    assert budget.wait(100, for_propagation=False) == 100
