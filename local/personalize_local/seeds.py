"""The resources that exist when the local Personalize starts: films, users, solution versions and filters.

They are the same in every run. The interactions exceed the minimum that Personalize trains with, 1000 interactions and
25 users with two or more: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""

import functools
import random
import re
from collections import Counter

from .data_set import DataSet, Item, User
from .errors import QueryError
from .models import Filter, Json, Recipe, SolutionVersion

#: The environment variables that hold the ARNs of the resources, and the last part of each ARN.
SEEDS = {
    "PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN": "solution/films-item-affinity/0002",
    "PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN": "solution/films-item-affinity",
    "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN": "solution/films-item-attribute-affinity/0002",
    "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_SOLUTION_ARN": "solution/films-item-attribute-affinity",
    "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN": "solution/films-item-affinity/0003",
    "PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN": "solution/films-user-personalization/0001",
    "PERSONALIZE_LOCAL_FILTER_ARN": "filter/adults",
    "PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN": "filter/country",
    "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN": "filter/unfinished",
}

# The quotas are documented under "Maximum number of queries per input file":
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
ITEM_AFFINITY = Recipe("aws-item-affinity", "USER_SEGMENTATION", "itemId", max_queries_per_file=500)
ITEM_ATTRIBUTE_AFFINITY = Recipe(
    "aws-item-attribute-affinity", "USER_SEGMENTATION", "itemAttributes", max_queries_per_file=10
)
USER_PERSONALIZATION = Recipe("aws-user-personalization", "USER_PERSONALIZATION")
RECIPES = {recipe.name: recipe for recipe in (ITEM_AFFINITY, ITEM_ATTRIBUTE_AFFINITY, USER_PERSONALIZATION)}

#: The solution versions, oldest first within a solution.
VERSIONS = (
    SolutionVersion("films-item-affinity", "0001", ITEM_AFFINITY),
    SolutionVersion("films-item-affinity", "0002", ITEM_AFFINITY),
    SolutionVersion("films-item-affinity", "0003", ITEM_AFFINITY, "CREATE IN_PROGRESS"),
    SolutionVersion("films-item-attribute-affinity", "0001", ITEM_ATTRIBUTE_AFFINITY),
    SolutionVersion("films-item-attribute-affinity", "0002", ITEM_ATTRIBUTE_AFFINITY),
    SolutionVersion("films-user-personalization", "0001", USER_PERSONALIZATION),
)


def _is_in_country(user: User, values: Json) -> bool:
    if "COUNTRY" not in values:
        raise QueryError("filterValues: no value for the placeholder COUNTRY")
    return user.country in re.findall(r'"((?:[^"\\]|\\.)*)"', values["COUNTRY"])


FILTERS = (
    Filter("adults", "INCLUDE UserID WHERE Users.AGE >= 18", "ACTIVE", lambda user, _: user.age >= 18),
    Filter("country", "INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)", "ACTIVE", _is_in_country),
    Filter("unfinished", "INCLUDE UserID WHERE Users.AGE < 18", "CREATE IN_PROGRESS", lambda *_: True),
)

_GENRES = ("Comedy", "Drama", "Action", "Romance", "Thriller", "Documentary", "Komödie", 'The "New" Wave')
_COUNTRIES = ("Japan", "France", "Germany", "Brazil", "Kenya")
_ITEM_COUNT = 1500
_USER_COUNT = 300
_INTERACTION_COUNT = 6000


@functools.cache
def films() -> DataSet:
    """Returns the data set that all solution versions are trained on."""
    rng = random.Random(105)
    items = {}
    for number in range(1, _ITEM_COUNT + 1):
        genres = rng.sample(_GENRES, k=1 + number % 2)
        columns = {"GENRES": "|".join(genres), "YEAR": str(1980 + number % 45), "TITLE": f"Film {number}"}
        items[str(number)] = Item(str(number), columns)
    users = {
        f"user-{number:03d}": User(f"user-{number:03d}", _COUNTRIES[number % len(_COUNTRIES)], 12 + number % 70)
        for number in range(1, _USER_COUNT + 1)
    }
    watched: dict[str, Counter[str]] = {user: Counter() for user in users}
    names, ids = list(users), list(items)
    for number in range(_INTERACTION_COUNT):
        watched[names[number % _USER_COUNT]][rng.choice(ids)] += 1
    return DataSet(items, users, watched)
