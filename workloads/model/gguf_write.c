/* SPDX-License-Identifier: Apache-2.0 */
/* See gguf_write.h; the layout of a file is drawn in gguf.c. Write errors of stdio are sticky and
 * caught at commit, so the single writes are not checked. */
#include "workloads/model/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/model/gguf_internal.h"

struct output {
    FILE *f;
    uint64_t at; /* bytes written */
};

static void put(struct output *o, const void *p, size_t n)
{
    if (n > 0) /* p may be NULL then */
        fwrite(p, 1, n, o->f);
    o->at += n;
}

static void put_le(struct output *o, uint64_t v, size_t n)
{
    uint8_t b[8];
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)(v >> (8 * i) & 0xff);
    put(o, b, n);
}

static void put_padding(struct output *o, uint32_t alignment)
{
    while (o->at % alignment != 0)
        put_le(o, 0, 1);
}

static bool tensor_bytes(const struct jm_tensor *t, jm_format format, uint64_t *out)
{
    size_t row = jm_format_row_bytes(format, t->cols);
    return row > 0 && jm_mul_u64(row, t->rows, out);
}

/* Copies the keys with general.file_type replaced. */
static void put_metadata(struct output *o, const jm_gguf *src, uint32_t file_type)
{
    uint64_t n_keys;
    size_t bytes;
    const uint8_t *p = jm_gguf_metadata(src, &bytes, &n_keys);
    const uint8_t *type = jm_gguf_value_at(src, "general.file_type", JM_GGUF_U32);
    if (type) {
        put(o, p, (size_t)(type - p));
        put_le(o, file_type, 4);
        bytes -= (size_t)(type + 4 - p);
        p = type + 4;
    }
    put(o, p, bytes);
}

static void put_tensor_info(struct output *o, const char *name, const uint64_t *dims,
                            uint32_t n_dims, jm_format f, uint64_t offset)
{
    put_le(o, strlen(name), 8);
    put(o, name, strlen(name));
    put_le(o, n_dims, 4);
    for (uint32_t d = 0; d < n_dims; d++)
        put_le(o, dims[d], 8);
    put_le(o, jm_gguf_type_id(f), 4);
    put_le(o, offset, 8);
}

static jm_status put_header(struct output *o, const jm_gguf *src,
                            const struct jm_gguf_change *change, jm_err *err)
{
    uint64_t n_keys, offset = 0;
    size_t metadata_bytes, n = jm_gguf_tensor_count(src);
    jm_gguf_metadata(src, &metadata_bytes, &n_keys);
    put(o, "GGUF", 4);
    put_le(o, 3, 4);
    put_le(o, n, 8);
    put_le(o, n_keys, 8);
    put_metadata(o, src, change->file_type);
    for (size_t i = 0; i < n; i++) {
        const struct jm_tensor *t = jm_gguf_tensor_at(src, i);
        uint64_t dims[JM_GGUF_MAX_DIMS], bytes;
        uint32_t n_dims = jm_gguf_dims(src, i, dims);
        put_tensor_info(o, t->name, dims, n_dims, change->formats[i], offset);
        if (!tensor_bytes(t, change->formats[i], &bytes) || !jm_add_u64(offset, bytes, &offset) ||
            !jm_align_u64(offset, jm_gguf_alignment(src), &offset))
            return jm_fail(err, JM_EUSAGE, "%s: rows of %u weights cannot be stored as %s", t->name,
                           t->cols, jm_format_info(change->formats[i])->name);
    }
    put_padding(o, jm_gguf_alignment(src));
    return JM_OK;
}

static jm_status put_tensor(struct output *o, const struct jm_tensor *t, jm_format to,
                            const struct jm_gguf_change *change, jm_err *err)
{
    size_t row_bytes = jm_format_row_bytes(to, t->cols);
    if (to == t->format) {
        for (uint32_t r = 0; r < t->rows; r++)
            put(o, (const uint8_t *)t->data + (size_t)r * row_bytes, row_bytes);
        return JM_OK;
    }
    void *row = malloc(row_bytes);
    if (!row)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory for one row", t->name);
    jm_status st = JM_OK;
    /* A full disk is noticed at once, not after all rows have been encoded. */
    for (uint32_t r = 0; r < t->rows && st == JM_OK && !ferror(o->f); r++) {
        st = change->row(change->ctx, t, to, r, row, err);
        if (st == JM_OK)
            put(o, row, row_bytes);
    }
    free(row);
    return st;
}

jm_status jm_gguf_write(const char *path, const jm_gguf *src, const struct jm_gguf_change *change,
                        jm_err *err)
{
    jm_writer w;
    jm_status st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    struct output o = { .f = w.f };
    st = put_header(&o, src, change, err);
    for (size_t i = 0; i < jm_gguf_tensor_count(src) && st == JM_OK; i++) {
        st = put_tensor(&o, jm_gguf_tensor_at(src, i), change->formats[i], change, err);
        put_padding(&o, jm_gguf_alignment(src));
    }
    if (st == JM_OK)
        return jm_writer_commit(&w, err);
    jm_writer_abort(&w);
    return st;
}

/* ---- new files ---- */

enum { CHUNK_BYTES = 1 << 20 };

