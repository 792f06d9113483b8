#!/usr/bin/python3
"""Trains a softmax classifier on scikit-learn's digits, with its state on a shelf.

The data and the model live on a shelf. After every step the model is stored with one assignment,
which is atomic and durable when it returns; then the step is printed as acknowledged. Kill it at
any moment and start it again: it goes on from the last acknowledged step.

    train_digits.py --target localhost:7200 --token-file FILE    # a daemon, over TCP
    train_digits.py --dir DIRECTORY                              # this host, nothing to set up
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import pmshelf

BATCH = 32
RATE = 0.05
CLASSES = 10
MODEL = np.dtype([("step", np.int64), ("weights", np.float64, (65, CLASSES))])


def digits():
    """Pixels scaled to [0, 1] with a column of ones (n, 65), and labels (n,)."""
    data = load_digits()
    pixels = np.hstack([data.data / 16.0, np.ones((len(data.data), 1))])
    return pixels, data.target.astype(np.int64)


def train_step(model, pixels, labels):
    """One step of mini-batch gradient descent; a function of the model alone, so that a resumed
    run is bit for bit the uninterrupted one."""
    chosen = np.random.default_rng(int(model["step"])).integers(0, len(labels), BATCH)
    x, y = pixels[chosen], labels[chosen]
    scores = x @ model["weights"]
    scores -= scores.max(axis=1, keepdims=True)
    likely = np.exp(scores)
    likely /= likely.sum(axis=1, keepdims=True)
    likely[np.arange(BATCH), y] -= 1.0
    model["weights"] -= RATE * (x.T @ likely) / BATCH
    model["step"] += 1


def accuracy(model, pixels, labels):
    return float(np.mean((pixels @ model["weights"]).argmax(axis=1) == labels))


def open_shelf(options):
    if options.dir:
        return pmshelf.shelf("digits", size_mb=64, pmem_path=options.dir)
    client = pmshelf.connect(options.target, token_file=options.token_file, path=options.path)
    return client.shelf("digits", size_mb=64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="", help="daemon, for example localhost:7200")
    parser.add_argument("--token-file", default="")
    parser.add_argument("--path", default="auto", choices=["auto", "local", "tcp"])
    parser.add_argument("--dir", help="pool directory on this host, instead of --target")
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()

    shelf = open_shelf(options)
    if "pixels" not in shelf:
        shelf.pixels, shelf.labels = digits()
        print("stored the digits", flush=True)
    if "model" not in shelf:
        shelf.model = np.zeros((), MODEL)
    pixels, labels = np.array(shelf.pixels), np.array(shelf.labels)
    model = np.array(shelf.model)
    print(f"starting at step {int(model['step'])}", flush=True)
    while model["step"] < options.steps:
        train_step(model, pixels, labels)
        shelf.model = model
        print(f"acknowledged {int(model['step'])}", flush=True)
    print(f"accuracy {accuracy(model, pixels, labels):.4f} after {options.steps} steps", flush=True)
    shelf.close()


if __name__ == "__main__":
    main()
