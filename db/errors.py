"""What can be wrong with a record, each in a sentence that says what to do."""

from ..protocols.errors import EpicycleError


class RecordError(EpicycleError):
    """The record of a night cannot be used as asked."""


class RecordMissing(RecordError):
    """There is no record of this name."""


class RecordExists(RecordError):
    """There is a record of this name already, and it is not overwritten."""


class RecordCorrupt(RecordError):
    """The file is damaged, or no record of this program."""


class RecordNewer(RecordError):
    """The record was written by a later version of this program."""


class RecordOlder(RecordError):
    """The record was written by an earlier version and can only be read once it is brought up to date."""


class RecordNotReadable(RecordError):
    """The operating system refuses to open the file."""


class RecordNotWritable(RecordError):
    """The file or its folder is read-only, or on a disk that a record cannot live on."""


class RecordInUse(RecordError):
    """Another process writes this record; the sentence says who, since when and when it was last heard of."""


class LeaseLost(RecordError):
    """Somebody else took the record over while this process believed it held it."""
