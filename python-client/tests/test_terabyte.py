"""A region of a terabyte costs no more than its record where files may have holes."""

import pathlib
import time

import conftest
import numpy as np

import pmshelf

TIB = 1 << 40


def test_a_tebibyte_region_lives_in_milliseconds_and_reads_as_zero(tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    sections = f'[[pool]]\nname = "default"\npath = "{pool}"\npreallocate = false\n'
    daemon = conftest.system.Daemon(tmp_path / "d", sections).start()
    try:
        client = pmshelf.connect(f"unix:{daemon.run}/data.sock")
        shelf = client.shelf("big", size_mb=(TIB >> 20) + 64)
        begin = time.monotonic()
        shelf.x = pmshelf.ndarray((TIB,), np.uint8)
        x = shelf.x
        x[:100] = 1
        x[-100:] = 2
        x[:100].persist()
        x[-100:].persist()
        assert x[50] == 1 and x[-1] == 2 and x[TIB // 2] == 0
        assert shelf.items[0].nbytes == TIB
        del x
        shelf.erase("x")
        took = time.monotonic() - begin
        assert took < 10, f"{took} s: something walks through the terabyte"
        stored = sum(f.stat().st_blocks * 512 for f in pathlib.Path(pool).iterdir())
        assert stored < 64 << 20
        shelf.close()
        client.close()
    finally:
        daemon.kill()
