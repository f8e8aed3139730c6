"""The boundary of the room: whatever a decoder throws leaves as a ReadError in plain words.

Messages never quote the text of a foreign exception: libraries like to quote the value that they choked on, and in a
DICOM header that value may be a name or a birth date. The original stays reachable as `__cause__` for a debugger.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hounsfield.errors import HounsfieldError, ReadError

DAMAGED = "Open it in another viewer: it may be damaged. Leave it out, or export it again."


@contextmanager
def plain_errors(where: object) -> Iterator[None]:
    """Turn every exception inside into a ReadError about `where`, and keep the libraries' warnings off the screen.

    Warnings are silenced for the same reason as messages are reworded: they quote header values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except HounsfieldError as error:
        if error.where is None:
            raise type(error)(error.what, where=where, fix=error.fix) from error
        raise
    except FileNotFoundError as error:
        raise ReadError("the file does not exist", where=where) from error
    except IsADirectoryError as error:
        raise ReadError("a folder, not a file", where=where) from error
    except PermissionError as error:
        raise ReadError("no permission to read the file", where=where, fix="Change its permissions.") from error
    except EOFError as error:
        raise ReadError("the file ends too early", where=where, fix="Copy or export it again.") from error
    except MemoryError as error:
        raise ReadError("the image does not fit into memory", where=where, fix="Use fewer workers.") from error
    except Exception as error:
        raise ReadError(f"the file cannot be decoded ({type(error).__name__})", where=where, fix=DAMAGED) from error
