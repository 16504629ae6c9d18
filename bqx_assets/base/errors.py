"""The error tree: every failure says subject, got, expected and cure, in that order.

Belongs here: the exception classes, nothing else. Does not: handling, retrying, printing.
"""

from __future__ import annotations

import errno

from bqx_assets.base.printable import first_line, printable


class BqxError(Exception):
    """Base of every error this package raises on purpose.

    Renders as ``subject: got, expected X. cure``, for example ``eurusd/corr_bqx: 99,998 rows, expected 100,000.
    Re-extract with: bqx extract eurusd --table corr_bqx``. The parts are escaped: they quote names of others.
    """

    exit_code = 1

    def __init__(self, subject: str, *, got: str, expected: str, cure: str) -> None:
        # Here and not where they are shown: a terminal, a log line, a Dagster event and a manifest all show them.
        self.subject, self.got, self.expected, self.cure = map(printable, (subject, got, expected, cure))
        super().__init__(f"{self.subject}: {self.got}, expected {self.expected}. {self.cure}")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the four parts when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.subject, self.got, self.expected, self.cure))


def _rebuild(kind: type[BqxError], subject: str, got: str, expected: str, cure: str) -> BqxError:
    return kind(subject, got=got, expected=expected, cure=cure)


class SystemRefused(BqxError):
    """The operating system or the file system refused: no space, no permission, too many files."""

    @classmethod
    def of(cls, error: OSError) -> SystemRefused:
        """Give a refusal the package's own form."""
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return cls(
            str(error.filename or "operating system"),
            got=error.strerror or first_line(error),
            expected="room on the disk" if full else "a folder and disk that can be read and written",
            cure="Free space or correct the permissions, then run again; --debug shows where it happened.",
        )


class Unforeseen(BqxError):
    """What stopped a command is none of these errors: a fault of the program, or of a library that it uses."""


class NotReady(BqxError):
    """The doctor found something missing without which a run would fail."""


class UsageError(BqxError):
    """What the caller asked for cannot be: the command line exits with 2."""

    exit_code = 2


class UnknownPair(UsageError):
    """A text that is not one of the 28 pairs."""


class UnknownTable(UsageError):
    """A table name that the pair's catalogue does not hold."""


class BadSetting(UsageError):
    """A setting, option or identifier outside its allowed values."""


class WarehouseError(BqxError):
    """The warehouse could not deliver what was asked."""


class TransientReadError(WarehouseError):
    """A read that may succeed when tried again (unavailable, quota, time-out)."""


class WarehouseUnavailable(WarehouseError):
    """Nobody answers, or every call is refused: it is the same for all tables, so one of these ends the run."""


class ReadsEnded(WarehouseError):
    """A read was ended because its run ends."""


class TableMissing(WarehouseError):
    """A table that the catalogue expects is not in the warehouse."""


class TableUnreadable(WarehouseError):
    """A table exists and cannot be read: corrupt, or not in the expected format."""


class TableChanged(WarehouseError):
    """A table was modified after the snapshot the run reads at."""


class ClockBehind(WarehouseError):
    """This machine's clock says an earlier time than a table was written at: no snapshot can be taken."""


class CatalogueMismatch(WarehouseError):
    """The warehouse's tables or columns are not those of the expectations."""


class BudgetExceeded(BqxError):
    """A read would go over ``max_bytes``: refused before any of it was read."""


class TableDefect(BqxError):
    """A table was read, and its rows cannot be trusted."""


class DuplicateKeys(TableDefect):
    """One ``interval_time`` stands on several rows of a table."""


class NullKeys(TableDefect):
    """A row without ``interval_time``, or without a pair in a table that says whose its rows are."""


class EmptyTable(TableDefect):
    """A table holds no row of this pair inside the spine's range."""


class SchemaDrift(TableDefect):
    """A column vanished or changed its type."""


class InexactValue(TableDefect):
    """A value that no type of a training file holds as it is: it would be cut, or become another."""


class ExtractionIncomplete(BqxError):
    """Some tables failed; the others are saved. Names every failed table."""


class CheckpointMismatch(BqxError):
    """A slab is not the one its fingerprint or the spine asks for."""


class CheckpointCorrupt(BqxError):
    """A slab's bytes are not those that were written."""


class NewerFormat(CheckpointCorrupt):
    """A record was written by a later version of this package, in a format that this one does not know."""

    def about(self, subject: str) -> NewerFormat:
        """Return the same error about the file or object that the record was read from."""
        return NewerFormat(subject, got=self.got, expected=self.expected, cure=self.cure)


class FolderBusy(BqxError):
    """Another extraction is at work in the same checkpoint folder."""


class MergeRefused(BqxError):
    """Pre-flight found the merge cannot end well: slabs missing, or disk or memory short."""


class ColumnCollision(MergeRefused):
    """Two tables would give the training file the same column name."""


class FooterError(BqxError):
    """A parquet footer cannot be parsed, or does not fit the others."""


class NotEnoughDisk(MergeRefused):
    """Less free disk than the output needs."""


class NotEnoughMemory(MergeRefused):
    """Less memory than the operation needs, by the container's limit and not the host's."""


class ValidationFailed(BqxError):
    """At least one blocking rule failed on a training file."""


class ForeignFile(BqxError):
    """Something that this package did not make stands where it would write or remove a file of its own."""


class ReplacementRefused(BqxError):
    """A published file was made of another source than the one that would replace it."""


class StoreError(BqxError):
    """An object store refused or failed."""


class ObjectMissing(StoreError):
    """No object of that name."""


class PreconditionFailed(StoreError):
    """The object's generation is not the one the writer saw: somebody else wrote it."""


class ChecksumMismatch(StoreError):
    """Stored bytes and expected CRC32C differ."""


class CloudRunError(BqxError):
    """Cloud Run refused a call, or its answer cannot be."""


class CloudRunUnavailable(CloudRunError):
    """Cloud Run could not be asked, for as long as a call is tried again."""
