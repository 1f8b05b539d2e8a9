"""Opens a model as its spec says: in this process, over HTTP, or through a Batch API."""

from __future__ import annotations

from grading.backend import Backend
from grading.errors import UserError
from grading.home import StorePlace
from grading.models.spec import LOCAL_PREFIX, ModelSpec


def open_backend(
    spec: ModelSpec, concurrency: int, *, adaptive: bool = True, batches: StorePlace | None = None
) -> Backend:
    """Return the model; `concurrency` bounds the requests in flight of an HTTP endpoint, see Asker.

    With `batches`, where the verdict store is, calls go through the endpoint's Batch API.
    """
    if spec.kind == "transformers":
        if batches:
            raise UserError(
                f"The {spec.role} {LOCAL_PREFIX}{spec.model} runs in this process and has no Batch API: leave out "
                "the setting `batch`."
            )
        from grading.local.backend import LocalBackend  # needs torch

        return LocalBackend(
            spec.model,
            temperature=spec.temperature or 0.0,
            max_tokens=spec.max_tokens,
            batch_size=spec.batch_size,
            dtype=spec.dtype,
        )
    if batches:
        from grading.batch.backend import BatchBackend

        return BatchBackend(spec, api_key=spec.api_key(), store=batches)
    from grading.endpoint.backend import OpenAIBackend

    return OpenAIBackend(spec, api_key=spec.api_key(), concurrency=concurrency, adaptive=adaptive)
