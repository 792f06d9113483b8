#!/usr/bin/python3
"""Checkpoint of a set of arrays to the same medium: pmshelf against what people use.

Prints one JSON line for each sample. Every writer makes its files durable (fsync) before it is done.
"""

import argparse
import json
import os
import pathlib
import pickle
import time

import numpy as np

import pmshelf

try:
    import h5py
except ImportError:
    h5py = None
try:
    import torch
except ImportError:
    torch = None

SHAPES = [(1024, 1024), (4096, 1024), (64, 3, 7, 7), (1000,), (2048, 2048), (512, 512, 8)]


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def np_save(folder, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        fsync(folder / f"{name}.npy")


def np_memmap(folder, arrays):
    for name, array in arrays.items():
        target = np.memmap(folder / f"{name}.dat", array.dtype, "w+", shape=array.shape)
        target[...] = array
        target.flush()


def pickle_dump(folder, arrays):
    with open(folder / "all.pickle", "wb") as file:
        pickle.dump(arrays, file, protocol=5)
        file.flush()
        os.fsync(file.fileno())


def h5py_save(folder, arrays):
    with h5py.File(folder / "all.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    fsync(folder / "all.h5")


def torch_save(folder, arrays):
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(tensors, folder / "all.pt")
    fsync(folder / "all.pt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--suffix", default="")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    arrays = {f"w{n}": random.random(shape, np.float32) for n, shape in enumerate(SHAPES)}
    total = sum(array.nbytes for array in arrays.values())

    (options.dir / "files").mkdir()
    shelf = pmshelf.shelf("checkpoint", size_mb=8 * (total >> 20) + 64, pmem_path=options.dir / "pool")

    def ours_assign(folder, arrays):
        for name, array in arrays.items():
            shelf[name] = array

    def ours_in_place(folder, arrays):
        for name, array in arrays.items():
            target = shelf[name]
            target[...] = array
            target.persist()

    ours_assign(None, arrays)
    writers = {"pmshelf": ours_in_place, "pmshelf-assign": ours_assign, "np.save": np_save,
               "np.memmap": np_memmap, "pickle": pickle_dump}
    if h5py:
        writers["h5py"] = h5py_save
    if torch:
        writers["torch.save"] = torch_save
    for round_number in range(options.rounds + 1):
        for side, write in writers.items():
            begin = time.perf_counter()
            write(options.dir / "files", arrays)
            seconds = time.perf_counter() - begin
            if round_number > 0:
                print(json.dumps({"name": f"checkpoint{options.suffix}", "side": side, "bytes": total,
                                  "operations": 1, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
