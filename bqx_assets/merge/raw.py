"""Plans the merge of raw checkpoints: a folder or bucket of targets and tables whose rows may be in any order.

Such folders come from other programs. The spine is made from their targets. ``raw_file`` reads one file of them,
``raw_names`` finds the names of its columns, ``raw_targets`` and ``raw_table`` make a slab of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord
from bqx_assets.base.errors import MergeRefused
from bqx_assets.base.files import TEMP_MARK, regular_file
from bqx_assets.base.names import KEY, is_identifier, refuse_same_names, table_prefix
from bqx_assets.base.pairs import ALL_PAIRS, Pair
from bqx_assets.base.printable import some_of
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.protocol import ObjectStore
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.expectations import Expectations, load_expectations
from bqx_assets.catalogue.families import PAIR_COLUMN, expected_tables, family_of, family_rank, targets_table
from bqx_assets.merge.plan import MergePlan, place_of
from bqx_assets.merge.raw_file import RawFile
from bqx_assets.merge.raw_names import RawNames, own_names
from bqx_assets.merge.raw_source import RawSource
from bqx_assets.merge.raw_table import RawTable, raw_family
from bqx_assets.merge.raw_targets import read_targets

_NAMED = 10
_PLAIN = {KEY, PAIR_COLUMN}
_SUFFIX = ".parquet"
_LIKE_A_TABLE = (
    _SUFFIX,
    ".parq",
    ".pq",
    *(f"{_SUFFIX}.{packed}" for packed in ("gz", "zst", "bz2", "xz", "lz4", "zip")),
)
"""Names with these endings, in any case, are meant as tables: leaving one out would lose its columns silently."""


_THREADS = 16
"""Objects whose footers are requested at once: 668 requests one after another would take a minute."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The content of a folder: its tables by name, and the names of everything else."""

    place: str
    sources: tuple[RawSource, ...]
    left_out: tuple[str, ...]


def plan_raw(pair: Pair, folder: Listed, settings: Settings) -> MergePlan:
    """Return the merge of a folder of raw checkpoints.

    **Cost**: as of ``read_targets``; of the tables only the footers are read.

    Raises:
        MergeRefused: there are no targets or no table, or a file has no ``interval_time``.
        ColumnCollision, SchemaDrift, NullKeys, DuplicateKeys, EmptyTable, InexactValue, FooterError: a file is not
            what a merge needs.
        NotEnoughMemory: the targets do not fit.
    """
    targets = RawFile(_targets_source(pair, folder), pair)
    files = [RawFile(source, pair) for source in folder.sources if source is not targets.source]
    list(in_threads(RawFile.look, [targets, *files], _THREADS, "footers"))
    # The output of an earlier merge often lies beside its checkpoints: as a table it would give every column twice.
    left_out = [f"{file.table}{_SUFFIX} (a training file)" for file in files if file.is_training]
    left_out += [f"{file.table}{_SUFFIX} (a summary without {KEY})" for file in files if _is_summary(file)]
    tables = [file for file in files if not file.is_training and not _is_summary(file)]
    _refuse_unfit(pair, folder.place, tables)
    expectations = load_expectations(settings.expectations)
    _name_columns(pair, targets, tables, expectations)
    spine_part = read_targets(targets, settings, expectations)
    spine = spine_part.spine
    parts = [RawTable(file, spine, settings) for file in tables]
    parts.sort(key=lambda part: (family_rank(raw_family(part.table, pair)), part.table))
    refuse_same_names(f"{pair}", ((part.table, each.name) for part in (spine_part, *parts) for each in part.columns))
    extraction = ExtractionRecord(
        pair=pair.name,
        snapshot_time=max(source.modified for source in folder.sources),
        spine=spine.facts,
        slabs=(),
        forward_looking_included=settings.include_forward_looking,
        origin="raw checkpoints",
        span=settings.span,
    )
    return MergePlan(pair, extraction, (spine_part, *parts), (*folder.left_out, *left_out))


def list_checkpoints(pair: Pair, store: ObjectStore, prefix: str = "") -> Listed:
    """Return the checkpoints under ``prefix``, each pinned to the version that is listed now.

    **Cost**: one request for a thousand objects.

    Raises:
        MergeRefused: entries are named like tables and are none.
    """
    place, file = place_of(store, prefix), store.local_path(f"{prefix}{EXTRACTION_FILE}")
    if file is None:
        infos = {info.name.removeprefix(prefix): info for info in store.list_objects(prefix)}
        names = {name for name in infos if name and "/" not in name}  # some tools write an object named like the folder
        folders = {f"{first}/" for first, below, _ in (name.partition("/") for name in infos) if first and below}
        troubles = {name: _no_name(PurePosixPath(name)) for name in names if _is_meant(name)}
    else:
        names = {path.name for path in file.parent.iterdir()} if file.parent.is_dir() else set[str]()
        folders = set[str]()
        troubles = {name: _no_table(file.with_name(name)) for name in names if _is_meant(name)}
        infos = {name: info for name in troubles if not troubles[name] and (info := store.head(f"{prefix}{name}"))}
    _refuse_no_tables(pair, place, troubles)
    others = [name for name in sorted(names) if name not in troubles and TEMP_MARK not in name]
    sources = tuple(RawSource.of(store, infos[name]) for name in sorted(troubles.keys() & infos.keys()))
    return Listed(place, sources, tuple(map(_shown, [*others, *sorted(folders)])))


