/* SPDX-License-Identifier: Apache-2.0 */
/* Reader of GGUF files. Layout (all little endian):
 *
 *   "GGUF"  u32 version  u64 n_tensors  u64 n_keys
 *   n_keys x    { string key; u32 type; value }
 *   n_tensors x { string name; u32 n_dims; u64 dim[n_dims]; u32 type; u64 offset }
 *   padding to the alignment, then the tensors' data, each at its offset from here
 *
 *   string: u64 length, bytes.  array: u32 element type, u64 count, elements.
 *
 * Everything is checked when the file is opened; the getters then only look up. */
#include "workloads/model/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/model/gguf_internal.h"

enum {
    MIN_KEY_BYTES = 8 + 4 + 1,            /* an empty key and a one-byte value */
    MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8, /* an empty name and one dimension */
    SHOWN_BYTES = 72,                     /* of a name, in messages */
};

struct entry { /* one key of the metadata */
    jm_str key;
    size_t at; /* byte offset of the entry in the file, for messages */
    uint32_t type;
    uint32_t item_type;   /* of an array */
    size_t n;             /* items of an array */
    const uint8_t *value; /* string and array: the first byte after the lengths */
    jm_str *strs;         /* [n]; owned; array of strings */
    int32_t *ints;        /* [n]; owned; array of integers that all fit */
};

struct place { /* what the file says of a tensor, beside its jm_tensor */
    size_t at;
    uint32_t type;
    uint32_t n_dims;
    uint64_t dim[JM_GGUF_MAX_DIMS];
    uint64_t offset; /* from the start of the data */
    uint64_t bytes;
};

struct jm_gguf {
    char *path;
    jm_map map; /* empty when the caller holds the bytes */
    const uint8_t *data;
    size_t bytes;
    uint32_t version;
    uint32_t alignment;
    size_t metadata_at, metadata_end;
    size_t data_at;
    struct entry *entries; /* [n_entries], sorted by key */
    size_t n_entries;
    struct jm_tensor *tensors; /* [n_tensors], in the file's order */
    struct place *places;      /* [n_tensors] */
    size_t n_tensors;
    size_t *by_name; /* [n_tensors] indices, sorted by name */
};

/* A position in the file. The first failure sticks; reads after it give zeros. */
struct cursor {
    const jm_gguf *f;
    size_t at;
    jm_status st;
    jm_err *err;
};

struct shown {
    char text[SHOWN_BYTES];
};

/* A name from the file made fit for a message: cut, and without control bytes. */
static struct shown show(jm_str s)
{
    struct shown out = { .text = "" };
    size_t n = s.n < SHOWN_BYTES - 1 ? s.n : SHOWN_BYTES - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        out.text[i] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
    }
    return out;
}

static int compare_strs(jm_str a, jm_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- primitive reads ---- */

static bool take(struct cursor *c, uint64_t n, const char *what, const uint8_t **p)
{
    if (c->st != JM_OK)
        return false;
    size_t left = c->f->bytes - c->at;
    if (n > left) {
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: %s needs %llu bytes but the file has only %zu more; it is "
                        "cut off or damaged: copy it again",
                        c->f->path, c->at, what, (unsigned long long)n, left);
        return false;
    }
    *p = c->f->data + c->at;
    c->at += (size_t)n;
    return true;
}

static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint32_t read_u32(struct cursor *c, const char *what)
{
    const uint8_t *p;
    return take(c, 4, what, &p) ? (uint32_t)load_le(p, 4) : 0;
}

static uint64_t read_u64(struct cursor *c, const char *what)
{
    const uint8_t *p;
    return take(c, 8, what, &p) ? load_le(p, 8) : 0;
}

static jm_str read_str(struct cursor *c, const char *what)
{
    const uint8_t *p;
    uint64_t n = read_u64(c, what);
    if (!take(c, n, what, &p))
        return (jm_str){ .p = "", .n = 0 };
    return (jm_str){ .p = (const char *)p, .n = (size_t)n };
}

