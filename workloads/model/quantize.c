/* SPDX-License-Identifier: Apache-2.0 */
/* See quantize.h. */
#include "workloads/model/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "workloads/model/gguf.h"
#include "workloads/model/gguf_write.h"

/* The largest magnitude that survives: the scale is a half, whose largest value is 65504. */
static float largest_of(jm_format to)
{
    switch (to) {
    case JM_F16:
        return 65504.0f;
    case JM_Q4_0:
        return 65504.0f * 8.0f;
    case JM_Q5_0:
        return 65504.0f * 16.0f;
    case JM_Q8_0:
        return 65504.0f * 127.0f;
    case JM_Q4_K:
        return 65504.0f * 63.0f; /* the offset's; the scale reaches 15 times as far */
    case JM_Q6_K:
        return 65504.0f * 127.0f * 31.0f;
    default:
        return FLT_MAX;
    }
}

/* The next larger format of short blocks. */
static jm_format replacement_of(jm_format to)
{
    return to == JM_Q4_K ? JM_Q5_0 : to == JM_Q6_K ? JM_Q8_0 : to;
}

static jm_format format_for(const struct jm_tensor *t, jm_format to, struct jm_quantized *out)
{
    const struct jm_format_info *info = jm_format_info(to);
    bool head = strcmp(t->name, "token_embd.weight") == 0 || strcmp(t->name, "output.weight") == 0;
    if (t->rows == 1)
        return JM_F32;
    if (strncmp(t->name, "fm_modules.", 11) == 0)
        return t->format;
    if (head && info->block_bytes < info->block)
        to = JM_Q8_0;
    if (jm_format_row_bytes(to, t->cols) > 0)
        return to;
    if (jm_format_row_bytes(replacement_of(to), t->cols) == 0) {
        out->left++;
        return t->format;
    }
    out->replaced++;
    return replacement_of(to);
}

/* ctx: f32 [longest row]. */
static jm_status encode_row(void *ctx, const struct jm_tensor *t, jm_format to, uint32_t row,
                            void *dst, jm_err *err)
{
    float *x = ctx;
    size_t row_bytes = jm_format_row_bytes(t->format, t->cols);
    jm_format_decode(t->format, (const uint8_t *)t->data + (size_t)row * row_bytes, x, t->cols);
    for (uint32_t i = 0; i < t->cols; i++)
        if (!(fabsf(x[i]) <= largest_of(to)))
            return jm_fail(err, JM_EINPUT,
                           "tensor %s, row %u, column %u: weight %g is too large for %s, or not a "
                           "number",
                           t->name, row, i, (double)x[i], jm_format_info(to)->name);
    jm_format_encode(to, x, dst, t->cols);
    return JM_OK;
}

static jm_status quantize(const jm_gguf *in, const char *dst, jm_format to,
                          struct jm_quantized *out, jm_err *err)
{
    size_t n = jm_gguf_tensor_count(in);
    uint32_t longest = 1;
    for (size_t i = 0; i < n; i++)
        if (jm_gguf_tensor_at(in, i)->cols > longest)
            longest = jm_gguf_tensor_at(in, i)->cols;
    jm_format *formats = calloc(n > 0 ? n : 1, sizeof *formats);
    float *row = calloc(longest, sizeof *row);
    jm_status st = JM_OK;
    if (!formats || !row) {
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", jm_gguf_path(in));
    } else {
        for (size_t i = 0; i < n; i++)
            formats[i] = format_for(jm_gguf_tensor_at(in, i), to, out);
        const struct jm_gguf_change change = {
            .formats = formats, .file_type = jm_gguf_file_type(to), .row = encode_row, .ctx = row
        };
        st = jm_gguf_write(dst, in, &change, err);
    }
    free(formats);
    free(row);
    return st;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

jm_status jm_quantize_format(const char *name, jm_format *out, jm_err *err)
{
    if (jm_format_by_name(name, out))
        return JM_OK;
    return jm_fail(err, JM_EUSAGE,
                   "no weight format '%.32s'; use F16, Q8_0, Q6_K, Q5_0, Q4_K or Q4_0", name);
}

jm_status jm_quantize_file(const char *src, const char *dst, jm_format to, struct jm_quantized *out,
                           jm_err *err)
{
    struct jm_quantized counts = { .replacement = replacement_of(to) };
    if ((unsigned)to >= JM_FORMAT_COUNT || !jm_format_info(to)->has_encoder)
        return jm_fail(
            err, JM_EUNSUPPORTED,
            "%s cannot be written; choose F32, F16, BF16, Q4_0, Q4_K, Q5_0, Q6_K or Q8_0",
            (unsigned)to < JM_FORMAT_COUNT ? jm_format_info(to)->name : "this format");
    if (same_file(src, dst))
        return jm_fail(err, JM_EUSAGE, "%s: source and destination are the same file", dst);
    jm_gguf *in;
    jm_status st = jm_gguf_open(src, &in, err);
    if (st != JM_OK)
        return st;
    st = quantize(in, dst, to, &counts, err);
    jm_gguf_close(in);
    if (out)
        *out = counts;
    return st;
}
