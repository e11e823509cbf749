"""What a forward keeps in memory for its backward."""

from torch.profiler import ProfilerActivity, profile


def kept_bytes(forward) -> int:
    """Bytes that are there after a forward, while its output holds the graph, and were not before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        output = forward()
    assert any(of.requires_grad for of in (output.values() if isinstance(output, dict) else [output]))
    return sum(event.self_cpu_memory_usage for event in seen.events())