/* Refuses a count whose items, at their smallest, would not fit in the rest of the file. */
static bool count_fits(struct cursor *c, uint64_t n, size_t item_bytes, const char *what)
{
    if (c->st == JM_OK && n > (c->f->bytes - c->at) / item_bytes)
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: %llu %s cannot fit in the remaining %zu bytes; the file is "
                        "cut off or damaged: copy it again",
                        c->f->path, c->at, (unsigned long long)n, what, c->f->bytes - c->at);
    return c->st == JM_OK;
}

static jm_status out_of_memory(const jm_gguf *f, jm_err *err)
{
    return jm_fail(err, JM_ENOMEM, "%s: out of memory while reading the header", f->path);
}

/* calloc that gives a pointer for no items too. */
static void *new_array(size_t n, size_t item_bytes)
{
    return calloc(n > 0 ? n : 1, item_bytes);
}

/* ---- metadata ---- */

/* Bytes of a value of fixed size; 0 for strings, arrays and unknown types. */
static size_t value_bytes(uint32_t type)
{
    static const uint8_t bytes[JM_GGUF_VALUE_COUNT] = {
        [JM_GGUF_U8] = 1,  [JM_GGUF_I8] = 1,  [JM_GGUF_U16] = 2, [JM_GGUF_I16] = 2,
        [JM_GGUF_U32] = 4, [JM_GGUF_I32] = 4, [JM_GGUF_F32] = 4, [JM_GGUF_BOOL] = 1,
        [JM_GGUF_U64] = 8, [JM_GGUF_I64] = 8, [JM_GGUF_F64] = 8,
    };
    return type < JM_GGUF_VALUE_COUNT ? bytes[type] : 0;
}

/* An integer of any width at p. false: another type, or a u64 beyond i64. */
static bool load_integer(uint32_t type, const uint8_t *p, int64_t *out)
{
    uint64_t v = load_le(p, value_bytes(type));
    switch (type) {
    case JM_GGUF_U8:
    case JM_GGUF_U16:
    case JM_GGUF_U32:
        *out = (int64_t)v;
        return true;
    case JM_GGUF_U64:
        *out = (int64_t)v;
        return v <= INT64_MAX;
    case JM_GGUF_I8:
        *out = (int8_t)v;
        return true;
    case JM_GGUF_I16:
        *out = (int16_t)v;
        return true;
    case JM_GGUF_I32:
        *out = (int32_t)v;
        return true;
    case JM_GGUF_I64:
        *out = (int64_t)v;
        return true;
    default:
        return false;
    }
}

static void read_strings(struct cursor *c, struct entry *e)
{
    if (!count_fits(c, e->n, 8, "strings of an array"))
        return;
    e->strs = new_array(e->n, sizeof *e->strs);
    if (!e->strs)
        c->st = out_of_memory(c->f, c->err);
    for (size_t i = 0; i < e->n && c->st == JM_OK; i++)
        e->strs[i] = read_str(c, "a string of an array");
}

/* Integers are copied to i32 where all fit, so that callers get an aligned array. */
static void keep_integers(struct cursor *c, struct entry *e)
{
    int64_t v;
    size_t step = value_bytes(e->item_type);
    for (size_t i = 0; i < e->n; i++)
        if (!load_integer(e->item_type, e->value + i * step, &v) || v < INT32_MIN || v > INT32_MAX)
            return;
    if (e->item_type == JM_GGUF_F32 || e->item_type == JM_GGUF_F64 || e->item_type == JM_GGUF_BOOL)
        return; /* only reached when empty */
    e->ints = new_array(e->n, sizeof *e->ints);
    if (!e->ints) {
        c->st = out_of_memory(c->f, c->err);
        return;
    }
    for (size_t i = 0; i < e->n; i++) {
        load_integer(e->item_type, e->value + i * step, &v);
        e->ints[i] = (int32_t)v;
    }
}

