"""The contract type in pyproject.toml for import-linter: an allowlist of the modules that a package can import.

import-linter's own contracts list forbidden modules. An allowlist also covers modules that do not exist yet, and can
express "only the standard library".
"""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.domain.helpers import module_expressions_to_modules


class AllowlistContract(Contract):
    """Source modules may import the standard library, each other and the allowed modules.

    A source module includes its submodules. An allowed module does not: use ``package.**`` to allow submodules.
    Excepted modules and their submodules are not checked.
    """

    type_name = "allowlist"

    source_modules = fields.SetField(subfield=fields.ModuleExpressionField())
    allowed_modules = fields.SetField(subfield=fields.ModuleExpressionField(), required=False, default=frozenset())
    excepted_modules = fields.SetField(subfield=fields.ModuleExpressionField(), required=False, default=frozenset())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Finds the imports that are not allowed.

        Args:
            graph: The imports of all root packages. External modules are in it by their top-level name.
            verbose: Unused.
        """
        # import-linter replaces the fields with the parsed options.
        source_expressions: Any = self.source_modules
        allowed_expressions: Any = self.allowed_modules
        excepted_expressions: Any = self.excepted_modules
        sources = module_expressions_to_modules(graph, source_expressions, as_packages=True, raise_if_unmatched=True)
        sources -= module_expressions_to_modules(graph, excepted_expressions, as_packages=True)
        allowed = module_expressions_to_modules(graph, allowed_expressions) | sources
        allowed_names = {module.name for module in allowed} | sys.stdlib_module_names
        broken = [
            f"{detail['importer']}:{detail['line_number']} imports {detail['imported']}"
            for source in sorted(module.name for module in sources)
            for imported in sorted(graph.find_modules_directly_imported_by(source) - allowed_names)
            for detail in graph.get_import_details(importer=source, imported=imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the imports that are not allowed."""
        for line in check.metadata["broken"]:
            output.print_error(line)
