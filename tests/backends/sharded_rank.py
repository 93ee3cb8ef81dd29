"""One rank of a training that FSDP shards on a CPU: accelerate does so on GPUs only, and is told that these are some.

Sharding, gathering, sampling and gradients are torch's own, over gloo. Gathering the whole state at the end is not: its
FULL_STATE_DICT needs a GPU, so the weights are summoned here.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FullyShardedDataParallel

begun, wrapped = PartialState.__init__, FullyShardedDataParallel.__init__


def begin(self, *arguments, **named):
    begun(self, *arguments, **named)
    if PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def wrap(self, *arguments, **named):
    if named.get("device_id") is not None:
        named["device_id"] = torch.device("cpu")
    wrapped(self, *arguments, **named)


def whole_state(self, model, unwrap=True):
    with FullyShardedDataParallel.summon_full_params(model, writeback=False):
        named = model.named_parameters(remove_duplicate=False)
        found = {name.replace("_fsdp_wrapped_module.", ""): value.detach().clone() for name, value in named}
    return found if self.process_index == 0 else {}


PartialState.__init__ = begin
FullyShardedDataParallel.__init__ = wrap
Accelerator.get_state_dict = whole_state

if __name__ == "__main__":
    from rlvr_bench.backends import ranks

    sys.exit(ranks.main(Path(sys.argv[1])))
