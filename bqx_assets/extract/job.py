"""The context of one pair's extraction, which every step of this package receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bqx_assets.base.artifacts import fingerprint
from bqx_assets.base.pairs import Pair
from bqx_assets.base.progress import Progress, waiting
from bqx_assets.base.settings import Settings
from bqx_assets.catalogue.discovery import PairCatalogue, TableDescription, discover
from bqx_assets.catalogue.expectations import Expectations
from bqx_assets.extract.periods import ALL, months_in
from bqx_assets.extract.slabs import Slabs
from bqx_assets.extract.warehouse import MonthState, Warehouse


@dataclass(frozen=True, slots=True)
class SourceStates:
    """The states of the tables' months, as far as the warehouse tells them."""

    months: Mapping[tuple[str, str], Mapping[str, MonthState]]

    def months_of(self, table: TableDescription) -> Mapping[str, MonthState] | None:
        """Return the state of each month of a table that has rows; None if the warehouse does not tell them."""
        return self.months.get((table.dataset, table.table))

    def state(self, table: TableDescription, months: Iterable[str]) -> dict[str, object]:
        """Return facts that change if the table's rows of these months do; without known months those of the table."""
        identity: dict[str, object] = {"dataset": table.dataset, "table": table.table}
        known = self.months_of(table)
        if known is None:
            return identity | {"etag": table.etag, "modified": table.last_modified, "rows": table.rows}
        return identity | {"months": {month: known[month].state for month in months if month in known}}

    def named(self, table: TableDescription, period: str) -> tuple[str, str]:
        """Return a period and the state of a table in it as a ``ReadRequest`` names them: both empty for all rows."""
        return ("", "") if period == ALL else (period, fingerprint(self.state(table, months_in(period))))


@dataclass(frozen=True, slots=True)
class Extraction:
    """One pair, the warehouse that it is read from, and the slabs that it is written to."""

    pair: Pair
    warehouse: Warehouse
    slabs: Slabs
    settings: Settings
    expectations: Expectations
    progress: Progress
    origin: str = ""
    """The origin of the warehouse's numbers, as manifests state it."""

    def catalogue(self) -> PairCatalogue:
        """Return the pair's catalogue in the warehouse's present state. **Cost**: one batched description, no rows."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its tables and columns")):
            described = self.warehouse.describe()
        return discover(
            self.pair,
            described,
            self.expectations,
            include_forward_looking=self.settings.include_forward_looking,
        )

    def states(self, catalogue: PairCatalogue) -> SourceStates:
        """Return the states of the months of the pair's tables. **Cost**: one query, no rows. Raises WarehouseError."""
        tables: Sequence[TableDescription] = (catalogue.targets, *(each.description for each in catalogue.tables))
        with waiting(self.progress, "catalogue", lambda: self._waits_for("the changes of its months")):
            found = SourceStates(self.warehouse.months(tables))
        if self.warehouse.months_refused:
            self.progress.warn("catalogue", self.warehouse.months_refused)
        return found

    def snapshot(self) -> datetime:
        """Return the time at which a run sees the tables; progress says what is waited for. Raises WarehouseError."""
        with waiting(self.progress, "catalogue", lambda: self._waits_for("its clock")):
            return self.warehouse.snapshot()

    def _waits_for(self, what: str) -> str:
        return ": ".join(filter(None, (f"{self.warehouse.name} is asked for {what}", self.warehouse.outage.words())))
