"""Requests of the command ``personalize-local`` to the local AWS itself. They are signed by the root user."""

import contextvars
from datetime import datetime
from typing import Any

from ministack.core import responses

from . import runs
from .errors import ScheduleError, ServiceError
from .scheduler import Schedules

#: The prefix of their ``X-Amz-Target``.
TARGET = "PersonalizeLocal."


class Control:
    """Answers the requests of the command."""

    def __init__(self, schedules: Schedules, account: str, region: str) -> None:
        """Connects to the services.

        Args:
            schedules: Fires schedules.
            account: The account of the local AWS.
            region: The region of the local AWS.
        """
        self._schedules = schedules
        self._account = account
        self._region = region

    def answer(self, target: str, request: dict[str, Any], access_key: str) -> dict[str, Any]:
        """Answers a request.

        Args:
            target: Its ``X-Amz-Target``.
            request: Its members.
            access_key: The access key that signed it. The root user's key is the account ID.

        Raises:
            ServiceError: The answer is an error.
        """
        operation = target.removeprefix(TARGET)
        if access_key != self._account:
            raise ServiceError("AccessDeniedException", "only the root user may control the local AWS", 403)
        if operation == "RunSchedule":
            return self._run_schedule(request)
        if operation == "ListRuns":
            return contextvars.Context().run(self._list_runs)
        raise ServiceError("UnknownOperationException", f"the local AWS has no operation {operation}", 404)

    def _run_schedule(self, request: dict[str, Any]) -> dict[str, Any]:
        at = datetime.fromisoformat(request["at"]) if request.get("at") else None
        try:
            fired = self._schedules.fire(request.get("name"), at, self._account, self._region)
        except ScheduleError as error:
            raise ServiceError("ValidationException", str(error)) from error
        return {"at": fired.isoformat()}

    def _list_runs(self) -> dict[str, Any]:
        responses.set_request_account_id(self._account)
        responses.set_request_region(self._region)
        return {"runs": runs.list_runs(), "audiences": runs.list_audiences()}