static void read_array(struct cursor *c, struct entry *e)
{
    size_t at = c->at;
    e->item_type = read_u32(c, "an array's type");
    uint64_t n = read_u64(c, "an array's length");
    if (c->st != JM_OK)
        return;
    size_t step = value_bytes(e->item_type);
    if (e->item_type == JM_GGUF_ARRAY)
        c->st = jm_fail(c->err, JM_EUNSUPPORTED,
                        "%s: byte %zu: key \"%s\" is an array of arrays, which is not supported",
                        c->f->path, at, show(e->key).text);
    else if (step == 0 && e->item_type != JM_GGUF_STRING)
        c->st =
            jm_fail(c->err, JM_EINPUT, "%s: byte %zu: key \"%s\" is an array of unknown type %u",
                    c->f->path, at, show(e->key).text, e->item_type);
    else if (count_fits(c, n, step > 0 ? step : 8, "items of an array")) {
        e->n = (size_t)n;
        e->value = c->f->data + c->at;
        if (step == 0) {
            read_strings(c, e);
        } else {
            take(c, n * step, "an array", &e->value);
            keep_integers(c, e);
        }
    }
}

static void read_entry(struct cursor *c, struct entry *e)
{
    e->at = c->at;
    e->key = read_str(c, "a metadata key");
    size_t type_at = c->at;
    e->type = read_u32(c, "a metadata type");
    if (c->st != JM_OK)
        return;
    size_t fixed = value_bytes(e->type);
    if (fixed > 0) {
        take(c, fixed, "a metadata value", &e->value);
    } else if (e->type == JM_GGUF_STRING) {
        jm_str s = read_str(c, "a metadata string");
        e->value = (const uint8_t *)s.p;
        e->n = s.n;
    } else if (e->type == JM_GGUF_ARRAY) {
        read_array(c, e);
    } else {
        c->st = jm_fail(c->err, JM_EINPUT, "%s: byte %zu: key \"%s\" has unknown type %u",
                        c->f->path, type_at, show(e->key).text, e->type);
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = compare_strs(x->key, y->key);
    return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

static void read_metadata(struct cursor *c, jm_gguf *f, uint64_t n)
{
    if (!count_fits(c, n, MIN_KEY_BYTES, "metadata keys"))
        return;
    f->entries = new_array((size_t)n, sizeof *f->entries);
    if (!f->entries) {
        c->st = out_of_memory(f, c->err);
        return;
    }
    f->n_entries = (size_t)n;
    f->metadata_at = c->at;
    for (size_t i = 0; i < f->n_entries && c->st == JM_OK; i++)
        read_entry(c, &f->entries[i]);
    f->metadata_end = c->at;
    if (c->st != JM_OK)
        return;
    qsort(f->entries, f->n_entries, sizeof *f->entries, compare_entries);
    for (size_t i = 1; i < f->n_entries; i++) {
        if (compare_strs(f->entries[i - 1].key, f->entries[i].key) == 0) {
            c->st = jm_fail(c->err, JM_EINPUT, "%s: byte %zu: key \"%s\" appears a second time",
                            f->path, f->entries[i].at, show(f->entries[i].key).text);
            return;
        }
    }
}

static const struct entry *find_entry(const jm_gguf *f, const char *key)
{
    struct entry want = { .key = { .p = key, .n = strlen(key) } };
    size_t low = 0, high = f->n_entries;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare_strs(f->entries[mid].key, want.key);
        if (c == 0)
            return &f->entries[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void read_alignment(struct cursor *c, jm_gguf *f)
{
    f->alignment = JM_GGUF_DEFAULT_ALIGNMENT;
    const struct entry *e = find_entry(f, "general.alignment");
    if (c->st != JM_OK || !e)
        return;
    if (e->type == JM_GGUF_U32)
        f->alignment = (uint32_t)load_le(e->value, 4);
    if (e->type != JM_GGUF_U32 || f->alignment < 8 || (f->alignment & (f->alignment - 1)) != 0)
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: general.alignment must be a u32 that is a power of two and "
                        "at least 8",
                        f->path, e->at);
}

/* ---- tensor types ---- */

struct type_row {
    uint32_t id;
    jm_format format;
};

static const struct type_row types[] = {
    { .id = 0, .format = JM_F32 },     { .id = 1, .format = JM_F16 },
    { .id = 2, .format = JM_Q4_0 },    { .id = 6, .format = JM_Q5_0 },
    { .id = 8, .format = JM_Q8_0 },    { .id = 10, .format = JM_Q2_K },
    { .id = 11, .format = JM_Q3_K },   { .id = 12, .format = JM_Q4_K },
    { .id = 13, .format = JM_Q5_K },   { .id = 14, .format = JM_Q6_K },
    { .id = 20, .format = JM_IQ4_NL }, { .id = 30, .format = JM_BF16 },
    { .id = 35, .format = JM_TQ2_0 },  { .id = JM_GGUF_TYPE_STQ1_0, .format = JM_STQ1_0 },
};

uint32_t jm_gguf_type_id(jm_format format)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].format == format)
            return types[i].id;
    return 0;
}

