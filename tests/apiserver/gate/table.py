"""The behaviour table: every row, in the order of the documentation."""

from tests.apiserver.gate.row import Row, Section
from tests.apiserver.gate.rows import (
    forged,
    holds,
    kubernetes,
    new_versions,
    no_versions,
    opening,
    rewritten,
    uncovered,
)

SECTIONS: tuple[Section, ...] = (
    *new_versions.SECTIONS,
    *no_versions.SECTIONS,
    *holds.SECTIONS,
    *opening.SECTIONS,
    *forged.SECTIONS,
    *rewritten.SECTIONS,
    *kubernetes.SECTIONS,
    *uncovered.SECTIONS,
)
TABLE: tuple[Row, ...] = tuple(row for section in SECTIONS for row in section.rows)
