"""Schedule expressions of EventBridge Scheduler: which are valid, and when they fire.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ministack.services import eventbridge

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
# Values of cron fields: minutes, hours, months, years. Days are checked by MiniStack's parser.
_RANGES = {0: (0, 59), 1: (0, 23), 3: (1, 12), 5: (1970, 2199)}


class InvalidExpressionError(Exception):
    """An expression or a time zone that Scheduler rejects, with the message of its ValidationException."""


@dataclass(frozen=True)
class Expression:
    """A schedule expression and its time zone."""

    text: str
    zone: ZoneInfo
    #: Of rate(): the interval in seconds. Of at(): the time. Of cron(): the fields, as MiniStack parses them.
    rate: int | None = None
    at: datetime | None = None
    cron: Any = None

    @classmethod
    def parse(cls, text: str, time_zone: str = "UTC") -> "Expression":
        """Parses an expression.

        Raises:
            InvalidExpressionError: Scheduler rejects it.
        """
        try:
            zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidExpressionError(f"Invalid Schedule Expression Timezone {time_zone}.") from None
        invalid = InvalidExpressionError(f"Invalid Schedule Expression {text}.")
        if match := _RATE.fullmatch(text):
            count = int(match[1])
            # "If the value is equal to 1, the unit must be singular."
            if count == 0 or (count == 1) == bool(match[3]):
                raise invalid
            return cls(text, zone, rate=count * _SECONDS[match[2]])
        if match := _AT.fullmatch(text):
            try:
                local = datetime.fromisoformat(match[1])
            except ValueError:
                raise invalid from None
            return cls(text, zone, at=local.replace(tzinfo=zone).astimezone(UTC))
        fields = text[5:-1].split(" ") if text.startswith("cron(") and text.endswith(")") else []
        if len(fields) != 6 or not _is_valid_cron(fields) or (cron := eventbridge._parse_cron_fields(text)) is None:
            raise invalid
        return cls(text, zone, cron=cron)

    def next(self, after: datetime, created: datetime) -> datetime | None:
        """Returns the first time after another at which the expression fires, or None if there is none.

        Args:
            after: The other time.
            created: When the schedule was created, from which a rate counts.
        """
        if self.at is not None:
            return self.at if self.at > after else None
        if self.rate is not None:
            count = max(1, int((after - created).total_seconds() // self.rate) + 1)
            return created + timedelta(seconds=count * self.rate)
        # In local time without daylight saving, because a cron expression names the time on a clock.
        local = after.astimezone(self.zone).replace(tzinfo=UTC)
        while (found := eventbridge._cron_next_fire(self.cron, local)) is not None:
            fires: datetime = found.replace(tzinfo=self.zone).astimezone(UTC)
            # A time that a change to daylight saving skips does not exist; one that occurs twice fires once.
            if fires.astimezone(self.zone).replace(tzinfo=UTC) == found and fires > after:
                return fires
            local = found
        return None


def _is_valid_cron(fields: list[str]) -> bool:
    # Exactly one of day of month and day of week is "?".
    if (fields[2] == "?") == (fields[4] == "?") or "" in fields:
        return False
    for position, (low, high) in _RANGES.items():
        if fields[position] == "?":
            return False
        for number in re.findall(r"(?<![/\d])\d+", fields[position]):
            if not low <= int(number) <= high:
                return False
    for position, high in ((2, 31), (4, 7)):
        for number in re.findall(r"(?<![/#\d])\d+", fields[position]):
            if not 1 <= int(number) <= high:
                return False
    return not any(re.search(r"/0*(?!\d)", field) for field in fields)
