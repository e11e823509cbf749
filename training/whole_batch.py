"""The loss of all posts of an optimizer step as one batch, however they are dealt out to processes, micro-batches and
chunks.

Where the loss is a mean over posts, every part is divided by the posts of the whole batch. Where it compares posts,
gradients are cached (GradCache, Gao et al. 2021, arXiv 2101.06983): the rows of all parts without a graph, the loss of
the whole batch and its gradient with regard to the rows, then part by part again with a graph, into which that
gradient is fed.
"""

from collections import deque
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def chunks_of(batch: dict[str, Tensor], size: int | None) -> list[dict[str, Tensor]]:
    """The posts of a batch, `size` at a time; all at once where it is None."""
    if size is None:
        return [batch]
    starts = range(0, len(batch["labels"]), size)
    return [{name: value[start : start + size] for name, value in batch.items()} for start in starts]


def loss_inputs(model: nn.Module, head: nn.Module, batch: dict[str, Tensor]) -> tuple[dict, dict]:
    """Predictions and targets of `BatchLoss.losses`, by a forward that computes no loss of its own."""
    output = model(**{name: value for name, value in batch.items() if not name.endswith("labels")})
    return head.loss_inputs(output, **batch)


class SummedBatch:
    """A batch whose loss is a mean over posts.

    Args:
        chunks: the parts of this process.
        head: the model itself, a `BatchLoss`, of which `compares_posts` is False.
        accelerator: knows the processes.
    """

    def __init__(self, chunks: list[dict[str, Tensor]], head: nn.Module, accelerator: Accelerator):
        self._head, self._processes = head, accelerator.num_processes
        posts = torch.stack([head.count_posts(chunk["labels"]) for chunk in chunks]).sum(dim=0)
        self._num_posts = accelerator.reduce(posts.to(accelerator.device), "sum")

    def terms(self, model: nn.Module, chunk: dict[str, Tensor]) -> dict[str, Tensor]:
        """The part of one chunk in the loss and its terms.

        Returns: scalars by name, `loss` with a gradient. Summed over the chunks of a process and averaged over the
            processes, as distributed training does with gradients, they are those of the whole batch.
        """
        predictions, targets = loss_inputs(model, self._head, chunk)
        terms = self._head.losses(**predictions, **targets, num_posts=self._num_posts)
        return {name: term * self._processes for name, term in terms.items()}


class CachedBatch:
    """A batch whose loss compares posts. Its chunks must come to `terms` in their order.

    Args:
        chunks: the parts of this process.
        head: the model itself, a `BatchLoss`, of which `compares_posts` is True.
        accelerator: knows the processes.
        one_pass: there is one chunk in each process: no forward need be run twice. It must be the same in all
            processes, which wait for each other within a forward.
        prepare: takes a chunk to the device.
    """

    def __init__(
        self,
        chunks: list[dict[str, Tensor]],
        head: nn.Module,
        accelerator: Accelerator,
        one_pass: bool,
        prepare: Callable[[dict], dict],
    ):
        self._chunks, self._head, self._accelerator = chunks, head, accelerator
        self._one_pass, self._prepare = one_pass, prepare
        self._states: deque[RandomState] = deque()
        self._gradients: deque[dict[str, Tensor]] | None = None
        self._terms: dict[str, Tensor] = {}

    def terms(self, model: nn.Module, chunk: dict[str, Tensor]) -> dict[str, Tensor]:
        """As `SummedBatch.terms`."""
        if self._one_pass:
            predictions, targets = loss_inputs(model, self._head, chunk)
            self._cache([(predictions, targets)])
        else:
            if self._gradients is None:
                self._first_pass(model)
            self._states.popleft().restore()
            predictions, _ = loss_inputs(model, self._head, chunk)
        gradients = self._gradients.popleft()
        # A scalar whose gradient with regard to the rows is the cached one; its own value means nothing.
        fed = sum((predictions[name] * gradient).sum() for name, gradient in gradients.items())
        return self._terms | {"loss": self._terms["loss"] + (fed - fed.detach())}

    def _first_pass(self, model: nn.Module) -> None:
        seen = []
        for chunk in self._chunks:
            self._states.append(RandomState(self._accelerator.device))
            with torch.no_grad():
                seen.append(loss_inputs(model, self._head, self._prepare(chunk)))
        self._chunks = []  # nothing is held longer than it is needed
        self._cache(seen)

    def _cache(self, seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]]) -> None:
        """The terms of the whole batch, and the gradient of its loss with regard to the rows of each chunk."""
        predictions, targets = (joined(rows) for rows in zip(*seen, strict=True))
        leaves = {name: rows.detach().requires_grad_() for name, rows in predictions.items()}
        with torch.enable_grad():
            terms = self._head.losses(
                **with_other_processes(leaves, self._accelerator), **with_other_processes(targets, self._accelerator)
            )
            gradients = torch.autograd.grad(terms["loss"], list(leaves.values()))
        # Each process has the gradient of its own rows alone: averaged over processes it would be too small.
        scaled = (gradient * self._accelerator.num_processes for gradient in gradients)
        sizes = [len(rows["labels"]) for _, rows in seen]
        parts = zip(*(gradient.split(sizes) for gradient in scaled), strict=True)
        self._gradients = deque(dict(zip(leaves, part, strict=True)) for part in parts)
        self._terms = {name: term.detach() / len(seen) for name, term in terms.items()}


def joined(rows: tuple[dict[str, Tensor], ...]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in rows]) for name in rows[0]}


def with_other_processes(rows: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """The rows of all processes, in the order of the processes; the numbers of their rows may differ.

    Only the own rows keep their graph. Each process computes the whole loss, so that the gradient of its own rows is
    complete without any from the others.
    """
    if accelerator.num_processes == 1:
        return rows
    own_size = torch.tensor([len(next(iter(rows.values())))], device=accelerator.device)
    sizes = accelerator.gather(own_size).tolist()
    everyones = {}
    for name, own in rows.items():
        gathered = accelerator.gather(accelerator.pad_across_processes(own.detach()))
        parts = [part[:size] for part, size in zip(gathered.split(max(sizes)), sizes, strict=True)]
        parts[accelerator.process_index] = own
        everyones[name] = torch.cat(parts)
    return everyones


class RandomState:
    """The random generators as they are now, of the CPU and of the accelerators, to draw the same dropout again.

    Args:
        device: where the model runs.
    """

    def __init__(self, device: torch.device):
        self._cpu = torch.get_rng_state()
        self._module = None if device.type == "cpu" else torch.get_device_module(device)
        if self._module is not None:
            # All of them: DataParallel draws on each.
            several = hasattr(self._module, "get_rng_state_all")
            self._states = self._module.get_rng_state_all() if several else self._module.get_rng_state()

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._module is not None:
            several = isinstance(self._states, list)
            (self._module.set_rng_state_all if several else self._module.set_rng_state)(self._states)


__all__ = ["CachedBatch", "RandomState", "SummedBatch", "chunks_of"]
