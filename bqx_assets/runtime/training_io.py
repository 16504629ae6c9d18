"""Reads and writes assets for Dagster: executes merge plans, loads training files lazily, stores frames as parquet.

It uses dagster-polars for typing and partition handling, and replaces three parts of it: metadata (its own method runs
``describe()`` and writes one entry for each column, and had not finished 2,000 columns after 15 minutes), scanning (its
options do not fit Polars 2) and writing (a file appears whole or not at all).
"""

from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import dagster as dg
import polars as pl
from dagster_polars import BasePolarsUPathIOManager
from pydantic import PrivateAttr
from upath import UPath

from bqx_assets.base.errors import BadSetting, ObjectMissing
from bqx_assets.base.files import atomic_path
from bqx_assets.base.frame_files import scan_parquet
from bqx_assets.base.pairs import parse_pair
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.store.staging_names import merged_name
from bqx_assets.merge.plan import MergePlan
from bqx_assets.runtime.keys import TRAINING
from bqx_assets.runtime.metadata import Metadata, training_metadata
from bqx_assets.runtime.step import errors_as_failures, step
from bqx_assets.runtime.workspace import Workspace

Frame = pl.LazyFrame | pl.DataFrame
_SCHEMA_COLUMNS = 50
"""A frame of more columns than these gets no schema in its metadata."""


class TrainingParquetIOManager(BasePolarsUPathIOManager):
    """The IO manager: it keeps the training file where ``Settings`` says, and other frames below ``{home}/assets``.

    It writes a ``MergePlan``, a ``pl.DataFrame`` or a ``pl.LazyFrame``. It loads a ``pl.LazyFrame`` or ``pl.DataFrame``
    by the input's annotation, or a dict of these by pair; with input metadata ``{"columns": [...]}`` only
    those columns.
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
        with step(context, self._workspace, "merge") as run:
            made = run.pipeline.merge_planned(obj)
            place = made.place if run.pipeline.in_bucket else str(Path(made.place).absolute())
            path = {"path": dg.MetadataValue.path(place)}
            context.add_output_metadata(path | training_metadata(made.manifest) | run.cost())

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401 -- the base's
        """Load a training file from the output bucket if there is one, and anything else from its path."""
        pipeline = self._workspace.pipeline()
        if context.asset_key != TRAINING or not pipeline.in_bucket:
            return super().load_input(context)
        with errors_as_failures():
            return _load_objects(context, pipeline.store)

    def dump_to_path(self, context: dg.OutputContext, obj: object, path: UPath) -> None:
        """Write a frame, whole or not at all. Raises dagster.Failure with a BadSetting if ``obj`` is not a frame."""
        target = Path(str(path))
        with errors_as_failures():
            if isinstance(obj, pl.DataFrame):
                with atomic_path(target) as temp:
                    obj.write_parquet(temp)
            elif isinstance(obj, pl.LazyFrame):
                with atomic_path(target) as temp:
                    obj.sink_parquet(temp)
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
        """Write a frame with its rows and columns."""
        self.dump_to_path(context, df, path)

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: UPath) -> None:
        """Write a lazy frame, streamed."""
        self.dump_to_path(context, df, path)

    def scan_df_from_path(self, path: UPath, context: dg.InputContext) -> pl.LazyFrame:  # noqa: ARG002 -- the base's
        """Return the file as a lazy frame; only its footer is read."""
        return scan_parquet(Path(str(path)))


def _load_objects(context: dg.InputContext, store: ObjectStore) -> Frame | dict[str, Frame] | None:
    """Return the input's training files in a bucket; for several partitions a dict by pair.

    Missing files are left out if the input allows that. With the annotation ``pl.DataFrame`` a frame is collected,
    otherwise it stays lazy; input metadata ``columns`` selects columns.
    **Cost**: lazy, one request for the object's existence; collected, the footer and the ranges of the columns.
    Raises ObjectMissing for a pair without a merged file.
    """
    facts: dict[str, Any] = dict(context.definition_metadata or {})
    annotation = context.dagster_type.typing_type
    eager = annotation is pl.DataFrame or pl.DataFrame in get_args(annotation)
    frames: dict[str, Frame] = {}
    for key in context.asset_partition_keys:
        name = merged_name(parse_pair(key))
        if store.head(name) is not None:
            frames[key] = _frame(store.uri(name), facts.get("columns"), eager=eager)
        elif not facts.get("allow_missing_partitions"):
            raise ObjectMissing(
                store.uri(name), got="no such object", expected="the pair's merged file", cure=f"bqx run {key}"
            )
    return frames if len(context.asset_partition_keys) > 1 else next(iter(frames.values()), None)


def _frame(uri: str, columns: list[str] | None, *, eager: bool) -> Frame:
    scan = scan_parquet(uri)
    wanted = scan if columns is None else scan.select(columns)
    return wanted.collect() if eager else wanted
