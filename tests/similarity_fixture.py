#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/similarity.json: PSNR and SSIM of made pictures, by scikit-image.

    tests/similarity_fixture.py >tests/fixtures/similarity.json     # needs python3-skimage

The pictures are made from whole numbers alone, and again by tests/test_image.c.
"""
import json
import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def pictures(width, height, noise):
    state = 12345
    a = np.zeros((height, width, 3), dtype=np.uint8)
    b = np.zeros((height, width, 3), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                state = (state * 1664525 + 1013904223) % 2**32
                base = (x * (3 + c) + y * (5 - c)) % 256
                a[y, x, c] = base
                b[y, x, c] = min(255, max(0, base + (state >> 24) % (2 * noise + 1) - noise))
    return a, b


cases = []
for width, height, noise in [(11, 11, 20), (64, 64, 0), (64, 64, 1), (64, 64, 8), (64, 64, 60),
                             (37, 50, 25), (50, 37, 127)]:
    a, b = pictures(width, height, noise)
    cases.append({
        "width": width, "height": height, "noise": noise,
        "psnr_db": None if noise == 0 else peak_signal_noise_ratio(a, b, data_range=255),
        "ssim": structural_similarity(a, b, data_range=255, channel_axis=-1, gaussian_weights=True,
                                      sigma=1.5, use_sample_covariance=False),
    })
print(json.dumps({"made_by": "scikit-image " + skimage.__version__, "cases": cases}, indent=1))
