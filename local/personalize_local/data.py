"""A small made-up data set of films, users and what they watched, and the plain counts that stand in for a model.

It has the service's minimum of data (1000 interactions, 25 users with two or more:
https://docs.aws.amazon.com/personalize/latest/dg/limits.html) and is the same in every run.
"""

import functools
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Of the Items data set. Whether the service minds the case of a column's name is documented nowhere; here it does, so
#: that a query that works here works in either case.
COLUMNS = ("GENRES", "YEAR", "TITLE")
GENRES = ("Comedy", "Drama", "Action", "Romance", "Thriller", "Documentary", "Komödie", 'The "New" Wave')
COUNTRIES = ("Japan", "France", "Germany", "Brazil", "Kenya")
_ITEMS = 1500
_USERS = 300
_INTERACTIONS = 6000


class QueryError(Exception):
    """Why a query has no segment; what the line's ``error`` says."""


@dataclass(frozen=True)
class Item:
    """A film. Columns are those of an Items data set; genres are separated by ``|``, as the service has it."""

    id: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class User:
    """Somebody who watches films."""

    id: str
    country: str
    age: int


@dataclass(frozen=True, eq=False)
class DataSet:
    """Items, users, and the items each user watched."""

    items: dict[str, Item]
    users: dict[str, User]
    watched: dict[str, Counter[str]]

    def users_like(self, item_id: str, may: Callable[[User], bool], number: int) -> list[str]:
        """Users by how often they watched an item, which counts most, and others of its genres."""
        item = self.items.get(item_id)
        if item is None:
            raise QueryError(f"the item {item_id} is not in the data of the solution version")
        scores: Counter[str] = Counter()
        for genre in item.columns["GENRES"].split("|"):
            scores.update(self._times_watched(frozenset({("GENRES", genre)})))
        for user in scores:
            scores[user] += 10 * self.watched[user][item_id]
        return self._ranked(scores, may, number)

    def users_of(self, expression: str, may: Callable[[User], bool], number: int) -> list[str]:
        """Users by how often they watched items that an expression is true of."""
        return self._ranked(self._times_watched(frozenset(parse(expression))), may, number)

    @functools.cache  # noqa: B019 - there is one data set in a process
    def _times_watched(self, conditions: frozenset[tuple[str, str]]) -> Counter[str]:
        for column in sorted(column for column, _ in conditions):
            # Before any item is looked at: a condition that no item meets would hide the column of the next one.
            if column not in COLUMNS:
                raise QueryError(
                    f"the column {column} is not in the Items data set, which has {', '.join(COLUMNS)}; column names "
                    "are case sensitive"
                )
        matching = {
            item.id
            for item in self.items.values()
            if all(value in item.columns[column].split("|") for column, value in conditions)
        }
        times = {
            user: sum(watched[item] for item in matching & watched.keys()) for user, watched in self.watched.items()
        }
        return Counter({user: number for user, number in times.items() if number})

    def _ranked(self, scores: Counter[str], may: Callable[[User], bool], number: int) -> list[str]:
        allowed = (user for user in scores if may(self.users[user]))
        return sorted(allowed, key=lambda user: (-scores[user], user))[:number]


_CONDITION = re.compile(r'\s*ITEMS\s*\.\s*(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(AND\b|$)', re.I | re.S)


def parse(expression: str) -> list[tuple[str, str]]:
    """Reads ``ITEMS.<column> = "<value>"``, joined by AND.

    https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html

    Raises:
        QueryError: It is something else.
    """
    conditions: list[tuple[str, str]] = []
    at, joined = 0, True
    while joined:
        match = _CONDITION.match(expression, at)
        if match is None:
            raise QueryError(f"invalid expression near character {at + 1}")
        conditions.append((match[1], re.sub(r"\\(.)", r"\1", match[2])))
        at, joined = match.end(), bool(match[3])
    return conditions


@functools.cache
def films() -> DataSet:
    """The data set."""
    draw = random.Random(105)
    items = {}
    for number in range(1, _ITEMS + 1):
        genres = draw.sample(GENRES, k=1 + number % 2)
        columns = {"GENRES": "|".join(genres), "YEAR": str(1980 + number % 45), "TITLE": f"Film {number}"}
        items[str(number)] = Item(str(number), columns)
    users = {
        f"user-{number:03d}": User(f"user-{number:03d}", COUNTRIES[number % len(COUNTRIES)], 12 + number % 70)
        for number in range(1, _USERS + 1)
    }
    watched: dict[str, Counter[str]] = {user: Counter() for user in users}
    names, ids = list(users), list(items)
    for number in range(_INTERACTIONS):
        watched[names[number % _USERS]][draw.choice(ids)] += 1
    return DataSet(items, users, watched)
