"""The IO manager: lays a merge plan down as the training file, loads it back lazily; and plain frames of others.

Belongs here: where assets' frames lie and how Dagster reads and writes them. Does not: the merge itself.

Built on dagster-polars for its typing and partition handling. Overridden: metadata (its own runs ``describe()`` and
writes one entry a column: 2,000 columns had not finished after 15 minutes), scanning (its options do not fit
Polars 2) and writing (whole or not at all).
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import dagster as dg
import polars as pl
from dagster_polars import BasePolarsUPathIOManager
from pydantic import PrivateAttr
from upath import UPath

from bqx_assets.base.errors import BadSetting
from bqx_assets.base.files import atomic_path
from bqx_assets.base.frame_files import scan_parquet
from bqx_assets.base.pairs import parse_pair
from bqx_assets.merge.plan import MergePlan
from bqx_assets.runtime.facts import Metadata, training_facts
from bqx_assets.runtime.keys import TRAINING
from bqx_assets.runtime.step import errors_as_failures, step
from bqx_assets.runtime.training_objects import load_objects
from bqx_assets.runtime.workspace import Workspace

_SCHEMA_COLUMNS = 50
"""A frame of more columns than these gets no schema in its metadata."""


class TrainingParquetIOManager(BasePolarsUPathIOManager):
    """Frames as parquet under ``{home}/assets``; the training file where ``Settings`` says it lies, file or object.

    Takes a ``MergePlan``, a ``pl.DataFrame`` or a ``pl.LazyFrame``. Gives ``pl.LazyFrame`` or
    ``pl.DataFrame`` by the input's annotation, or a dict of either by pair; with input metadata ``{"columns": [...]}``
    only those columns.
    """

    extension: ClassVar[str | None] = ".parquet"  # pyright: ignore[reportIncompatibleVariableOverride]
    _of = PrivateAttr()  # unannotated: Dagster would take an annotated one for a nested resource

    @classmethod
    def of(cls, workspace: Workspace) -> Self:
        """Return the IO manager of this run's settings."""
        manager = cls()
        manager._of = workspace
        manager._base_path = UPath((workspace.settings().home / "assets").absolute())
        return manager

    @property
    def _workspace(self) -> Workspace:
        return self._of

    def get_path_for_partition(self, context: dg.InputContext | dg.OutputContext, path: UPath, partition: str) -> UPath:
        """Return the path of a partition without its suffix."""
        if context.asset_key == TRAINING:
            return UPath(self._workspace.settings().training_file(parse_pair(partition)).absolute().with_suffix(""))
        return super().get_path_for_partition(context, path, partition)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Execute the plan of a merge; write anything else to its path."""
        if not isinstance(obj, MergePlan):
            super().handle_output(context, obj)
            return
        with step(context.partition_key, context.log, self._workspace) as run:
            made = run.pipeline.merge_planned(obj)
            place = made.place if run.pipeline.in_bucket else str(Path(made.place).absolute())
            path = {"path": dg.MetadataValue.path(place)}
            context.add_output_metadata(path | training_facts(made.manifest) | run.cost())

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401 -- the base's
        """Load a training file from the output bucket where it is there; anything else from its path."""
        pipeline = self._workspace.pipeline()
        if context.asset_key != TRAINING or not pipeline.in_bucket:
            return super().load_input(context)
        with errors_as_failures():
            return load_objects(context, pipeline.store)

    def dump_to_path(self, context: dg.OutputContext, obj: object, path: UPath) -> None:
        """Write a frame, whole or not at all. Raises dagster.Failure with a BadSetting inside if ``obj`` is none."""
        target = Path(str(path))
        with errors_as_failures():
            if isinstance(obj, pl.DataFrame):
                with atomic_path(target) as temp:
                    obj.write_parquet(temp, compression="zstd")
            elif isinstance(obj, pl.LazyFrame):
                with atomic_path(target) as temp:
                    obj.sink_parquet(temp, compression="zstd")
            elif obj is not None:
                raise BadSetting(
                    f"asset {context.asset_key.to_user_string()}",
                    got=type(obj).__name__,
                    expected="a Polars frame, a merge plan or None",
                    cure="Give the asset another io_manager_key, or return None and write the object itself.",
                )

    def get_metadata(self, context: dg.OutputContext, obj: object) -> Metadata:
        """Return rows, columns and bytes of a frame from its file's footer."""
        if not isinstance(obj, pl.DataFrame | pl.LazyFrame):
            return {}
        paths = self._get_paths_for_partitions(context).values() if context.has_asset_partitions else ()
        path = Path(str(next(iter(paths), None) or self._get_path(context)))
        scan = scan_parquet(path)
        schema = scan.collect_schema()
        facts: Metadata = {
            "dagster/row_count": dg.MetadataValue.int(scan.select(pl.len()).collect().item()),
            "columns": dg.MetadataValue.int(len(schema)),
            "size_bytes": dg.MetadataValue.int(path.stat().st_size),
        }
        if len(schema) <= _SCHEMA_COLUMNS:
            columns = [dg.TableColumn(name, str(dtype)) for name, dtype in schema.items()]
            facts["dagster/column_schema"] = dg.MetadataValue.table_schema(dg.TableSchema(columns))
        return facts

    def write_df_to_path(self, context: dg.OutputContext, df: pl.DataFrame, path: UPath) -> None:
        """Write a frame, rows and columns as they are."""
        self.dump_to_path(context, df, path)

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: UPath) -> None:
        """Write a lazy frame, streamed."""
        self.dump_to_path(context, df, path)

    def scan_df_from_path(self, path: UPath, context: dg.InputContext) -> pl.LazyFrame:  # noqa: ARG002 -- the base's
        """Return the file as a lazy frame: its footer is read, no value."""
        return scan_parquet(Path(str(path)))