def _refuse_no_tables(pair: Pair, place: str, troubles: Mapping[str, str]) -> None:
    wrong = [f"{_shown(name)} ({trouble})" for name, trouble in sorted(troubles.items()) if trouble]
    if wrong:
        raise MergeRefused(
            f"{pair}",
            got=f"{len(wrong):,} entries in {place} that are named like tables but are none: {some_of(wrong, _NAMED)}",
            expected=f"files TABLE{_SUFFIX}, each table's name of letters, digits and underscores",
            cure=f"Turn them into such files, or move them out of {place}.",
        )


def _is_meant(name: str) -> bool:
    """Return whether an entry of that name is meant as a table."""
    return not name.startswith(".") and name.lower().endswith(_LIKE_A_TABLE)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _no_name(path: PurePath) -> str:
    """Return why an entry's name cannot be the name of a table; empty if it can."""
    if path.suffix != _SUFFIX:
        return f"its name does not end in {_SUFFIX}"
    return "" if is_identifier(path.stem) else "its name is no table's name"


def _no_table(path: Path) -> str:
    """Return why an entry of a folder cannot be a table; empty if it can."""
    if trouble := _no_name(path):
        return trouble
    try:
        regular_file(path)
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return error.strerror or str(error).partition(":")[0]
    return ""


def _targets_source(pair: Pair, folder: Listed) -> RawSource:
    names = ("targets", targets_table(pair))
    found = [source for source in folder.sources if source.table in names]
    if len(found) == 1:
        return found[0]
    others = [f"{source.table}{_SUFFIX}" for source in folder.sources if _is_targets(source.table)]
    besides = "" if found or not others else f", but {some_of(others, _NAMED)}"
    words = ("both", "and") if found else ("neither", "nor")
    raise MergeRefused(
        f"{pair}",
        got=f"{words[0]} {names[0]}{_SUFFIX} {words[1]} {names[1]}{_SUFFIX} in {folder.place}{besides}",
        expected="slabs with their extraction.json, or raw checkpoints with one targets file",
        cure="Keep one of the two there." if found else f"Extract first: bqx extract {pair}",
    )


def _is_targets(table: str) -> bool:
    return table.lower().split("_")[0] == "targets"


def _is_summary(file: RawFile) -> bool:
    """Return whether a file is a users' summary of a family, which has no rows by time: ``mkt_corr_summary``."""
    return KEY not in file.stored and file.table.endswith("_summary") and family_of(file.table, file.pair) is None


def _refuse_unfit(pair: Pair, place: str, tables: Sequence[RawFile]) -> None:
    keyless = [file.table for file in tables if KEY not in file.stored]
    second = [file.table for file in tables if _is_targets(file.table)]
    foreign = [file.table for file in tables if _of_another_pair(file.table, pair)]
    if keyless or second or foreign or not tables:
        names = some_of(keyless or second or foreign, _NAMED)
        trouble = f"no {KEY} in {names}" if keyless else f"more targets: {names}" if second else "no table"
        raise MergeRefused(
            f"{pair}",
            got=f"{f'tables of other pairs: {names}' if foreign and not (keyless or second) else trouble} in {place}",
            expected=f"one targets file, and feature tables each with {KEY}, of {pair} or of all pairs",
            cure=f"Move such files away, or extract anew: bqx extract {pair}",
        )


def _of_another_pair(table: str, pair: Pair) -> bool:
    """Return whether a table's name contains another pair, and the table is not one that all pairs share."""
    words = set(table.lower().split("_"))
    return family_of(table, pair) is None and not words.isdisjoint(other.name for other in ALL_PAIRS if other != pair)


def _name_columns(pair: Pair, targets: RawFile, tables: Sequence[RawFile], expectations: Expectations) -> None:
    """Set the names that the columns of each file have in its table. Raises MergeRefused, ColumnCollision."""
    # Keyed by the name without the pair: a file may also be called base_bqx.parquet.
    known = {table_prefix(each.table, pair): {name for name, _ in each.columns} for each in expected_tables(pair)}
    known["targets"] = {*expectations.targets(), *(f"bqx_{window}" for window in expectations.windows)}
    files = {file.table: file for file in (targets, *tables)}
    stored = (
        RawNames(
            table,
            tuple(name for name in file.stored if name not in _PLAIN),
            known.get(table_prefix(table, pair), set()) | _PLAIN,
        )
        for table, file in files.items()
    )
    names = own_names(pair, stored)
    for table, file in files.items():
        file.own_names.update({stored: own for stored, own in names[table].items() if stored != own})
