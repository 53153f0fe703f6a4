"""What can go wrong on the control side, and what each class means for the queue.

LocktenderError
|-- NameTaken       a Job of our name is not ours: Stalled until a person removes it
|-- JobRefused      the API server (a quota, an admission policy) does not take our Job: shown, and tried again
|-- Stale           the world moved while we acted (a guarded patch failed): look again at once
`-- ApiError        the API server refused or did not answer: retried with growing patience
"""


class LocktenderError(Exception):
    """Base of all errors that we raise ourselves."""


class NameTaken(LocktenderError):
    """An object of the name that we need exists and does not carry our owner's uid."""


class JobRefused(LocktenderError):
    """The API server does not accept the Job. `str()` is the sentence to show."""


class Stale(LocktenderError):
    """A precondition failed: what we decided on is no longer so."""


class ApiError(LocktenderError):
    """The API server refused a request or could not be reached. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