/* Id 42 gives STQ1_0 here; resolve_type_42 says whether that is right. */
static bool format_of_type(uint32_t id, jm_format *out)
{
    if (id == JM_GGUF_TYPE_STQ1_0_FIRST)
        id = JM_GGUF_TYPE_STQ1_0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].id == id) {
            *out = types[i].format;
            return true;
        }
    }
    return false;
}

/* Names of types that exist and cannot be decoded here. */
static const char *foreign_type_name(uint32_t id)
{
    static const char *const names[] = {
        [3] = "Q4_1",    [7] = "Q5_1",     [9] = "Q8_1",   [15] = "Q8_K",  [16] = "IQ2_XXS",
        [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S",
        [23] = "IQ4_XS", [24] = "I8",      [25] = "I16",   [26] = "I32",   [27] = "I64",
        [28] = "F64",    [29] = "IQ1_M",   [34] = "TQ1_0", [39] = "MXFP4", [40] = "NVFP4",
        [41] = "Q1_0",
    };
    return id < sizeof names / sizeof names[0] && names[id] ? names[id] : "unknown";
}

/* ---- tensors ---- */

/* Dimensions to rows and columns. */
static void read_shape(struct cursor *c, struct place *p, struct jm_tensor *t)
{
    size_t at = c->at;
    p->n_dims = read_u32(c, "a tensor's dimensions");
    if (c->st == JM_OK && (p->n_dims < 1 || p->n_dims > JM_GGUF_MAX_DIMS)) {
        c->st =
            jm_fail(c->err, JM_EINPUT, "%s: byte %zu: tensor \"%s\" has %u dimensions, not 1 to %d",
                    c->f->path, at, show((jm_str){ .p = t->name, .n = strlen(t->name) }).text,
                    p->n_dims, JM_GGUF_MAX_DIMS);
        return;
    }
    uint64_t rows = 1;
    bool fits = true;
    for (uint32_t d = 0; d < p->n_dims && c->st == JM_OK; d++) {
        p->dim[d] = read_u64(c, "a tensor's dimension");
        if (d > 0)
            fits = jm_mul_u64(rows, p->dim[d], &rows) && fits;
        fits = fits && p->dim[d] > 0 && p->dim[d] <= UINT32_MAX && rows <= UINT32_MAX;
    }
    if (c->st == JM_OK && !fits)
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: tensor \"%s\" has a dimension that is zero or too large",
                        c->f->path, at, show((jm_str){ .p = t->name, .n = strlen(t->name) }).text);
    t->cols = (uint32_t)p->dim[0];
    t->rows = (uint32_t)rows;
}

static void read_type(struct cursor *c, struct place *p, struct jm_tensor *t)
{
    size_t at = c->at;
    p->type = read_u32(c, "a tensor's type");
    if (c->st != JM_OK)
        return;
    struct shown name = show((jm_str){ .p = t->name, .n = strlen(t->name) });
    if (!format_of_type(p->type, &t->format)) {
        c->st =
            jm_fail(c->err, JM_EUNSUPPORTED,
                    "%s: byte %zu: tensor \"%s\" has type %u (%s), which cannot be decoded; use "
                    "a file in F16, Q8_0, Q4_K or Q4_0",
                    c->f->path, at, name.text, p->type, foreign_type_name(p->type));
        return;
    }
    p->bytes = jm_format_row_bytes(t->format, t->cols);
    /* The row length of id 42 is judged later: it may not be STQ1_0 at all. */
    if (p->bytes == 0 && p->type != JM_GGUF_TYPE_STQ1_0_FIRST)
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: tensor \"%s\" has rows of %u weights, not whole blocks of "
                        "%u as %s needs",
                        c->f->path, at, name.text, t->cols, jm_format_info(t->format)->block,
                        jm_format_info(t->format)->name);
    else if (!jm_mul_u64(p->bytes, t->rows, &p->bytes))
        c->st = jm_fail(c->err, JM_EINPUT, "%s: byte %zu: tensor \"%s\" is larger than any file",
                        c->f->path, at, name.text);
}

