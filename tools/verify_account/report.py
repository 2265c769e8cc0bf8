"""The report of a run, in Markdown."""

from dataclasses import dataclass
from datetime import UTC, datetime

from .questions import Answer, Question
from .settings import Settings, excerpt
from .terminal import printable

_REDACTED = "<account>"


@dataclass(frozen=True)
class Result:
    """A question with its answer, or the reason why it has none."""

    question: Question
    answer: Answer | None
    error: str = ""

    @property
    def verdict(self) -> str:
        """How the answer compares with the library's assumption."""
        if self.answer is None:
            return "not answered"
        return {True: "as assumed", False: "**differs**", None: "either works"}[self.answer.agrees]


@dataclass(frozen=True)
class Report:
    """The results and notes of a run."""

    settings: Settings
    results: list[Result]
    notes: list[str]
    show_account: bool = False

    def markdown(self) -> str:
        """Returns the report, by default without the account number."""
        lines = [
            "# Amazon Personalize in this account",
            "",
            f"- Date: {datetime.now(UTC):%Y-%m-%d}",
            f"- Region: {self.settings.region}",
            f"- Solution version: `{self.settings.solution_version_arn}`",
            f"- Recipe: {self.settings.recipe}",
            f"- Run: {self.settings.run}",
            "",
            self._summary(),
            "",
            *(f"> {note}\n" for note in self.notes),
            "| question | answer | for the library |",
            "|---|---|---|",
        ]
        for result in self.results:
            answer = result.answer.text if result.answer else "—"
            cells = (f"[{result.question.id}](#{result.question.id})", answer, result.verdict)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        for result in self.results:
            lines += ["", *_section(result)]
        # The report can be printed to a terminal.
        text = printable("\n".join(lines) + "\n")
        return text if self.show_account else text.replace(self.settings.account, _REDACTED)

    def _summary(self) -> str:
        answered = [result for result in self.results if result.answer is not None]
        differ = [result.question.id for result in answered if result.answer and result.answer.agrees is False]
        summary = f"{len(answered)} of {len(self.results)} questions are answered."
        if differ:
            return f"{summary} The library assumes another answer for: {', '.join(differ)}."
        return f"{summary} No answer contradicts the library."


def _section(result: Result) -> list[str]:
    question = result.question
    lines = [
        f"## {question.id}",
        "",
        f"**{question.asks}**",
        "",
        f"- How: {question.how}",
        f"- The library assumes: {question.assumes}",
    ]
    if result.answer is None:
        lines += ["- Answer: not answered", "", *_fenced(result.error)]
    else:
        lines += [f"- Answer: {result.answer.text}"]
        for evidence in filter(None, result.answer.evidence):
            lines += ["", *_fenced(evidence)]
    return lines


def _fenced(text: str) -> list[str]:
    # Longer than any fence in the text.
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}text", excerpt(text), fence]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
