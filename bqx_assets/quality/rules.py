"""Lists the rules for training files as one table, in the order in which a report shows them.

A failed "error" stops a release. A constant column is kept and reported (``no_unexpected_constant`` warns). A column
without any value stops the release until the expectations' ``allowed_all_null`` lists it. A rule that cannot judge,
because the pass was shallow, the manifest is missing or the file is damaged, is left out of the report or warns; it
never passes.
"""

from __future__ import annotations

from bqx_assets.base.names import KEY
from bqx_assets.quality import file_rules, shape_rules, target_rules, value_rules
from bqx_assets.quality.report import Report, Rule, Verdict
from bqx_assets.quality.scan import Scan

RULES: tuple[Rule[Scan], ...] = (
    Rule("file_exists", "The training file is there.", "error", file_rules.exists),
    Rule("file_readable", "The footer parses, and every column decodes.", "error", file_rules.readable),
    Rule("file_is_of_pair", "The file and its manifest name this pair.", "error", file_rules.of_this_pair),
    Rule("checksum", "Size and CRC32C of the file are the manifest's.", "error", file_rules.checksum),
    Rule(
        "footer_checksum",
        "The size, the CRC32C that follows from the slabs' recorded ones and the footer, and the footer's SHA-256 are "
        "the manifest's.",
        "error",
        file_rules.footer_checksum,
    ),
    Rule("slabs_intact", "Each slab's bytes are those recorded, by SHA-256.", "error", file_rules.slabs_intact),
    Rule("dimensions", "At least the required rows and columns.", "error", shape_rules.dimensions),
    Rule("rows_equal_spine", "Exactly the spine's rows, key by key.", "error", shape_rules.rows_equal_spine),
    Rule(
        "key_unique_and_ascending",
        f"{KEY} is on every row, unique and ascending.",
        "error",
        shape_rules.key_unique_and_ascending,
    ),
    Rule(
        "columns_equal_catalogue",
        "Exactly the recorded columns, by name, order and type.",
        "error",
        shape_rules.columns_equal_catalogue,
    ),
    Rule(
        "tables_equal_catalogue",
        "Exactly the catalogue's tables, those known to be absent apart.",
        "error",
        shape_rules.tables_equal_catalogue,
    ),
    Rule(
        "tables_cover_spine",
        "Each table has as many of the spine's rows as its name lets expect.",
        "error",
        shape_rules.tables_cover_spine,
    ),
    Rule("targets_complete", "Every window has a target at every horizon.", "error", shape_rules.targets_complete),
    Rule("features_non_zero", "There are features, and not all zero.", "error", value_rules.features_non_zero),
    Rule(
        "completeness",
        "Nulls in each family of features, and in targets, stay under their limits.",
        "error",
        value_rules.completeness,
    ),
    Rule(
        "no_unexpected_all_null",
        "No column without any value, but for those allowed.",
        "error",
        value_rules.no_unexpected_all_null,
    ),
    Rule(
        "no_unexpected_constant",
        "No column of one value only, but for those allowed.",
        "warn",
        value_rules.no_unexpected_constant,
    ),
    Rule("no_nan_or_infinity", "No NaN and no infinite value.", "error", value_rules.no_nan_or_infinity),
    Rule(
        "statistics_equal_values",
        "The footer's null counts and bounds are those of the values.",
        "error",
        value_rules.statistics_equal_values,
    ),
    Rule(
        "content_digest",
        "The values are those that the manifest and the file's own metadata name by their digest.",
        "error",
        file_rules.content_digest,
    ),
    Rule(
        "no_feature_looks_forward",
        "No feature is named as a target, or equals the future.",
        "error",
        target_rules.no_feature_looks_forward,
    ),
    Rule(
        "targets_are_the_future",
        "Each target equals its window's BQX that many rows later.",
        "error",
        target_rules.targets_are_the_future,
    ),
    Rule(
        "target_ends",
        "Each target lacks exactly the first rows that its window and the last rows that its horizon leave unknown.",
        "error",
        target_rules.target_ends,
    ),
)


def one_for_each_rule(report: Report) -> list[Verdict]:
    """Return one verdict for each rule, in the rules' order. A rule that could not judge warns; it never passes."""
    found = {verdict.rule: verdict for verdict in report.verdicts}
    return [
        found.get(rule.name)
        or Verdict(
            rule=rule.name,
            passed=False,
            severity="warn",
            got="not checked: the file lacks what the rule judges by, or cannot be read that far",
            expected="a verdict",
            cure="Correct what the failed checks name, if any.",
        )
        for rule in RULES
    ]
