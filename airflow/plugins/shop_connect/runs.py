"""What a batch run is, as the API tells of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# Ids of runs are made in this space; another value here would make every unfinished task start anew.
_SPACE = uuid.UUID("5b0c7f0e-93c8-4a55-9c1e-6f5b1c2d7a44")

_COUNTS = ("rows_in", "rows_out", "rows_refused", "rows_skipped", "objects", "objects_refused", "objects_unchanged", "bytes")


def run_id_of(dag_id: str, dag_run_id: str, task_id: str, map_index: int, attempt: int) -> str:
    """
    Name the run that a task starts in its nth attempt.

    Tries of the task are not in it: a try that follows a lost worker finds the run that the one before
    has started.
    """
    return str(uuid.uuid5(_SPACE, "\0".join((dag_id, dag_run_id, task_id, str(map_index), str(attempt)))))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the ledger of batch runs."""

    id: str
    name: str
    status: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    rows_in: int = 0
    rows_out: int = 0
    rows_refused: int = 0
    rows_skipped: int = 0
    objects: int = 0
    objects_refused: int = 0
    objects_unchanged: int = 0
    bytes: int = 0
    warnings: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    progress: str = ""
    cancel_requested: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Run:
        """Take what is known here of an answer; a newer API may tell more."""
        return cls(**{f.name: answer[f.name] for f in fields(cls) if answer.get(f.name) is not None})

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    def counts(self) -> dict[str, Any]:
        """Return what later tasks get as XCom."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        return counts | {"run_id": self.id, "warnings": dict(self.warnings)}

    def describe(self) -> str:
        """Say in one line what the run has done so far."""
        told = (
            f"{self.rows_in:,} rows in, {self.rows_out:,} out, {self.rows_refused:,} refused, {self.rows_skipped:,} skipped; "
            f"{self.objects:,} objects, {_size(self.bytes)}"
        )
        return f"{told}; {self.progress}" if self.progress else told


def _size(n: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            break
        n /= 1000
    else:
        unit = "TB"
    return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:,.1f} {unit}"
