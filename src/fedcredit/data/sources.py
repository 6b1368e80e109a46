"""Where the known public tables come from, and how their raw files become canonical tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv

Convert = Callable[[bytes], pa.Table]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A known public table.

    ``file_name`` is its canonical parquet file, ``checksum`` its canonical content apart from the
    ``unverified`` columns, ``addresses`` where a raw file can be had, ``convert`` what turns the raw
    bytes into the table, and ``origin`` what to tell a person who must fetch it by hand.
    """

    file_name: str
    checksum: str
    addresses: tuple[str, ...]
    convert: Convert
    origin: str
    unverified: tuple[str, ...] = ()


def taiwan_table(raw: bytes) -> pa.Table:
    """Convert the csv of UCI 350 (generic names X1 to X23 and Y) or its copies with full names.

    Args:
        raw: the csv file.

    Returns:
        The canonical table: 25 whole-number columns.
    """
    generic = [f"X{i}" for i in range(1, 24)] + ["Y"]
    names = dict(zip(generic, _TAIWAN[1:], strict=True))
    names |= {"default.payment.next.month": "default", "default payment next month": "default"}
    return _typed(raw, columns=_TAIWAN, names=names)


def german_table(raw: bytes) -> pa.Table:
    """Convert ``german.data`` of UCI 144: 21 fields separated by blanks, categories as codes.

    Args:
        raw: the file.

    Returns:
        The canonical table, with the categories spelt out as in the file's documentation.
    """
    options = pacsv.ReadOptions(column_names=list(_GERMAN))
    table = pacsv.read_csv(io.BytesIO(raw), read_options=options, parse_options=pacsv.ParseOptions(delimiter=" "))
    columns = {}
    for name in _GERMAN:
        cells = table.column(name).to_pylist()
        if name == "default":
            cells = [{1: 0, 2: 1}[cell] for cell in cells]
        columns[name] = [_GERMAN_CODES[cell] for cell in cells] if isinstance(cells[0], str) else cells
    return pa.table(columns)


def lending_club_table(raw: bytes) -> pa.Table:
    """Convert the csv copy of ``lending_club`` of the R package modeldata.

    Args:
        raw: the csv file, row names in its first column.

    Returns:
        The canonical table.
    """
    texts = ("term", "sub_grade", "addr_state", "verification_status", "emp_length", "Class")
    return _typed(raw, columns=_LENDING_CLUB, texts=texts, floats=("int_rate", "annual_inc", "revol_util"))


def sba_table(raw: bytes) -> pa.Table:
    """Convert ``SBAcase.11.13.17.csv`` of Li, Mickel and Taylor (2018).

    Args:
        raw: the csv file.

    Returns:
        The canonical table.
    """
    texts = ("Name", "City", "State", "Bank", "BankState", "RevLineCr", "LowDoc", "MIS_Status")
    floats = ("NewExist", "ChgOffDate", "DisbursementDate", "Portion", "xx")
    return _typed(raw, columns=_SBA, texts=texts, floats=floats)


def _typed(
    raw: bytes,
    *,
    columns: tuple[str, ...],
    texts: tuple[str, ...] = (),
    floats: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> pa.Table:
    """Read csv bytes; every column that is neither text nor float holds whole numbers."""
    kinds = {
        **{column: pa.float64() for column in (*columns, *(names or {}))},
        **{column: pa.large_string() for column in texts},
    }
    convert = pacsv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=True)
    table = pacsv.read_csv(io.BytesIO(raw), convert_options=convert)
    table = table.rename_columns([(names or {}).get(name, name) for name in table.column_names]).select(list(columns))
    whole = [field.name not in (*texts, *floats) for field in table.schema]
    fields = [pa.field(field.name, pa.int64() if is_whole else field.type)
              for field, is_whole in zip(table.schema, whole, strict=True)]  # fmt: skip
    return table.cast(pa.schema(fields))


_TAIWAN = (
    "ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE",
    "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6",
    *(f"BILL_AMT{i}" for i in range(1, 7)), *(f"PAY_AMT{i}" for i in range(1, 7)), "default",
)  # fmt: skip

_GERMAN = (
    "status_of_existing_checking_account", "duration_in_month", "credit_history", "purpose", "credit_amount",
    "savings_account_and_bonds", "present_employment_since", "installment_rate_in_percentage_of_disposable_income",
    "personal_status_and_sex", "other_debtors_or_guarantors", "present_residence_since", "property", "age_in_years",
    "other_installment_plans", "housing", "number_of_existing_credits_at_this_bank", "job",
    "number_of_people_being_liable_to_provide_maintenance_for", "telephone", "foreign_worker", "default",
)  # fmt: skip

