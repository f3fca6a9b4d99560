/* SPDX-License-Identifier: Apache-2.0 */
/* See synth.h. The shapes, and the writing. */
#include "workloads/model/synth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/number.h"
#include "workloads/model/synth_internal.h"

/* Hy-MT's rotary base is 10,000 * 1000^(128/126) in its files: the scaling is folded in. Sources:
 * the models' public configuration files. */
static const struct jm_synth_dims shapes[] = {
    { .shape = { .name = "hy-mt-1.8b", .summary = "Hy-MT1.5-1.8B, the translator" },
      .family = JM_SYNTH_HUNYUAN,
      .layers = 32,
      .hidden = 2048,
      .ffn = 6144,
      .heads = 16,
      .kv_heads = 4,
      .head_dim = 128,
      .vocab = 120818,
      .special = 818,
      .context = 262144,
      .eps = 1e-5f,
      .rope_base = 11158840.0f },
    { .shape = { .name = "tiny-mt", .summary = "the bundled tiny translator" },
      .family = JM_SYNTH_HUNYUAN,
      .layers = 6,
      .hidden = 256,
      .ffn = 768,
      .heads = 4,
      .kv_heads = 2,
      .head_dim = 64,
      .vocab = 8192,
      .special = 32,
      .context = 256,
      .eps = 1e-5f,
      .rope_base = 10000.0f },
    { .shape = { .name = "u1-8b", .summary = "SenseNova-U1-8B-MoT, the picture generator" },
      .family = JM_SYNTH_U1,
      .layers = 36,
      .hidden = 4096,
      .ffn = 12288,
      .heads = 32,
      .kv_heads = 8,
      .head_dim = 128,
      .vocab = 151936,
      .special = 293,
      .context = 262144,
      .eps = 1e-6f,
      .rope_base = 5000000.0f,
      .head = true,
      .patch = 16,
      .vision_width = 1024,
      .head_width = 4096,
      .image_size = 2048,
      .steps = 50,
      .cfg = 4.0f,
      .shift = 3.0f },
    { .shape = { .name = "tiny-u1", .summary = "a tiny picture generator of 64 x 64 pixels" },
      .family = JM_SYNTH_U1,
      .layers = 6,
      .hidden = 256,
      .ffn = 768,
      .heads = 4,
      .kv_heads = 2,
      .head_dim = 64,
      .vocab = 8192,
      .special = 32,
      .context = 512,
      .eps = 1e-6f,
      .rope_base = 10000.0f,
      .patch = 4,
      .vision_width = 64,
      .head_width = 512,
      .image_size = 64,
      .steps = 16,
      .cfg = 2.0f,
      .shift = 1.0f },
};

enum { N_SHAPES = sizeof shapes / sizeof shapes[0], MAX_LAYERS = 1024 };

const struct jm_synth_shape *jm_synth_shape_at(size_t i)
{
    return i < N_SHAPES ? &shapes[i].shape : NULL;
}

/* NAME or NAME-LN. */
static jm_status find_shape(const struct jm_synth_options *o, struct jm_synth_dims *d, jm_err *err)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        const char *name = shapes[i].shape.name;
        const char *rest = o->shape + strlen(name);
        uint32_t n = shapes[i].layers;
        if (strncmp(o->shape, name, strlen(name)) != 0)
            continue;
        *d = shapes[i];
        d->shape.name = o->shape;
        if (*rest && (strncmp(rest, "-L", 2) != 0 || !rest[2] ||
                      rest[2 + strspn(rest + 2, "0123456789")] != '\0'))
            continue;
        if (*rest && !jm_number_u32(rest + 2, 1, MAX_LAYERS, &n))
            n = 0;
        if (o->layers > 0)
            n = o->layers;
        if (n == 0 || n > MAX_LAYERS)
            return jm_fail(err, JM_EUSAGE, "%s: layers must be 1 to %d", o->shape, MAX_LAYERS);
        d->layers = n;
        return JM_OK;
    }
    char names[256] = "";
    for (size_t i = 0, at = 0; i < N_SHAPES; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s",
                               i == 0              ? ""
                               : i + 1 == N_SHAPES ? " or "
                                                   : ", ",
                               shapes[i].shape.name);
    return jm_fail(err, JM_ENOTFOUND, "no shape '%s'; use %s, with -LN behind it for N layers",
                   o->shape, names);
}

