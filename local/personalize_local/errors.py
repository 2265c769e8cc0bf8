"""Errors that modules of the local AWS share."""


class ServiceError(Exception):
    """An error response of the local Personalize."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class JobError(Exception):
    """The reason why a job ends CREATE FAILED."""


class AccessError(JobError):
    """The reason why Personalize cannot read the input or write the output."""


class QueryError(Exception):
    """The reason why a query has no segment: the ``error`` of its output record."""


class RejectedError(Exception):
    """The reason why the guard rejects a request."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ScheduleError(Exception):
    """The reason why a schedule cannot be fired."""


class UsageError(Exception):
    """A mistake that the user of the command can fix, as one sentence."""


def not_local(url: str) -> UsageError:
    """Returns the error for an endpoint that is not a local AWS."""
    return UsageError(
        f"AWS_ENDPOINT_URL: got {url!r}, expected the URL of a local AWS; take all variables from "
        "`personalize-local env`"
    )