static void read_tensor(struct cursor *c, struct place *p, struct jm_tensor *t)
{
    p->at = c->at;
    jm_str name = read_str(c, "a tensor's name");
    if (c->st == JM_OK && (name.n == 0 || memchr(name.p, '\0', name.n) != NULL)) {
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: a tensor's name is empty or holds a zero byte", c->f->path,
                        p->at);
        return;
    }
    char *copy = c->st == JM_OK ? strndup(name.p, name.n) : NULL;
    if (!copy) {
        if (c->st == JM_OK)
            c->st = out_of_memory(c->f, c->err);
        return;
    }
    t->name = copy;
    read_shape(c, p, t);
    if (c->st == JM_OK)
        read_type(c, p, t);
    size_t at = c->at;
    p->offset = read_u64(c, "a tensor's offset");
    if (c->st == JM_OK && p->offset % c->f->alignment != 0)
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte %zu: tensor \"%s\" has offset %llu, not a multiple of the "
                        "alignment %u",
                        c->f->path, at, show(name).text, (unsigned long long)p->offset,
                        c->f->alignment);
}

/* Sorting indices needs the array they point into, so pairs are sorted. */
struct named {
    const char *name;
    size_t index;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->index > y->index) - (x->index < y->index);
}

static void sort_names(struct cursor *c, jm_gguf *f)
{
    struct named *pairs = new_array(f->n_tensors, sizeof *pairs);
    f->by_name = new_array(f->n_tensors, sizeof *f->by_name);
    if (!pairs || !f->by_name) {
        free(pairs);
        c->st = out_of_memory(f, c->err);
        return;
    }
    for (size_t i = 0; i < f->n_tensors; i++)
        pairs[i] = (struct named){ .name = f->tensors[i].name, .index = i };
    qsort(pairs, f->n_tensors, sizeof *pairs, compare_named);
    for (size_t i = 0; i < f->n_tensors; i++) {
        f->by_name[i] = pairs[i].index;
        if (c->st == JM_OK && i > 0 && strcmp(pairs[i - 1].name, pairs[i].name) == 0)
            c->st = jm_fail(c->err, JM_EINPUT, "%s: byte %zu: tensor \"%s\" appears a second time",
                            f->path, f->places[pairs[i].index].at,
                            show((jm_str){ .p = pairs[i].name, .n = strlen(pairs[i].name) }).text);
    }
    free(pairs);
}

static void read_tensors(struct cursor *c, jm_gguf *f, uint64_t n)
{
    if (!count_fits(c, n, MIN_TENSOR_BYTES, "tensors"))
        return;
    f->tensors = new_array((size_t)n, sizeof *f->tensors);
    f->places = new_array((size_t)n, sizeof *f->places);
    if (!f->tensors || !f->places) {
        c->st = out_of_memory(f, c->err);
        return;
    }
    f->n_tensors = (size_t)n;
    for (size_t i = 0; i < f->n_tensors && c->st == JM_OK; i++)
        read_tensor(c, &f->places[i], &f->tensors[i]);
    if (c->st == JM_OK)
        sort_names(c, f);
}

/* ---- data ---- */

