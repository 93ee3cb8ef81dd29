"""The GPUs of this machine, as nvidia-smi tells: without importing torch."""

import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

MIB = 2**20


@dataclass(frozen=True)
class Device:
    """One GPU: its index in the order of the bus (CUDA_DEVICE_ORDER=PCI_BUS_ID), name, memory in bytes, driver version
    and the identifier by which containers name it."""

    index: str
    name: str
    memory: float
    driver: str
    uuid: str = ""


@cache
def gpus() -> tuple[Device, ...]:
    """Return the GPUs of this machine; none where its tool is not there or does not answer."""
    words = ["nvidia-smi", "--query-gpu=index,name,memory.total,driver_version,uuid", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - words of our own
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 4 and parts[2].replace(".", "", 1).isdigit():
            found.append(Device(parts[0], parts[1], float(parts[2]) * MIB, parts[3], *parts[4:5]))
    return tuple(found)


def smallest(devices: Collection[Device]) -> Device:
    """Return the GPU with the least memory: what fits on it fits on all."""
    return min(devices, key=lambda device: device.memory)


def visible(text: str | None) -> tuple[Device, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, by index or identifier; all where it is not set."""
    if text is None:
        return gpus()
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(device for device in gpus() if any(_is(device, one) for one in wanted))


def _is(device: Device, named: str) -> bool:
    return device.index == named or (named.startswith("GPU-") and device.uuid.startswith(named))
