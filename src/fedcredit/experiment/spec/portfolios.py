"""Which loans, and who holds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Count, NonNegative, Part, Positive, Seed


class PublicTable(Part):
    """A public credit table that the project knows by name."""

    kind: Literal["table"] = "table"
    table: Literal["taiwan", "german", "lending_club", "sba"]


class FileTable(Part):
    """A table of the user's own, described by a schema file of her own."""

    kind: Literal["csv", "parquet"]
    path: Annotated[str, Field(min_length=1)]
    schema_file: Annotated[str, Field(min_length=1)]


MarketView = Literal["behaviour", "application"]
MarketLabel = Literal["default_12m", "first_payment_default", "ring"]


def _is_default_12m(label: str) -> bool:
    return label == "default_12m"


class MarketPortfolio(Part):
    """The simulated market: lenders of three kinds with shared borrowers, over 36 months.

    ``view: behaviour`` has one row per account and snapshot month, ``view: application`` one row per
    account at its opening. ``shock_month`` is the first bad month of the named shock. ``num_months`` is how
    long the market is simulated; 12 months must follow a snapshot. ``label`` is what is predicted: 90 days past due
    within 12 months, within 4 months of opening, or membership of a fraud ring, which only a simulation knows.
    """

    kind: Literal["market"] = "market"
    num_borrowers: Annotated[int, Field(ge=500, le=2_000_000)] = 60_000
    market_seed: Seed = 1
    num_months: Annotated[int, Field(ge=24, le=120)] = 36
    view: MarketView = "behaviour"
    label: MarketLabel = Field(default="default_12m", exclude_if=_is_default_12m)
    snapshot_months: Annotated[tuple[Annotated[int, Field(ge=6, le=107)], ...], Field(min_length=1)] = (17,)
    shock: Literal["none", "mild", "pandemic"] = "none"
    shock_month: Annotated[int, Field(ge=1, le=119)] = 18
    forbearance: bool = False
    num_banks: Annotated[int, Field(ge=0, le=100)] = 3
    num_bnpl: Annotated[int, Field(ge=0, le=100)] = 4
    num_consumer_finance: Annotated[int, Field(ge=0, le=100)] = 3

    @model_validator(mode="after")
    def _at_least_two_lenders(self) -> MarketPortfolio:
        if self.num_banks + self.num_bnpl + self.num_consumer_finance < 2:
            raise ValueError("the market needs at least two lenders; raise num_banks, num_bnpl or num_consumer_finance")
        if len(set(self.snapshot_months)) < len(self.snapshot_months):
            raise ValueError("a month stands twice in snapshot_months; write each once")
        if max(self.snapshot_months) > self.num_months - 13:
            raise ValueError(
                f"snapshot_months has {max(self.snapshot_months)}, and 12 months must follow a snapshot: the latest is "
                f"{self.num_months - 13} with num_months={self.num_months}"
            )
        if self.label != "default_12m" and self.view != "application":
            raise ValueError(
                f"label is {self.label}, which is decided in an account's first months, and view is {self.view}, of "
                "accounts of six months and more; set portfolio.view=application"
            )
        if self.shock_month >= self.num_months:
            raise ValueError(f"shock_month is {self.shock_month}; allowed is 1 to {self.num_months - 1}")
        return self


Portfolio = Annotated[PublicTable | FileTable | MarketPortfolio, Field(discriminator="kind")]


class NaturalPartition(Part):
    """One lender per value of a key column; lenders below ``min_loans`` are left out."""

    kind: Literal["natural"] = "natural"
    column: Annotated[str, Field(min_length=1)]
    min_loans: Count = 60
    max_institutions: Count | None = None


class IidPartition(Part):
    """Lenders of equal size, loans dealt at random."""

    kind: Literal["iid"] = "iid"
    num_institutions: Count = 10


class DirichletPartition(Part):
    """Label skew: each lender's default rate differs by a Dirichlet draw; sizes are log-normal.

    ``size_sigma`` is the standard deviation of the logarithm of the sizes (0: equal sizes).
    """

    kind: Literal["dirichlet"] = "dirichlet"
    num_institutions: Count = 10
    concentration: Positive = 1.0
    size_sigma: NonNegative = 0.8
    min_loans: Count = 60


class QuantityPartition(Part):
    """Quantity skew alone: log-normal sizes, the same mix of loans everywhere."""

    kind: Literal["quantity"] = "quantity"
    num_institutions: Count = 10
    size_sigma: NonNegative = 0.8
    min_loans: Count = 60


class BandsPartition(Part):
    """Lenders that each serve one band (quantile range) of a numeric column."""

    kind: Literal["bands"] = "bands"
    column: Annotated[str, Field(min_length=1)]
    num_institutions: Count = 4


Partition = Annotated[
    NaturalPartition | IidPartition | DirichletPartition | QuantityPartition | BandsPartition,
    Field(discriminator="kind"),
]
