"""The lenders of a Ray worker: rebuilt from the experiment once per process, found by partition.

Nothing of a lender travels to a worker but the experiment's text and the results folder.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import Context

from fedcredit.experiment.spec import Experiment
from fedcredit.federation.client import Lender, keep_lender_log

LENDER_LOG = "lenders.log"


@dataclass(frozen=True, kw_only=True)
class FindLender:
    """Finds the lender of a Flower node by its partition; sent to the workers with every message.

    ``experiment`` is its JSON, ``folder`` the results folder, and ``source`` the module whose
    ``prepare``, ``open_ledgers`` and ``lenders`` build them.
    """

    experiment: str
    folder: str
    source: str

    def __call__(self, context: Context) -> Lender:
        """Return the lender of a context.

        Args:
            context: a context of Flower's simulation runtime.

        Returns:
            The lender: institutions sorted by name, one per partition.
        """
        found = _build(self)
        return found[sorted(found)[int(context.node_config["partition-id"])]]


@lru_cache(maxsize=1)
def _build(find: FindLender) -> dict[str, Lender]:
    keep_lender_log(Path(find.folder) / LENDER_LOG)
    source: Any = importlib.import_module(find.source)
    prepared = source.prepare(Experiment.model_validate_json(find.experiment))
    found: dict[str, Lender] = source.lenders(prepared, ledgers=source.open_ledgers(prepared, folder=Path(find.folder)))
    return found
