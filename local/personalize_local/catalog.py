"""Solutions, filters and recipes: the resources that jobs refer to. Only versions of solutions can be added."""

from datetime import UTC, datetime, timedelta

from .behavior import Behavior
from .errors import ServiceError
from .iam import Caller
from .models import Filter, Json, Recipe, SolutionVersion
from .seeds import FILTERS, RECIPES, VERSIONS

_SEEDED_AT = datetime(2026, 1, 1, tzinfo=UTC)
_SUMMARY = ("solutionVersionArn", "status", "creationDateTime", "lastUpdatedDateTime")


class Catalog:
    """Finds and describes solution versions, filters and recipes."""

    def __init__(self) -> None:
        """Starts with the seeded resources."""
        #: The solution versions. A test may add one.
        self.versions = list(VERSIONS)

    def find_version(self, arn: str, caller: Caller) -> SolutionVersion:
        """Finds a solution version.

        Raises:
            ServiceError: It does not exist.
        """
        for version in self.versions:
            if arn == caller.arn(f"solution/{version.solution}/{version.id}"):
                return version
        is_solution = any(arn == caller.arn(f"solution/{version.solution}") for version in self.versions)
        hint = " It is a solution, not a solution version." if is_solution else ""
        raise ServiceError("ResourceNotFoundException", f"Solution version {arn} does not exist.{hint}")

    @staticmethod
    def find_filter(arn: str, caller: Caller) -> Filter:
        """Finds a filter.

        Raises:
            ServiceError: It does not exist.
        """
        for found in FILTERS:
            if arn == caller.arn(f"filter/{found.name}"):
                return found
        raise ServiceError("ResourceNotFoundException", f"Filter {arn} does not exist.")

    def train(self, solution: str, status: str = "ACTIVE") -> SolutionVersion:
        """Adds a version to a solution, as a training does. No time passes.

        Args:
            solution: The name of the solution.
            status: The status of the version.

        Raises:
            ServiceError: There is no such solution.
        """
        versions = [version for version in self.versions if version.solution == solution]
        if not versions:
            raise ServiceError("ResourceNotFoundException", f"Solution {solution} does not exist.")
        # Times of versions are in seconds. Two trainings in a second would look like one.
        newest = max(_created(version) for version in versions) + timedelta(seconds=1)
        created = max(datetime.now(UTC).replace(microsecond=0), newest)
        version = SolutionVersion(solution, f"{len(versions) + 1:04d}", versions[0].recipe, status, created)
        self.versions = [*self.versions, version]
        return version

    def create_version(self, request: Json, caller: Caller, _behavior: Behavior) -> Json:
        """Answers CreateSolutionVersion. The version is ACTIVE at once."""
        arn = request["solutionArn"]
        caller.authorize("personalize:CreateSolutionVersion", arn)
        version = self.train(self._versions_of(arn, caller)[0].solution)
        return {"solutionVersionArn": caller.arn(f"solution/{version.solution}/{version.id}")}

    def describe_version(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        """Answers DescribeSolutionVersion."""
        arn = request["solutionVersionArn"]
        caller.authorize("personalize:DescribeSolutionVersion", arn)
        return {"solutionVersion": _describe(self.find_version(arn, caller), caller, behavior)}

    def describe_solution(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        """Answers DescribeSolution."""
        arn = request["solutionArn"]
        caller.authorize("personalize:DescribeSolution", arn)
        version = self._versions_of(arn, caller)[-1]
        return {
            "solution": {
                "name": version.solution,
                "solutionArn": arn,
                "recipeArn": _recipe_arn(version.recipe, caller),
                "datasetGroupArn": caller.arn("dataset-group/films"),
                "status": "ACTIVE",
                "latestSolutionVersion": _summarize(version, caller, behavior),
            }
        }

    def list_versions(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        """Answers ListSolutionVersions."""
        arn = request.get("solutionArn")
        caller.authorize("personalize:ListSolutionVersions", "*")
        versions = self.versions if arn is None else self._versions_of(arn, caller)
        return {"solutionVersions": [_summarize(version, caller, behavior) for version in versions]}

    def describe_filter(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        """Answers DescribeFilter."""
        arn = request["filterArn"]
        caller.authorize("personalize:DescribeFilter", arn)
        found = self.find_filter(arn, caller)
        return {
            "filter": {
                "name": found.name,
                "filterArn": arn,
                "datasetGroupArn": caller.arn("dataset-group/films"),
                "filterExpression": found.expression,
                "status": behavior.status_word(found.status),
            }
        }

    @staticmethod
    def describe_recipe(request: Json, caller: Caller, _behavior: Behavior) -> Json:
        """Answers DescribeRecipe."""
        arn = request["recipeArn"]
        caller.authorize("personalize:DescribeRecipe", arn)
        recipe = RECIPES.get(arn.rpartition("/")[2])
        if recipe is None or arn != _recipe_arn(recipe, caller):
            raise ServiceError("ResourceNotFoundException", f"Recipe {arn} does not exist.")
        return {"recipe": {"name": recipe.name, "recipeArn": arn, "recipeType": recipe.type, "status": "ACTIVE"}}

    def _versions_of(self, solution_arn: str, caller: Caller) -> list[SolutionVersion]:
        found = [version for version in self.versions if solution_arn == caller.arn(f"solution/{version.solution}")]
        if not found:
            raise ServiceError("ResourceNotFoundException", f"Solution {solution_arn} does not exist.")
        return found


def _created(version: SolutionVersion) -> datetime:
    return version.created or _SEEDED_AT.replace(day=int(version.id))


def _describe(version: SolutionVersion, caller: Caller, behavior: Behavior) -> Json:
    created = _created(version)
    return {
        "solutionVersionArn": caller.arn(f"solution/{version.solution}/{version.id}"),
        "solutionArn": caller.arn(f"solution/{version.solution}"),
        "recipeArn": _recipe_arn(version.recipe, caller),
        "datasetGroupArn": caller.arn("dataset-group/films"),
        "status": behavior.status_word(version.status),
        "creationDateTime": created.timestamp(),
        "lastUpdatedDateTime": created.timestamp(),
    }


def _summarize(version: SolutionVersion, caller: Caller, behavior: Behavior) -> Json:
    described = _describe(version, caller, behavior)
    return {key: described[key] for key in _SUMMARY}


def _recipe_arn(recipe: Recipe, caller: Caller) -> str:
    return f"arn:{caller.partition}:personalize:::recipe/{recipe.name}"