/* Bytes of a row, rows, and bytes of all. */
static jm_status new_tensor_size(const struct jm_gguf_new_tensor *t, uint64_t *row, uint64_t *rows,
                                 uint64_t *bytes, jm_err *err)
{
    bool fits = t->n_dims >= 1 && t->n_dims <= JM_GGUF_MAX_DIMS && t->dims[0] <= UINT32_MAX;
    *rows = 1;
    *bytes = 0;
    for (uint32_t d = 1; fits && d < t->n_dims; d++)
        fits = jm_mul_u64(*rows, t->dims[d], rows);
    *row = fits ? jm_format_row_bytes(t->format, (size_t)t->dims[0]) : 0;
    if (*row == 0 || *rows == 0 || !jm_mul_u64(*row, *rows, bytes) || *bytes > INT64_MAX / 2)
        return jm_fail(err, JM_EUSAGE, "%s: rows of %llu weights cannot be stored as %s", t->name,
                       (unsigned long long)t->dims[0], jm_format_info(t->format)->name);
    return JM_OK;
}

/* Bytes before the first tensor, padding included. */
static uint64_t header_bytes(const struct jm_gguf_new *n)
{
    uint64_t bytes = 4 + 4 + 8 + 8 + (uint64_t)n->metadata_bytes;
    for (size_t i = 0; i < n->n_tensors; i++)
        bytes += 8 + strlen(n->tensors[i].name) + 4 + 8 * (uint64_t)n->tensors[i].n_dims + 4 + 8;
    return (bytes + JM_GGUF_DEFAULT_ALIGNMENT - 1) & ~(uint64_t)(JM_GGUF_DEFAULT_ALIGNMENT - 1);
}

jm_status jm_gguf_new_bytes(const struct jm_gguf_new *n, uint64_t *bytes, jm_err *err)
{
    uint64_t total = header_bytes(n);
    for (size_t i = 0; i < n->n_tensors; i++) {
        uint64_t row, rows, size;
        jm_status st = new_tensor_size(&n->tensors[i], &row, &rows, &size, err);
        if (st != JM_OK)
            return st;
        if (!jm_add_u64(total, size, &total) ||
            !jm_align_u64(total, JM_GGUF_DEFAULT_ALIGNMENT, &total) || total > INT64_MAX)
            return jm_fail(err, JM_EUSAGE, "%s: the file would be larger than any file can be",
                           n->tensors[i].name);
    }
    *bytes = total;
    return JM_OK;
}

static void put_new_header(struct output *o, const struct jm_gguf_new *n)
{
    uint64_t offset = 0;
    put(o, "GGUF", 4);
    put_le(o, 3, 4);
    put_le(o, n->n_tensors, 8);
    put_le(o, n->n_keys, 8);
    put(o, n->metadata, n->metadata_bytes);
    for (size_t i = 0; i < n->n_tensors; i++) {
        const struct jm_gguf_new_tensor *t = &n->tensors[i];
        uint64_t row, rows, size;
        (void)new_tensor_size(t, &row, &rows, &size, NULL); /* checked by jm_gguf_new_bytes */
        put_tensor_info(o, t->name, t->dims, t->n_dims, t->format, offset);
        (void)jm_align_u64(offset + size, JM_GGUF_DEFAULT_ALIGNMENT, &offset);
    }
    put_padding(o, JM_GGUF_DEFAULT_ALIGNMENT);
}

static jm_status put_new_tensor(struct output *o, const struct jm_gguf_new *n, size_t i,
                                jm_err *err)
{
    uint64_t row, rows, size;
    jm_status st = new_tensor_size(&n->tensors[i], &row, &rows, &size, err);
    if (st != JM_OK)
        return st;
    uint64_t step = row < CHUNK_BYTES ? CHUNK_BYTES / row : 1;
    void *chunk = malloc((size_t)(step < rows ? step * row : size));
    if (!chunk)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory for a few rows", n->tensors[i].name);
    for (uint64_t r = 0; r < rows && st == JM_OK && !ferror(o->f); r += step) {
        uint64_t some = rows - r < step ? rows - r : step;
        st = n->rows(n->ctx, i, r, some, chunk, err);
        if (st == JM_OK)
            put(o, chunk, (size_t)(some * row));
    }
    free(chunk);
    put_padding(o, JM_GGUF_DEFAULT_ALIGNMENT);
    return st;
}

jm_status jm_gguf_create(const char *path, const struct jm_gguf_new *n, jm_err *err)
{
    jm_writer w;
    uint64_t bytes;
    jm_status st = jm_gguf_new_bytes(n, &bytes, err);
    if (st == JM_OK)
        st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    struct output o = { .f = w.f };
    put_new_header(&o, n);
    for (size_t i = 0; i < n->n_tensors && st == JM_OK && !ferror(w.f); i++)
        st = put_new_tensor(&o, n, i, err);
    if (st == JM_OK)
        return jm_writer_commit(&w, err);
    jm_writer_abort(&w);
    return st;
}

uint32_t jm_gguf_file_type(jm_format f)
{
    static const uint32_t numbers[JM_FORMAT_COUNT] = {
        [JM_F32] = 0,   [JM_F16] = 1,     [JM_BF16] = 32,  [JM_Q4_0] = 2,   [JM_Q5_0] = 8,
        [JM_Q8_0] = 7,  [JM_Q2_K] = 10,   [JM_Q3_K] = 11,  [JM_Q4_K] = 14,  [JM_Q5_K] = 16,
        [JM_Q6_K] = 18, [JM_IQ4_NL] = 25, [JM_TQ2_0] = 37, [JM_STQ1_0] = 1,
    };
    return numbers[f];
}
