"""Where figures of a run go beside its results folder: never what they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.experiment.spec.part import Part

_Folder = Annotated[str, Field(min_length=1)] | None


class NoTracking(Part):
    """Nowhere else."""

    kind: Literal["none"] = "none"


class MlflowTracking(Part):
    """An MLflow store on this disk: ``mlflow.db`` in ``folder``, by default ``<results_dir>/tracking/mlflow``."""

    kind: Literal["mlflow"] = "mlflow"
    folder: _Folder = None


class TensorboardTracking(Part):
    """TensorBoard's event files in ``folder``, by default ``<results_dir>/tracking/tensorboard``."""

    kind: Literal["tensorboard"] = "tensorboard"
    folder: _Folder = None


Tracking = Annotated[NoTracking | MlflowTracking | TensorboardTracking, Field(discriminator="kind")]
