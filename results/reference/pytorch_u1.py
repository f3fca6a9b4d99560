#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws with the bundled picture model in plain PyTorch on the CPU: a yardstick for joulemark's speed,
and a second opinion on its pictures. Needs torch and numpy; see pictures.md beside this file.

    pytorch_u1.py MODEL.gguf --ids 0,4602,968,1560,2 --noise noise.f32 --check xpred0.f32
    pytorch_u1.py MODEL.gguf --batch 8 --threads 2 --steps 16
"""
import argparse
import math
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F


def read_gguf(path):
    """Metadata, and tensors as f32 (F32 and F16 only)."""
    data = memoryview(open(path, "rb").read())
    at = 8
    sizes = "BbHhIif?  Qqd"  # struct codes by kind; 8 is text, 9 a list

    def take(fmt):
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values if len(values) > 1 else values[0]

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return bytes(data[at - n:at]).decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, n = take("I"), take("Q")
            return [value(inner) for _ in range(n)]
        return take(sizes[kind])

    n_tensors, n_keys = take("QQ")
    meta, where, tensors = {}, {}, {}
    for _ in range(n_keys):
        key = text()
        meta[key] = value(take("I"))
    for _ in range(n_tensors):
        name, n_dims = text(), take("I")
        dims = [take("Q") for _ in range(n_dims)]
        where[name] = dims, take("I"), take("Q")
    align = meta.get("general.alignment", 32)
    start = (at + align - 1) // align * align
    for name, (dims, kind, offset) in where.items():
        if kind > 1:
            raise SystemExit(f"{name}: format {kind}; only F32 and F16 are read here")
        dtype = np.dtype("<f4" if kind == 0 else "<f2")
        flat = np.frombuffer(data, dtype, math.prod(dims), start + offset)
        tensors[name] = torch.from_numpy(flat.reshape(dims[::-1]).astype(np.float32))
    return meta, tensors


def rms_norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def turn(x, pos, base):
    """Rotary positions of the last dimension, halves paired. pos [tokens]; x [..., tokens, d]."""
    d = x.shape[-1]
    angle = pos[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = angle.cos().float(), angle.sin().float()
    a, b = x[..., : d // 2], x[..., d // 2:]
    return torch.cat([a * c - b * s, a * s + b * c], -1)


def turn_pairs(x, pos, base):
    """The same with neighbours (2i, 2i + 1) paired."""
    d = x.shape[-1]
    angle = pos[:, None] * base ** (-torch.arange(0, d, 2).double() / d)
    c, s = angle.cos().float(), angle.sin().float()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)


class Model:
    def __init__(self, path):
        meta, self.w = read_gguf(path)
        key = meta["general.architecture"] + "."
        self.k = {name[len(key):]: v for name, v in meta.items() if name.startswith(key)}
        k = self.k
        self.layers, self.heads = k["block_count"], k["attention.head_count"]
        self.kv_heads, self.dim = k["attention.head_count_kv"], k["attention.key_length"]
        self.eps = k["attention.layer_norm_rms_epsilon"]
        self.patch, self.merge = k["vision.patch_size"], k["vision.merge_size"]
        self.cell = self.patch * self.merge

    def affine(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def place(self, x, name, suffix, heads, t, h, w):
        """Heads of q or k: norms of both halves, then positions. x [batch, tokens, heads * dim]."""
        x = x.unflatten(-1, (heads, self.dim)).transpose(1, 2)
        half, quarter = self.dim // 2, self.dim // 4
        a = rms_norm(x[..., :half], self.w[name + suffix + ".weight"], self.eps)
        b = rms_norm(x[..., half:], self.w[name + "_hw" + suffix + ".weight"], self.eps)
        base = self.k["rope.freq_base_hw"]
        return torch.cat([turn(a, t, self.k["rope.freq_base"]),
                          turn(b[..., :quarter], h, base), turn(b[..., quarter:], w, base)], -1)

    def layer(self, i, x, suffix, t, h, w, past):
        """One layer over x [batch, tokens, hidden]; past: keys and values before, or None (causal)."""
        at = f"language_model.model.layers.{i}."

        def linear(name, y):
            return F.linear(y, self.w[at + name + ".weight"])

        y = rms_norm(x, self.w[at + "input_layernorm" + suffix + ".weight"], self.eps)
        q = self.place(linear("self_attn.q_proj" + suffix, y), at + "self_attn.q_norm", suffix,
                       self.heads, t, h, w)
        k = self.place(linear("self_attn.k_proj" + suffix, y), at + "self_attn.k_norm", suffix,
                       self.kv_heads, t, h, w)
        v = linear("self_attn.v_proj" + suffix, y).unflatten(-1, (self.kv_heads, self.dim))
        v, own = v.transpose(1, 2), None
        own = k, v
        if past:
            k, v = (torch.cat([p.expand(len(x), -1, -1, -1), n], 2) for p, n in zip(past, own))
        each = self.heads // self.kv_heads
        k, v = k.repeat_interleave(each, 1), v.repeat_interleave(each, 1)
        score = q @ k.transpose(-1, -2) / math.sqrt(self.dim)
        if not past:
            score += torch.full(score.shape[-2:], -math.inf).triu(1)
        y = (score.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear("self_attn.o_proj" + suffix, y)
        y = rms_norm(x, self.w[at + "post_attention_layernorm" + suffix + ".weight"], self.eps)
        mlp = "mlp" + suffix
        y = F.silu(linear(mlp + ".gate_proj", y)) * linear(mlp + ".up_proj", y)
        return x + linear(mlp + ".down_proj", y), own

    def prompt(self, ids):
        """Keys and values of each layer, which all steps read."""
        x = self.w["language_model.model.embed_tokens.weight"][ids][None]
        t, zero, kept = torch.arange(len(ids)).double(), torch.zeros(len(ids)).double(), []
        for i in range(self.layers):
            x, own = self.layer(i, x, "", t, zero, zero, None)
            kept.append(own)
        return kept, len(ids)

    def scalar(self, name, value):
        """Embeds a number."""
        n = self.w[f"fm_modules.{name}.mlp.0.weight"].shape[1] // 2
        angle = value * torch.exp(-math.log(10000.0) * torch.arange(n) / n)
        x = torch.cat([angle.cos(), angle.sin()])
        return self.affine(f"fm_modules.{name}.mlp.2",
                           F.silu(self.affine(f"fm_modules.{name}.mlp.0", x)))

    def embed(self, z):
        """Pixels [batch, 3, height, width] to cells [batch, cells, hidden]."""
        at = "fm_modules.vision_model_mot_gen.embeddings."
        x = F.gelu(F.conv2d(z, self.w[at + "patch_embedding.weight"],
                            self.w[at + "patch_embedding.bias"], self.patch))
        rows, cols, half = x.shape[2], x.shape[3], x.shape[1] // 2
        x = x.flatten(2).transpose(1, 2)
        place = torch.arange(rows * cols)
        base = self.k["vision.rope.freq_base"]
        x = torch.cat([turn_pairs(x[..., :half], (place % cols).double(), base),
                       turn_pairs(x[..., half:], (place // cols).double(), base)], -1)
        x = x.transpose(1, 2).unflatten(2, (rows, cols))
        x = F.conv2d(x, self.w[at + "dense_embedding.weight"], self.w[at + "dense_embedding.bias"],
                     self.merge)
        return x.flatten(2).transpose(1, 2)

    def noise_scale(self, cells):
        k, scale = self.k, self.k["noise_scale"]
        if k["noise_scale_mode"] == "resolution":
            scale *= math.sqrt(cells / k["noise_scale_base_image_seq_len"])
        return min(scale, k["noise_scale_max_value"])

    def predict(self, z, time, prompt):
        """The clean pixels that the model sees in z [batch, 3, height, width]."""
        kept, n_text = prompt
        rows, cols = z.shape[2] // self.cell, z.shape[3] // self.cell
        x = self.embed(z) + self.scalar("timestep_embedder", time)
        if self.k.get("add_noise_scale_embedding"):
            scale = self.noise_scale(rows * cols) / self.k["noise_scale_max_value"]
            x = x + self.scalar("noise_scale_embedder", scale)
        place = torch.arange(rows * cols)
        t = torch.full((rows * cols,), float(n_text)).double()
        h, w = (place // cols).double(), (place % cols).double()
        for i in range(self.layers):
            x, _ = self.layer(i, x, "_mot_gen", t, h, w, kept[i])
        x = rms_norm(x, self.w["language_model.model.norm_mot_gen.weight"], self.eps)
        x = self.affine("fm_modules.fm_head.2", F.gelu(self.affine("fm_modules.fm_head.0", x)))
        x = x.unflatten(-1, (self.cell, self.cell, 3)).unflatten(1, (rows, cols))
        return x.permute(0, 5, 1, 3, 2, 4).reshape(z.shape)

    def draw(self, noise, ids, steps):
        """Euler steps without guidance or time shift. Returns pictures, the first prediction and
        seconds a step."""
        prompt, seconds, first = self.prompt(ids), [], None
        z = noise * self.noise_scale(noise.shape[2] * noise.shape[3] // self.cell ** 2)
        for i in range(steps):
            start, t = time.perf_counter(), i / steps
            x = self.predict(z, t, prompt)
            first = x if first is None else first
            z = z + (x - z) / max(1 - t, self.k["t_eps"]) / steps
            seconds.append(time.perf_counter() - start)
        return z, first, seconds


def compare(name, path, got):
    want = torch.from_numpy(np.fromfile(path, "<f4"))
    off = (got.flatten() - want).abs().max().item()
    print(f"{name}: largest difference {off:.2e}, largest value {want.abs().max().item():.3f}")
    if not off < 1e-3:
        raise SystemExit(f"{name}: not the same model as {path}")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--ids", default="0,4602,968,1560,2", help="the prompt's tokens (red apple)")
    p.add_argument("--noise", help="f32 file of one picture's noise; without it, seed 0")
    p.add_argument("--check", help="f32 file that the first prediction must equal to 1e-3")
    p.add_argument("--final", help="f32 file that the picture must equal to 1e-3")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = Model(a.model)
    side = model.k["default.image_size"]
    noise = torch.randn(1, 3, side, side)
    if a.noise:
        noise = torch.from_numpy(np.fromfile(a.noise, "<f4")).view(1, 3, side, side)
    ids = [int(i) for i in a.ids.split(",")]
    with torch.inference_mode():
        z, first, seconds = model.draw(noise.repeat(a.batch, 1, 1, 1), ids, a.steps)
    if a.check:
        compare("first prediction", a.check, first[0])
    if a.final:
        compare("picture", a.final, z[0])
    ms = sorted(1e3 * s for s in seconds)
    print(f"torch {torch.__version__}, {a.threads} threads, batch {a.batch}: "
          f"{ms[len(ms) // 2]:.2f} ms a step (median of {len(ms)}, best {ms[0]:.2f})")


if __name__ == "__main__":
    main()