struct work {
    const struct jm_synth_options *o;
    const struct jm_synth_tensor *tensors;
    float *row; /* [longest row] */
    jm_rng rng;
    uint64_t bytes, done;
};

/* FNV-1a of the name, mixed with the seed. */
static void start_tensor(struct work *w, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    w->rng.state = w->o->seed;
    w->rng.state = jm_rng_u64(&w->rng) ^ h;
    w->rng.state = jm_rng_u64(&w->rng);
}

static jm_status make_rows(void *ctx, size_t i, uint64_t row, uint64_t n, void *dst, jm_err *err)
{
    struct work *w = ctx;
    const struct jm_synth_tensor *t = &w->tensors[i];
    size_t cols = (size_t)t->dims[0];
    if (row == 0)
        start_tensor(w, t->name);
    if (t->std > 0) {
        jm_synth_rows(&w->rng, t->format, t->std, cols, n, w->row, dst);
    } else {
        for (size_t k = 0; k < cols; k++)
            w->row[k] = t->value;
        for (uint64_t r = 0; r < n; r++)
            (void)jm_format_encode(t->format, w->row, (float *)dst + r * cols, cols);
    }
    w->done += n * jm_format_row_bytes(t->format, cols);
    if (w->o->progress && !w->o->progress(w->o->ctx, (double)w->done / (double)w->bytes))
        return jm_fail(err, JM_EINTERRUPTED, "interrupted; nothing is left behind");
    return JM_OK;
}

/* Whether the folder of path has room for so many bytes beside what is there. */
static jm_status check_room(const char *path, uint64_t bytes, jm_err *err)
{
    struct statvfs fs;
    char *dir = strdup(path);
    if (!dir)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    int r = statvfs(slash ? dir : ".", &fs), cause = errno;
    free(dir);
    if (r != 0)
        return jm_fail(err, JM_EIO, "%s: cannot write: %s", path, strerror(cause));
    double room = (double)fs.f_bavail * (double)fs.f_frsize;
    if ((double)bytes > room)
        return jm_fail(err, JM_EIO,
                       "%s: the file would have %.2f GB but the disk has only %.2f GB free; choose "
                       "another folder, a smaller format or fewer layers",
                       path, (double)bytes * 1e-9, room * 1e-9);
    return JM_OK;
}

static jm_status write_file(const char *path, const struct jm_synth_options *o,
                            const struct jm_synth_tensors *list, const struct jm_gguf_keys *k,
                            jm_err *err)
{
    struct work w = { .o = o, .tensors = list->p };
    struct jm_gguf_new_tensor *tensors = calloc(list->n, sizeof *tensors);
    size_t longest = 1;
    if (!tensors)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < list->n; i++) {
        const struct jm_synth_tensor *t = &list->p[i];
        tensors[i] = (struct jm_gguf_new_tensor){ .name = t->name,
                                                  .format = t->format,
                                                  .n_dims = t->n_dims };
        memcpy(tensors[i].dims, t->dims, sizeof t->dims);
        longest = t->dims[0] > longest ? (size_t)t->dims[0] : longest;
    }
    struct jm_gguf_new n = { .metadata = k->p,
                             .metadata_bytes = k->n,
                             .n_keys = k->n_keys,
                             .tensors = tensors,
                             .n_tensors = list->n,
                             .rows = make_rows,
                             .ctx = &w };
    w.row = calloc(longest, sizeof *w.row);
    jm_status st = w.row ? jm_gguf_new_bytes(&n, &w.bytes, err)
                         : jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    if (st == JM_OK)
        st = check_room(path, w.bytes, err);
    if (st == JM_OK)
        st = jm_gguf_create(path, &n, err);
    free(w.row);
    free(tensors);
    return st;
}

jm_status jm_synth_file(const char *path, const struct jm_synth_options *o, jm_err *err)
{
    struct jm_synth_dims d;
    struct jm_synth_tensors list = { 0 };
    struct jm_gguf_keys keys = { 0 };
    jm_status st = find_shape(o, &d, err);
    if (st != JM_OK)
        return st;
    jm_synth_metadata(&d, o->format, &keys);
    jm_synth_list(&d, o->format, &list);
    if (keys.out_of_memory || list.out_of_memory)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    else
        st = write_file(path, o, &list, &keys, err);
    jm_gguf_keys_free(&keys);
    free(list.p);
    return st;
}
