"""What a run asks of a lender's ledger, whichever mode keeps it; and a run's part of a dataset's ledger."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, final

from fedcredit.errors import InputError
from fedcredit.privacy.accounting.book import Release
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.cap import SpendingCap


class RunLedger(Protocol):
    """A ledger as a run uses it: `PrivacyLedger` of its folder when simulated, `RunAccount` when deployed."""

    @property
    def head(self) -> str:
        """The digest of the last line."""
        ...

    def intend(self, release: Release, *, within: SpendingCap | None = None) -> None:
        """Charge a release before its first private gradient, unless it would pass a cap."""
        ...

    def commit(self, release: Release, num_noise_draws: int) -> None:
        """Note that an intended release has happened."""
        ...

    def events(self, name: str | None = None, *, through_round: int | None = None) -> Events:
        """Return what the run has spent."""
        ...

    def settled_head(self) -> str:
        """Return the head when all lines up to it are on the disk."""
        ...

    def check_holds(self, head: str) -> None:
        """Refuse a ledger that lost lines it had when a result was kept."""
        ...

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the ledger."""
        ...


@final
class RunAccount:
    """One run's part of the ledger of a lender and a dataset; what other runs spent is in `dataset`."""

    def __init__(self, dataset: DatasetLedger, *, fingerprint: str, target_delta: float | None = None) -> None:
        """Charge a run to a dataset.

        Args:
            dataset: the open ledger of all runs.
            fingerprint: the run's. Attempts of a run that crashed, or that ran in another results folder, count as
                this run's: their releases are out.
            target_delta: at which delta the run promises.
        """
        self.dataset = dataset
        self._fingerprint = fingerprint
        self._target_delta = target_delta
        self._intents: dict[Release, int] = {}

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self.dataset.head

    def intend(self, release: Release, *, within: SpendingCap | None = None) -> None:
        """Charge a release before its first private gradient, whatever was charged before: its noise is new.

        Args:
            release: what is about to happen; the line is on the disk when this returns.
            within: what all releases of this name and run together may cost.

        Raises:
            InputError: if the release would pass ``within``, which charges nothing.
        """
        if within is not None and not within.permits([*self.events(release.name), release.event]):
            raise InputError(
                f"round {release.server_round} of {release.name!r} would pass the cap of epsilon {within.epsilon:g} at "
                f"delta {within.delta:g}; raise privacy.epsilon_cap, or take fewer rounds"
            )
        self._intents[release] = self.dataset.intend(
            release, fingerprint=self._fingerprint, target_delta=self._target_delta
        )

    def commit(self, release: Release, num_noise_draws: int) -> None:
        """Note that an intended release has happened.

        Args:
            release: as intended by this process, and not committed since.
            num_noise_draws: how often noise was drawn.

        Raises:
            ValueError: if it was not intended.
            NoiseDrawsError: as `DatasetLedger.commit`.
        """
        if release not in self._intents:
            raise ValueError(f"release {release.name!r} of round {release.server_round} was never intended")
        self.dataset.commit(self._intents.pop(release), num_noise_draws)

    def events(self, name: str | None = None, *, through_round: int | None = None) -> Events:
        """Return what this run has spent.

        Args:
            name: one kind of release, or None for all of them.
            through_round: leave out later rounds.

        Returns:
            Merged events.
        """
        return self.dataset.events(fingerprint=self._fingerprint, name=name, through_round=through_round)

    def settled_head(self) -> str:
        """Return the head; every line is on the disk already, but for commits, which charge nothing."""
        return self.dataset.head

    def check_holds(self, head: str) -> None:
        """Refuse a ledger without a line that it had.

        Args:
            head: that line's digest.

        Raises:
            BrokenLedgerError: if it is not there.
        """
        self.dataset.check_holds(head)

    def __enter__(self) -> Self:
        """Return the account itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the dataset's ledger, and let another process have it."""
        self.dataset.close()
