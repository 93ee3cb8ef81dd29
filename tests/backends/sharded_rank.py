"""One rank of a training that FSDP shards on a CPU: accelerate does so on GPUs only, and is told that these are some.

All of sharding, sampling, gradients, saving and going on is torch's, accelerate's and transformers' own, over gloo.
Two places where torch takes a copy for granted, as one comes of moving a tensor off a GPU, are told that there is none.
With ACCELERATE_MIXED_PRECISION=bf16 it trains under autocast as on a GPU. The buffers' types are left in buffers.json.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FullyShardedDataParallel, _optim_utils
from torch.distributed.fsdp._flat_param import FlatParamHandle

SHARDED = os.environ.get("ACCELERATE_USE_FSDP") == "true"
begun, wrapped = PartialState.__init__, FullyShardedDataParallel.__init__
unflattened = _optim_utils._unflatten_orig_param_states


def begin(self, *arguments, **named):
    begun(self, *arguments, **named)
    if SHARDED and PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def wrap(self, *arguments, **named):
    if named.get("device_id") is not None:
        named["device_id"] = torch.device("cpu")
    wrapped(self, *arguments, **named)


def unflatten(info, states, name, shard_state, to_save, cpu_offload):
    # one buffer holds one state of the optimizer after another: without a copy all would be the last
    unflattened(info, states, name, shard_state, to_save, False)


def no_sync(self, model):
    raise AssertionError("each rank would add up whole gradients")


PartialState.__init__ = begin
if SHARDED:
    Accelerator.no_sync = no_sync
FullyShardedDataParallel.__init__ = wrap
FlatParamHandle.to_cpu = lambda self: nullcontext()  # it would free what it has just "moved"
_optim_utils._unflatten_orig_param_states = unflatten

if __name__ == "__main__":
    import trl

    from rlvr_bench.backends import ranks
    from rlvr_bench.backends import trl as ours

    config, saved = trl.GRPOConfig, ours.save_weights
    as_on_gpus = os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"
    trl.GRPOConfig = lambda **named: config(**{**named, "bf16": as_on_gpus})

    def save(trainer, folder, *rest):
        buffers = {name.rsplit(".", 1)[-1]: str(b.dtype) for name, b in trainer.model_wrapped.named_buffers()}
        (Path(sys.argv[1]) / "buffers.json").write_text(json.dumps(buffers))
        saved(trainer, folder, *rest)

    ours.save_weights = save
    ranks.run(Path(sys.argv[1]))
