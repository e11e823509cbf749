"""`duosent` under FSDP in processes without a GPU.

Accelerate gives FSDP to GPUs alone, though torch's own runs on any machine: here CPU processes pass for GPUs when
accelerate asks what is to be done with them. Everything else is the real thing.
"""

import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from duosent.cli import main

usual_start = PartialState.__init__


def start(self, *args, **kwargs):
    usual_start(self, *args, **kwargs)
    if self._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
        self._shared_state["distributed_type"] = DistributedType.MULTI_GPU


PartialState.__init__ = start
sys.exit(main(sys.argv[1:]))
