"""The error tree: every failure says subject, got, expected and cure, in that order."""

from __future__ import annotations

import errno

from bqx_assets.base.printable import first_line, printable


class BqxError(Exception):
    """Base of every error this package raises on purpose.

    Renders as ``subject: got, expected X. cure``, for example ``eurusd/corr_bqx: 99,998 rows, expected 100,000.
    Re-extract with: bqx extract eurusd --table corr_bqx``. The parts are escaped, because they quote names of others.
    """

    exit_code = 1

    def __init__(self, subject: str, *, got: str, expected: str, cure: str) -> None:
        # Escaped here, because a terminal, a log line, a Dagster event and a manifest all show the parts.
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
        """Return the package's own error for a refusal of the operating system."""
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return cls(
            str(error.filename or "operating system"),
            got=error.strerror or first_line(error),
            expected="room on the disk" if full else "a folder and disk that can be read and written",
            cure="Free space or correct the permissions, then run again; --debug shows where it happened.",
        )


class Unforeseen(BqxError):
    """A command was stopped by an exception that is none of these errors: a fault of the program or of a library."""


class NotReady(BqxError):
    """The doctor found that something is missing without which a run would fail."""


class UsageError(BqxError):
    """The caller asked for something that cannot be done: the command line exits with 2."""

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
    """The warehouse answers nobody or refuses every call. This concerns all tables, so one such error ends the run."""


class ReadsEnded(WarehouseError):
    """A read was ended because its run is ending."""


class TableMissing(WarehouseError):
    """A table that the catalogue expects is not in the warehouse."""


class TableUnreadable(WarehouseError):
    """A table exists and cannot be read: corrupt, or not in the expected format."""


class QueryTooLarge(TableUnreadable):
    """A query of several tables needs more than BigQuery gives one query; a query of fewer may not."""


class TableChanged(WarehouseError):
    """A table was modified after the snapshot the run reads at."""


class ClockBehind(WarehouseError):
    """This machine's clock is behind the time at which a table was written, so that no snapshot can be taken."""


class CatalogueMismatch(WarehouseError):
    """The warehouse's tables or columns are not those of the expectations."""


class BudgetExceeded(BqxError):
    """A read would exceed ``max_bytes``; it is refused before anything is read."""


class TableDefect(BqxError):
    """A table was read, and its rows cannot be trusted."""


class DuplicateKeys(TableDefect):
    """Several rows of a table have the same ``interval_time``."""


class NullKeys(TableDefect):
    """A row has no ``interval_time``, or no pair in a table that has a ``pair`` column."""


class EmptyTable(TableDefect):
    """A table holds no row of this pair inside the spine's range."""


class SchemaDrift(TableDefect):
    """A column vanished or changed its type."""


class InexactValue(TableDefect):
    """A value is exact in no type of a training file: it would be cut or changed."""


class ExtractionIncomplete(BqxError):
    """Some tables failed; the others are saved. Names every failed table."""


class CheckpointMismatch(BqxError):
    """A slab is not the one that its fingerprint or the spine requires."""


class CheckpointCorrupt(BqxError):
    """A slab's bytes are not those that were written."""


class NewerFormat(CheckpointCorrupt):
    """A record was written by a later version of this package, in a format that this one does not know."""

    def about(self, subject: str) -> NewerFormat:
        """Return the same error about the file or object that the record was read from."""
        return NewerFormat(subject, got=self.got, expected=self.expected, cure=self.cure)


class FolderBusy(BqxError):
    """Another process is at work on the same files."""

    @classmethod
    def of(cls, subject: str, got: str) -> FolderBusy:
        """Return the error about the files that are in use."""
        cure = "Wait until the other command has ended, then repeat this one: what is finished is not done again."
        return cls(subject, got=got, expected="one command at a time", cure=cure)


class MergeRefused(BqxError):
    """A check before a merge found that it cannot succeed: slabs are missing, or disk or memory is short."""


class ColumnCollision(MergeRefused):
    """Two tables would give the training file the same column name."""


class FooterError(BqxError):
    """A parquet footer cannot be parsed, or does not fit the others."""


class NotEnoughDisk(MergeRefused):
    """There is less free disk space than the output needs."""


class NotEnoughMemory(MergeRefused):
    """There is less memory than the operation needs, by the container's limit and not the host's."""


class ValidationFailed(BqxError):
    """A training file failed a blocking rule, or there is no report that it passed them."""


class ForeignFile(BqxError):
    """Something that this package did not make stands where it would write or remove a file of its own."""


class OtherData(BqxError):
    """The training file at a place is not the one that a program has pinned."""


class LeakySplit(BqxError):
    """A model would be tested on rows that share bars with rows that it was trained on."""


class ReplacementRefused(BqxError):
    """A published file was made from another source than the file that would replace it."""


class StoreError(BqxError):
    """An object store refused or failed."""


class ObjectMissing(StoreError):
    """There is no object of that name."""


class PreconditionFailed(StoreError):
    """The object's version is not the one that the writer saw, because somebody else wrote it."""


class ChecksumMismatch(StoreError):
    """The stored bytes do not have the expected CRC32C."""


class CloudRunError(BqxError):
    """Cloud Run refused a call, or gave an answer that cannot be true."""


class CloudRunUnavailable(CloudRunError):
    """Cloud Run did not answer for as long as a call is repeated."""


class AlertNotSent(BqxError):
    """A receiver of alerts refused a message or did not answer."""

    asked_seconds = 0.0
    """Time after which the receiver wants to be called again; 0 if it names none."""

    def asking(self, seconds: float) -> AlertNotSent:
        """Return this error with the wait that the receiver asked for."""
        self.asked_seconds = seconds
        return self
