"""The contract table: the public constants of a federation, frozen before round 1.

Rates, divisors, weights and step counts come from this table and from nowhere else at run time.
The number of training loans of each lender (of borrowers, where these are sampled) is declared public under the
zero-out relation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from fedcredit.data.wording import MOST_NAMES, check_names
from fedcredit.errors import InputError
from fedcredit.experiment.spec import FixedSteps, LocalEpochs


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The public constants of one lender; ``num_loans`` counts borrowers where these are sampled and not loans."""

    institution: str
    num_loans: int
    sampling_probability: float
    divisor: float
    local_steps: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class ContractTable:
    """The contracts of all lenders, sorted by name; the weights sum to one."""

    contracts: tuple[Contract, ...]

    def __getitem__(self, institution: str) -> Contract:
        """Return the contract of a lender; a lender that has none is a KeyError."""
        return self._by_name[institution]

    @cached_property
    def _by_name(self) -> dict[str, Contract]:
        return {contract.institution: contract for contract in self.contracts}

    @property
    def institutions(self) -> tuple[str, ...]:
        """The names of the lenders, sorted."""
        return tuple(contract.institution for contract in self.contracts)

    def digest(self) -> str:
        """Return the SHA-256 of the table's canonical JSON."""
        text = json.dumps([asdict(contract) for contract in self.contracts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def draw_up(
    num_loans: Mapping[str, int], *, local: FixedSteps | LocalEpochs, weights: str | Mapping[str, float]
) -> ContractTable:
    """Draw up the contract table from public counts and the training config.

    Args:
        num_loans: training loans of each lender, or borrowers where these are sampled, at least 1.
        local: how many local steps a round has, and at which rate.
        weights: ``"by_size"`` (n_k / n), ``"uniform"`` (1 / K), or a number above 0 for each lender.

    Returns:
        The table, sorted by name; the weights are scaled to sum to one.

    Raises:
        InputError: if the numbers are not for exactly these lenders.
    """
    shares = _shares(num_loans, weights)
    total = math.fsum(shares.values())
    contracts = []
    for name in sorted(num_loans):
        count = num_loans[name]
        rate = local.sampling_probability if isinstance(local, FixedSteps) else min(1.0, local.expected_batch / count)
        steps = local.num_steps if isinstance(local, FixedSteps) else _steps(local, count)
        contracts.append(
            Contract(
                institution=name,
                num_loans=count,
                sampling_probability=rate,
                divisor=rate * count,
                local_steps=steps,
                weight=shares[name] / total,
            )
        )
    return ContractTable(contracts=tuple(contracts))


def _shares(num_loans: Mapping[str, int], weights: str | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(weights, str):
        return {name: float(count) if weights == "by_size" else 1.0 for name, count in num_loans.items()}
    check_names("strategy.contract_weights", weights, num_loans)
    missing = sorted(set(num_loans) - set(weights))
    if missing:
        raise InputError(
            f"strategy.contract_weights has no weight for {len(missing)} of {len(num_loans)} lenders: "
            f"{', '.join(missing[:MOST_NAMES])}{', ...' if len(missing) > MOST_NAMES else ''}; give every lender one"
        )
    return weights


def _steps(local: LocalEpochs, num_loans: int) -> int:
    """Count the steps in integers, so that rounding never loses one."""
    return max(local.num_epochs, math.ceil(local.num_epochs * num_loans / local.expected_batch))
