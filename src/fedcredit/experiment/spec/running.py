"""Who carries the messages and who computes: how fast, never what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedcredit.experiment.spec.part import Part


class InlineRuntime(Part):
    """Lenders are called in turn, in this process."""

    kind: Literal["inline"] = "inline"


class RayRuntime(Part):
    """Flower's simulation runtime on Ray, in a process of its own.

    ``isolate`` puts that process into a network namespace with a loopback interface only, because
    Ray listens on every interface.
    """

    kind: Literal["ray"] = "ray"
    num_workers: Annotated[int, Field(ge=1, le=1024)] = 2
    isolate: bool = True


Runtime = Annotated[InlineRuntime | RayRuntime, Field(discriminator="kind")]


class Trainer(Part):
    """Who computes a local round."""

    kind: Literal["compiled", "vectorised", "reference"] = "compiled"
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _a_trainer_for_the_device(self) -> Trainer:
        if self.device != "cpu" and self.kind != "vectorised":
            raise ValueError(
                f"trainer.device is {self.device!r}, and trainer.kind={self.kind} runs on the CPU alone; "
                "set trainer.kind=vectorised or trainer.device=cpu"
            )
        return self