struct extent {
    uint64_t offset;
    size_t index;
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset > y->offset ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Whether a tensor of id 42, read as blocks of so many weights and bytes, fills the room that the
 * offsets leave for it: exactly, but for the padding to the alignment. */
static bool fills(const jm_gguf *f, size_t i, uint64_t room, uint32_t block, uint32_t block_bytes)
{
    const struct jm_tensor *t = &f->tensors[i];
    uint64_t bytes;
    return t->cols % block == 0 &&
           jm_mul_u64((uint64_t)(t->cols / block) * block_bytes, t->rows, &bytes) &&
           bytes <= room && room - bytes < f->alignment;
}

/* Type 42 is STQ1_0 in files of its first release and Q2_0 (2 bits and a scale for 64 or 128
 * weights) elsewhere. All tensors of a file share one meaning; ends[k] closes the room of
 * order[k]. */
static void resolve_type_42(struct cursor *c, const jm_gguf *f, const struct extent *order,
                            const uint64_t *ends)
{
    bool stq = true, q2_64 = true, q2_128 = true;
    size_t first = SIZE_MAX;
    for (size_t k = 0; k < f->n_tensors; k++) {
        size_t i = order[k].index;
        if (f->places[i].type != JM_GGUF_TYPE_STQ1_0_FIRST)
            continue;
        uint64_t room = ends[k] > order[k].offset ? ends[k] - order[k].offset : 0;
        stq = stq && fills(f, i, room, 256, 42);
        q2_64 = q2_64 && fills(f, i, room, 64, 18);
        q2_128 = q2_128 && fills(f, i, room, 128, 34);
        first = i < first ? i : first;
    }
    if (first == SIZE_MAX || (stq && !q2_64 && !q2_128))
        return;
    const char *verdict = "and no meaning of that type fits the offsets; the file is damaged";
    if (stq)
        verdict = "which by its size may be STQ1_0 or Q2_0; convert it again with a newer tool";
    else if (q2_64 || q2_128)
        verdict = "which by its size is Q2_0 and cannot be decoded";
    const char *name = f->tensors[first].name;
    c->st = jm_fail(c->err, stq || q2_64 || q2_128 ? JM_EUNSUPPORTED : JM_EINPUT,
                    "%s: byte %zu: tensor \"%s\" has type 42, %s", f->path, f->places[first].at,
                    show((jm_str){ .p = name, .n = strlen(name) }).text, verdict);
}

/* Every tensor must lie in the file and end before the next begins. */
static void check_extents(struct cursor *c, const jm_gguf *f, const struct extent *order,
                          const uint64_t *ends)
{
    for (size_t k = 0; k < f->n_tensors; k++) {
        size_t i = order[k].index;
        const struct place *p = &f->places[i];
        if (p->offset <= ends[k] && p->bytes <= ends[k] - p->offset)
            continue;
        const char *name = f->tensors[i].name;
        bool last = ends[k] == f->bytes - f->data_at;
        c->st = jm_fail(
            c->err, JM_EINPUT, "%s: byte %zu: tensor \"%s\" of %llu bytes at offset %llu %s",
            f->path, p->at, show((jm_str){ .p = name, .n = strlen(name) }).text,
            (unsigned long long)p->bytes, (unsigned long long)p->offset,
            last ? "reaches beyond the end of the file; it is cut off or damaged: copy it again"
                 : "overlaps the next tensor; the file is damaged");
        return;
    }
}

static void place_tensors(struct cursor *c, jm_gguf *f)
{
    uint64_t start;
    /* A file without tensors need not be padded to the start of its data. */
    if (!jm_align_u64(c->at, f->alignment, &start) || (start > f->bytes && f->n_tensors > 0)) {
        c->st = jm_fail(c->err, JM_EINPUT, "%s: byte %zu: the file ends before the tensors' data",
                        f->path, c->at);
        return;
    }
    f->data_at = start > f->bytes ? f->bytes : (size_t)start;
    uint64_t data_bytes = f->bytes - f->data_at;
    struct extent *order = new_array(f->n_tensors, sizeof *order);
    uint64_t *ends = new_array(f->n_tensors, sizeof *ends);
    if (!order || !ends) {
        c->st = out_of_memory(f, c->err);
    } else {
        for (size_t i = 0; i < f->n_tensors; i++)
            order[i] = (struct extent){ .offset = f->places[i].offset, .index = i };
        qsort(order, f->n_tensors, sizeof *order, compare_extents);
        for (size_t k = 0; k < f->n_tensors; k++) {
            uint64_t next = k + 1 < f->n_tensors ? order[k + 1].offset : data_bytes;
            ends[k] = next < data_bytes ? next : data_bytes;
        }
        resolve_type_42(c, f, order, ends);
        if (c->st == JM_OK)
            check_extents(c, f, order, ends);
        for (size_t i = 0; i < f->n_tensors && c->st == JM_OK; i++)
            f->tensors[i].data = f->data + f->data_at + f->places[i].offset;
    }
    free(order);
    free(ends);
}

/* ---- opening ---- */

static void read_header(struct cursor *c, jm_gguf *f, uint64_t *n_tensors, uint64_t *n_keys)
{
    const uint8_t *magic;
    if (!take(c, 4, "the magic number", &magic))
        return;
    if (memcmp(magic, "GGUF", 4) != 0) {
        c->st = jm_fail(c->err, JM_EINPUT,
                        "%s: byte 0: not a GGUF file: it does not begin with \"GGUF\"", f->path);
        return;
    }
    f->version = read_u32(c, "the version");
    if (c->st == JM_OK && f->version != 2 && f->version != 3) {
        bool swapped = f->version != 0 && (f->version & 0xffff) == 0;
        c->st = jm_fail(c->err, JM_EUNSUPPORTED,
                        "%s: byte 4: GGUF version %u is not supported, only 2 and 3%s", f->path,
                        f->version, swapped ? "; the file seems to be big-endian" : "");
    }
    *n_tensors = read_u64(c, "the number of tensors");
    *n_keys = read_u64(c, "the number of metadata keys");
}

static jm_status parse(jm_gguf *f, jm_err *err)
{
    struct cursor c = { .f = f, .st = JM_OK, .err = err };
    uint64_t n_tensors = 0, n_keys = 0;
    read_header(&c, f, &n_tensors, &n_keys);
    if (c.st == JM_OK)
        read_metadata(&c, f, n_keys);
    if (c.st == JM_OK)
        read_alignment(&c, f);
    if (c.st == JM_OK)
        read_tensors(&c, f, n_tensors);
    if (c.st == JM_OK)
        place_tensors(&c, f);
    return c.st;
}

jm_status jm_gguf_open_memory(const void *data, size_t bytes, const char *name, jm_gguf **out,
                              jm_err *err)
{
    *out = NULL;
    jm_gguf *f = calloc(1, sizeof *f);
    if (f)
        f->path = strdup(name);
    if (!f || !f->path) {
        jm_gguf_close(f);
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", name);
    }
    f->data = data;
    f->bytes = bytes;
    jm_status st = parse(f, err);
    if (st != JM_OK) {
        jm_gguf_close(f);
        return st;
    }
    *out = f;
    return JM_OK;
}

jm_status jm_gguf_open(const char *path, jm_gguf **out, jm_err *err)
{
    jm_map map;
    *out = NULL;
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    st = jm_gguf_open_memory(map.data, map.bytes, path, out, err);
    if (st != JM_OK) {
        jm_map_close(&map);
        return st;
    }
    (*out)->map = map;
    for (size_t i = 0; i < (*out)->n_tensors; i++)
        (*out)->tensors[i].mapped = true;
    return JM_OK;
}

void jm_gguf_close(jm_gguf *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_entries; i++) {
        free(f->entries[i].strs);
        free(f->entries[i].ints);
    }
    for (size_t i = 0; i < f->n_tensors; i++)
        free((void *)(uintptr_t)f->tensors[i].name);
    free(f->entries);
    free(f->tensors);
    free(f->places);
    free(f->by_name);
    jm_map_close(&f->map);
    free(f->path);
    free(f);
}