_GERMAN_CODES = {
    "A11": "... < 0 DM",
    "A12": "0 <= ... < 200 DM",
    "A13": "... >= 200 DM / salary assignments for at least 1 year",
    "A14": "no checking account",
    "A30": "no credits taken/ all credits paid back duly",
    "A31": "all credits at this bank paid back duly",
    "A32": "existing credits paid back duly till now",
    "A33": "delay in paying off in the past",
    "A34": "critical account/ other credits existing (not at this bank)",
    "A40": "car (new)",
    "A41": "car (used)",
    "A42": "furniture/equipment",
    "A43": "radio/television",
    "A44": "domestic appliances",
    "A45": "repairs",
    "A46": "education",
    "A48": "retraining",
    "A49": "business",
    "A410": "others",
    "A61": "... < 100 DM",
    "A62": "100 <= ... < 500 DM",
    "A63": "500 <= ... < 1000 DM",
    "A64": "... >= 1000 DM",
    "A65": "unknown/ no savings account",
    "A71": "unemployed",
    "A72": "... < 1 year",
    "A73": "1 <= ... < 4 years",
    "A74": "4 <= ... < 7 years",
    "A75": "... >= 7 years",
    "A91": "male : divorced/separated",
    "A92": "female : divorced/separated/married",
    "A93": "male : single",
    "A94": "male : married/widowed",
    "A101": "none",
    "A102": "co-applicant",
    "A103": "guarantor",
    "A121": "real estate",
    "A122": "building society savings agreement/ life insurance",
    "A123": "car or other, not in attribute Savings account/bonds",
    "A124": "unknown / no property",
    "A141": "bank",
    "A142": "stores",
    "A143": "none",
    "A151": "rent",
    "A152": "own",
    "A153": "for free",
    "A171": "unemployed/ unskilled - non-resident",
    "A172": "unskilled - resident",
    "A173": "skilled employee / official",
    "A174": "management/ self-employed/ highly qualified employee/ officer",
    "A191": "none",
    "A192": "yes, registered under the customers name",
    "A201": "yes",
    "A202": "no",
}

_LENDING_CLUB = (
    "funded_amnt", "term", "int_rate", "sub_grade", "addr_state", "verification_status", "annual_inc", "emp_length",
    "delinq_2yrs", "inq_last_6mths", "revol_util", "acc_now_delinq", "open_il_6m", "open_il_12m", "open_il_24m",
    "total_bal_il", "all_util", "inq_fi", "inq_last_12m", "delinq_amnt", "num_il_tl", "total_il_high_credit_limit",
    "Class",
)  # fmt: skip

_SBA = (
    "Selected", "LoanNr_ChkDgt", "Name", "City", "State", "Zip", "Bank", "BankState", "NAICS", "ApprovalDate",
    "ApprovalFY", "Term", "NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "UrbanRural", "RevLineCr",
    "LowDoc", "ChgOffDate", "DisbursementDate", "DisbursementGross", "BalanceGross", "MIS_Status", "ChgOffPrinGr",
    "GrAppv", "SBA_Appv", "New", "RealEstate", "Portion", "Recession", "daysterm", "xx", "Default",
)  # fmt: skip

_GITHUB = "https://raw.githubusercontent.com"
_RDATASETS = "vincentarelbundock/Rdatasets/cc03c29690889dbe83089f5206e2422db8c3f71f"

SOURCES: Mapping[str, Source] = {
    "taiwan": Source(
        file_name="taiwan_default_30000.parquet",
        checksum="63ccc57c8391e86c139a46bb7a9f322d590c401c1ead25f5b49bcfb5e984f6c8",
        addresses=(
            "https://archive.ics.uci.edu/static/public/350/data.csv",
            "https://huggingface.co/datasets/scikit-learn/credit-card-clients/resolve/main/UCI_Credit_Card.csv",
        ),
        convert=taiwan_table,
        origin="UCI 350, default of credit card clients (CC BY 4.0)",
    ),
    "german": Source(
        file_name="german_1000.parquet",
        checksum="fb07e47a399746848861a86e3b81bba756ddca37b10ba5679283de3686e9be30",
        addresses=("https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/german.data",),
        convert=german_table,
        origin="UCI 144, Statlog German credit data (CC BY 4.0)",
        unverified=("personal_status_and_sex",),  # sorted by value, so of no use, in a much used copy
    ),
    "lending_club": Source(
        file_name="lending_club_modeldata_9857.parquet",
        checksum="d0666b90eb61fdc21ba63f44000c872a407a2117044fece3a06dd6a20a8954eb",
        addresses=(
            f"{_GITHUB}/{_RDATASETS}/csv/modeldata/lending_club.csv",
            "https://vincentarelbundock.github.io/Rdatasets/csv/modeldata/lending_club.csv",
        ),
        convert=lending_club_table,
        origin="lending_club of the R package modeldata (MIT)",
    ),
    "sba": Source(
        file_name="sba_case_2102.parquet",
        checksum="bc39f73988fac95651edbb7b792ac9b32540c44946327a37f93aec06b69f3278",
        addresses=(f"{_GITHUB}/eremt56/Loan-Defaulters/1252493b2ac5e23853d6916450f8f17b93457b57/SBAcase.11.13.17.csv",),
        convert=sba_table,
        origin="SBAcase.11.13.17.csv, supplement of Li, Mickel and Taylor 2018, doi 10.1080/10691898.2018.1434342",
    ),
}
