#!/usr/bin/env python3
"""Write grids.rs, the codebooks of the IQ formats, from ggml's Python package `gguf`: python make_grids.py > grids.rs"""
import numpy as np
from gguf import quants

GRIDS = (quants.IQ2_XXS, quants.IQ2_XS, quants.IQ2_S, quants.IQ3_XXS, quants.IQ3_S, quants.IQ1_S)

print("//! Codebooks of the IQ formats, written by make_grids.py. Source: ggml, `ggml-common.h` (`iq2xxs_grid` and so on).\n//!")
print("//! Each entry holds the levels of eight columns in two bits each, or of four columns in four bits, the first column lowest.")
for kind in GRIDS:
    kind.init_grid()
    levels = np.searchsorted(kind.grid_map, kind.grid.reshape(kind.grid_shape))
    assert (np.array(kind.grid_map)[levels] == kind.grid.reshape(kind.grid_shape)).all()
    n, width = kind.grid_shape
    entries = (levels << (np.arange(width) * 16 // width)).sum(-1)
    values = ", ".join(str(int(v)) for v in kind.grid_map)
    print(f"\n/// Levels: {values}.\n#[rustfmt::skip]\npub(super) static {kind.__name__}: [u16; {n}] = [")
    for row in entries.reshape(-1, 16):
        print("    " + " ".join(f"0x{v:04x}," for v in row))
    print("];")