/* ---- getters ---- */

const char *jm_gguf_path(const jm_gguf *f)
{
    return f->path;
}

size_t jm_gguf_bytes(const jm_gguf *f)
{
    return f->bytes;
}

uint32_t jm_gguf_version(const jm_gguf *f)
{
    return f->version;
}

bool jm_gguf_u32(const jm_gguf *f, const char *key, uint32_t *out)
{
    const struct entry *e = find_entry(f, key);
    int64_t v;
    if (!e || value_bytes(e->type) == 0 || !load_integer(e->type, e->value, &v) || v < 0 ||
        v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

bool jm_gguf_f64(const jm_gguf *f, const char *key, double *out)
{
    const struct entry *e = find_entry(f, key);
    if (e && e->type == JM_GGUF_F32) {
        uint32_t bits = (uint32_t)load_le(e->value, 4);
        float x;
        memcpy(&x, &bits, sizeof x);
        *out = (double)x;
        return true;
    }
    if (e && e->type == JM_GGUF_F64) {
        uint64_t bits = load_le(e->value, 8);
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    return false;
}

bool jm_gguf_bool(const jm_gguf *f, const char *key, bool *out)
{
    const struct entry *e = find_entry(f, key);
    if (!e || e->type != JM_GGUF_BOOL)
        return false;
    *out = e->value[0] != 0;
    return true;
}

bool jm_gguf_str(const jm_gguf *f, const char *key, jm_str *out)
{
    const struct entry *e = find_entry(f, key);
    if (!e || e->type != JM_GGUF_STRING)
        return false;
    *out = (jm_str){ .p = (const char *)e->value, .n = e->n };
    return true;
}

jm_status jm_gguf_check_architecture(const jm_gguf *f, const char *architecture, const char *kind,
                                     jm_err *err)
{
    jm_str s;
    if (!jm_gguf_str(f, "general.architecture", &s))
        return jm_fail(err, JM_EINPUT, "%s: no general.architecture in the metadata",
                       jm_gguf_path(f));
    if (s.n == strlen(architecture) && memcmp(s.p, architecture, s.n) == 0)
        return JM_OK;
    int shown = s.n > 64 ? 64 : (int)s.n;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: architecture '%.*s' is not a %s known here; supported: %s", jm_gguf_path(f),
                   shown, s.p, kind, architecture);
}

bool jm_gguf_str_array(const jm_gguf *f, const char *key, const jm_str **items, size_t *n)
{
    const struct entry *e = find_entry(f, key);
    if (!e || !e->strs)
        return false;
    *items = e->strs;
    *n = e->n;
    return true;
}

bool jm_gguf_i32_array(const jm_gguf *f, const char *key, const int32_t **items, size_t *n)
{
    const struct entry *e = find_entry(f, key);
    if (!e || !e->ints)
        return false;
    *items = e->ints;
    *n = e->n;
    return true;
}

size_t jm_gguf_tensor_count(const jm_gguf *f)
{
    return f->n_tensors;
}

const struct jm_tensor *jm_gguf_tensor_at(const jm_gguf *f, size_t i)
{
    return &f->tensors[i];
}

const struct jm_tensor *jm_gguf_tensor(const jm_gguf *f, const char *name)
{
    size_t low = 0, high = f->n_tensors;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct jm_tensor *t = &f->tensors[f->by_name[mid]];
        int c = strcmp(t->name, name);
        if (c == 0)
            return t;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* ---- for the writer ---- */

const uint8_t *jm_gguf_metadata(const jm_gguf *f, size_t *bytes, uint64_t *n_keys)
{
    *bytes = f->metadata_end - f->metadata_at;
    *n_keys = f->n_entries;
    return f->data + f->metadata_at;
}

const uint8_t *jm_gguf_value_at(const jm_gguf *f, const char *key, enum jm_gguf_value type)
{
    const struct entry *e = find_entry(f, key);
    return e && e->type == (uint32_t)type ? e->value : NULL;
}

uint32_t jm_gguf_alignment(const jm_gguf *f)
{
    return f->alignment;
}

uint32_t jm_gguf_dims(const jm_gguf *f, size_t i, uint64_t dims[JM_GGUF_MAX_DIMS])
{
    memcpy(dims, f->places[i].dim, sizeof f->places[i].dim);
    return f->places[i].n_dims;
}
