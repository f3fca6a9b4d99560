/* SPDX-License-Identifier: Apache-2.0 */
/* See safetensors.h. Layout of a file:
 *
 *   u64 n, little endian    n bytes of JSON    the tensors' data
 *
 *   JSON: {"NAME": {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, …},
 *   offsets from the start of the data; "__metadata__" holds strings instead. */
#include "workloads/model/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/model/json.h"

enum { LENGTH_BYTES = 8, SHOWN_BYTES = 96, MAX_NAME = 255 };

struct shard {
    char *path;
    jm_map map; /* empty when the caller holds the bytes */
    const uint8_t *data;
    size_t bytes;
    size_t data_at;
};

struct entry {
    char *name; /* owned */
    struct jm_tensor t;
    float *vector; /* owned; of a vector that is not F32 in the file */
    uint64_t dims[JM_SAFETENSORS_MAX_DIMS];
    uint32_t n_dims;
    uint64_t begin, end; /* in the data of its shard */
    size_t shard;
};

struct jm_safetensors {
    char *path;
    struct shard *shards; /* [n_shards] */
    size_t n_shards;
    struct entry *entries; /* [n_entries], by name once open */
    size_t n_entries;
    cJSON *config; /* NULL: none */
};

struct shown {
    char text[SHOWN_BYTES];
};

/* A name from a file made fit for a message. */
static struct shown show(const char *s)
{
    struct shown out = { .text = "" };
    for (size_t i = 0; s && s[i] && i < SHOWN_BYTES - 1; i++)
        out.text[i] = (char)(s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?');
    return out;
}

void jm_safetensors_close(jm_safetensors *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_entries; i++) {
        free(f->entries[i].name);
        free(f->entries[i].vector);
    }
    for (size_t i = 0; i < f->n_shards; i++) {
        jm_map_close(&f->shards[i].map);
        free(f->shards[i].path);
    }
    cJSON_Delete(f->config);
    free(f->entries);
    free(f->shards);
    free(f->path);
    free(f);
}

/* ---- one tensor of a header ---- */

static jm_status bad(const struct shard *s, const char *name, const char *what, jm_err *err)
{
    return jm_fail(err, JM_EINPUT, "%s: tensor %s: %s; the file is damaged", s->path,
                   show(name).text, what);
}

/* The three values of a tensor's object; each must be there once, and nothing else. */
static bool take_fields(const cJSON *item, const cJSON **dtype, const cJSON **shape,
                        const cJSON **offsets)
{
    const cJSON *c;
    if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) != 3)
        return false;
    *dtype = *shape = *offsets = NULL;
    cJSON_ArrayForEach(c, item)
    {
        if (cJSON_IsString(c) && strcmp(c->string, "dtype") == 0)
            *dtype = c;
        else if (cJSON_IsArray(c) && strcmp(c->string, "shape") == 0)
            *shape = c;
        else if (cJSON_IsArray(c) && strcmp(c->string, "data_offsets") == 0)
            *offsets = c;
    }
    return *dtype && *shape && *offsets && cJSON_GetArraySize(*offsets) == 2;
}

/* Dimensions, row length first; cols and rows that fit. A number alone is a vector of one. */
static bool read_shape(const cJSON *shape, struct entry *e)
{
    int n = cJSON_GetArraySize(shape);
    uint64_t rows = 1;
    const cJSON *c;
    if (n > JM_SAFETENSORS_MAX_DIMS)
        return false;
    e->n_dims = n > 0 ? (uint32_t)n : 1;
    e->dims[0] = 1;
    cJSON_ArrayForEach(c, shape)
    {
        uint64_t d;
        if (!jm_json_u64(c, &d) || d == 0 || d > UINT32_MAX)
            return false;
        e->dims[--n] = d;
    }
    for (uint32_t i = 1; i < e->n_dims; i++)
        if (!jm_mul_u64(rows, e->dims[i], &rows) || rows > UINT32_MAX)
            return false;
    e->t.cols = (uint32_t)e->dims[0];
    e->t.rows = (uint32_t)rows;
    return true;
}

static jm_status read_format(const struct shard *s, const char *name, const char *dtype,
                             jm_format *out, jm_err *err)
{
    static const jm_format known[] = { JM_F32, JM_F16, JM_BF16 };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(dtype, jm_format_info(known[i])->name) == 0) {
            *out = known[i];
            return JM_OK;
        }
    }
    return jm_fail(err, JM_EUNSUPPORTED,
                   "%s: tensor %s is %s, and only F32, F16 and BF16 can be read", s->path,
                   show(name).text, show(dtype).text);
}

static jm_status read_tensor(const struct shard *s, const cJSON *item, struct entry *e, jm_err *err)
{
    const cJSON *dtype, *shape, *offsets;
    uint64_t bytes;
    if (!item->string[0] || strlen(item->string) > MAX_NAME)
        return bad(s, item->string, "a name of no or too many bytes", err);
    if (!take_fields(item, &dtype, &shape, &offsets))
        return bad(s, item->string, "not dtype, shape and data_offsets, once each", err);
    jm_status st = read_format(s, item->string, dtype->valuestring, &e->t.format, err);
    if (st != JM_OK)
        return st;
    if (!read_shape(shape, e))
        return bad(s, item->string, "a shape that is not 1 to 4 sizes above 0 that fit", err);
    if (!jm_json_u64(cJSON_GetArrayItem(offsets, 0), &e->begin) ||
        !jm_json_u64(cJSON_GetArrayItem(offsets, 1), &e->end) || e->begin > e->end ||
        e->end > s->bytes - s->data_at)
        return bad(s, item->string, "data_offsets outside the file", err);
    size_t row = jm_format_row_bytes(e->t.format, e->t.cols);
    if (!jm_mul_u64(row, e->t.rows, &bytes) || bytes != e->end - e->begin)
        return bad(s, item->string, "its shape and data_offsets give different sizes", err);
    e->t.data = s->data + s->data_at + e->begin;
    e->t.mapped = s->map.data != NULL;
    if ((uintptr_t)e->t.data % jm_format_info(e->t.format)->block_bytes)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "%s: tensor %s does not start at a whole multiple of its element's size; "
                       "save the file again with a current safetensors",
                       s->path, show(item->string).text);
    e->name = strdup(item->string);
    return e->name ? JM_OK : jm_fail(err, JM_ENOMEM, "%s: out of memory", s->path);
}

/* ---- one file ---- */

static jm_status check_metadata(const struct shard *s, const cJSON *item, jm_err *err)
{
    const cJSON *c;
    bool ok = cJSON_IsObject(item);
    if (ok)
        cJSON_ArrayForEach(c, item)
        {
            ok = ok && cJSON_IsString(c);
        }
    return ok ? JM_OK : bad(s, "__metadata__", "not an object of strings", err);
}

static jm_status add_tensors(jm_safetensors *f, size_t shard, const cJSON *root, jm_err *err)
{
    const cJSON *item;
    jm_status st = JM_OK;
    size_t want = f->n_entries + (size_t)cJSON_GetArraySize(root);
    struct entry *more = realloc(f->entries, (want + 1) * sizeof *more);
    if (!more)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", f->path);
    f->entries = more;
    cJSON_ArrayForEach(item, root)
    {
        struct entry *e = &f->entries[f->n_entries];
        if (strcmp(item->string, "__metadata__") == 0) {
            st = check_metadata(&f->shards[shard], item, err);
        } else {
            *e = (struct entry){ .shard = shard };
            st = read_tensor(&f->shards[shard], item, e, err);
            f->n_entries += st == JM_OK;
        }
        if (st != JM_OK)
            return st;
    }
    return JM_OK;
}

static int by_begin(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Every byte of the data belongs to exactly one tensor. */
static jm_status check_cover(const struct shard *s, struct entry *e, size_t n, jm_err *err)
{
    uint64_t at = 0;
    if (n > 1)
        qsort(e, n, sizeof *e, by_begin);
    for (size_t i = 0; i < n; i++) {
        if (e[i].begin != at)
            return bad(s, e[i].name,
                       e[i].begin < at ? "overlaps another tensor" : "a gap lies before it", err);
        at = e[i].end;
    }
    if (at != s->bytes - s->data_at)
        return jm_fail(err, JM_EINPUT, "%s: %llu bytes of data, but its tensors have %llu", s->path,
                       (unsigned long long)(s->bytes - s->data_at), (unsigned long long)at);
    return JM_OK;
}

static jm_status read_shard(jm_safetensors *f, size_t shard, jm_err *err)
{
    struct shard *s = &f->shards[shard];
    cJSON *root = NULL;
    uint64_t n = 0;
    for (size_t i = 0; i < LENGTH_BYTES && s->bytes >= LENGTH_BYTES; i++)
        n |= (uint64_t)s->data[i] << (8 * i);
    if (s->bytes < LENGTH_BYTES || n > s->bytes - LENGTH_BYTES)
        return jm_fail(err, JM_EINPUT,
                       "%s: the header is longer than the file; it is cut off or no safetensors",
                       s->path);
    if (n > JM_JSON_MAX_BYTES)
        return jm_fail(err, JM_EINPUT, "%s: a header of %llu bytes, more than the %d allowed",
                       s->path, (unsigned long long)n, JM_JSON_MAX_BYTES);
    jm_status st = jm_json_parse(s->data + LENGTH_BYTES, (size_t)n, s->path, &root, err);
    if (st == JM_OK && !cJSON_IsObject(root))
        st = jm_fail(err, JM_EINPUT, "%s: the header is not a JSON object", s->path);
    s->data_at = LENGTH_BYTES + (size_t)n;
    size_t first = f->n_entries;
    if (st == JM_OK)
        st = add_tensors(f, shard, root, err);
    if (st == JM_OK)
        st = check_cover(s, f->entries + first, f->n_entries - first, err);
    cJSON_Delete(root);
    return st;
}

/* ---- all files ---- */

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Norms and biases are F32 in a graph; they are small. */
static jm_status widen_vector(struct entry *e, jm_err *err)
{
    if (e->n_dims > 1 || e->t.format == JM_F32)
        return JM_OK;
    e->vector = malloc(e->t.cols * sizeof *e->vector);
    if (!e->vector)
        return jm_fail(err, JM_ENOMEM, "tensor %s: out of memory", show(e->name).text);
    jm_format_decode(e->t.format, e->t.data, e->vector, e->t.cols);
    e->t.data = e->vector;
    e->t.mapped = false;
    e->t.format = JM_F32;
    return JM_OK;
}

static jm_status finish(jm_safetensors *f, jm_err *err)
{
    jm_status st = JM_OK;
    if (f->n_entries > 1)
        qsort(f->entries, f->n_entries, sizeof *f->entries, by_name);
    for (size_t i = 0; i < f->n_entries && st == JM_OK; i++) {
        struct entry *e = &f->entries[i];
        e->t.name = e->name;
        if (i > 0 && strcmp(e->name, e[-1].name) == 0)
            return jm_fail(err, JM_EINPUT, "%s: tensor %s is given twice", f->path,
                           show(e->name).text);
        st = widen_vector(e, err);
    }
    return st;
}

static const struct entry *find(const jm_safetensors *f, const char *name)
{
    struct entry key = { .name = (char *)(uintptr_t)name };
    return f->n_entries ? bsearch(&key, f->entries, f->n_entries, sizeof key, by_name) : NULL;
}

/* Takes ownership of path, which may be NULL: out of memory. */
static jm_status add_file(jm_safetensors *f, char *path, jm_err *err)
{
    struct shard s = { .path = path };
    if (!path)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", f->path);
    jm_status st = jm_map_open(path, &s.map, err);
    struct shard *more = st == JM_OK ? realloc(f->shards, (f->n_shards + 1) * sizeof *more) : NULL;
    if (!more) {
        st = st == JM_OK ? jm_fail(err, JM_ENOMEM, "%s: out of memory", path) : st;
        jm_map_close(&s.map);
        free(path);
        return st;
    }
    s.data = s.map.data;
    s.bytes = s.map.bytes;
    f->shards = more;
    f->shards[f->n_shards++] = s;
    return read_shard(f, f->n_shards - 1, err);
}

/* ---- sharded models ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_plain_file_name(const char *s)
{
    return s[0] && s[0] != '.' && !strchr(s, '/') && strlen(s) <= MAX_NAME;
}

/* The distinct shards of a weight map, sorted, in names [size of map]; their strings stay the
 * map's. */
static jm_status shard_names(const jm_safetensors *f, const cJSON *map, const char **names,
                             size_t *n, jm_err *err)
{
    const cJSON *c;
    size_t all = 0;
    cJSON_ArrayForEach(c, map)
    {
        if (!cJSON_IsString(c) || !is_plain_file_name(c->valuestring))
            return jm_fail(err, JM_EINPUT, "%s: weight_map: tensor %s: not the name of a file",
                           f->path, show(c->string).text);
        names[all++] = c->valuestring;
    }
    if (all > 1)
        qsort(names, all, sizeof *names, compare_text);
    *n = 0;
    for (size_t i = 0; i < all; i++)
        if (*n == 0 || strcmp(names[*n - 1], names[i]) != 0)
            names[(*n)++] = names[i];
    if (*n == 0 || *n > JM_SAFETENSORS_MAX_SHARDS)
        return jm_fail(err, JM_EINPUT, "%s: weight_map names %zu files, not 1 to %d", f->path, *n,
                       JM_SAFETENSORS_MAX_SHARDS);
    return JM_OK;
}

/* Each tensor of the map is in the file that the map says. */
static jm_status check_map(const jm_safetensors *f, const cJSON *map, const char *const *names,
                           jm_err *err)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, map)
    {
        const struct entry *e = find(f, c->string);
        if (!e || strcmp(names[e->shard], c->valuestring) != 0)
            return jm_fail(err, JM_EINPUT, "%s: tensor %s is not in %s, where the index has it",
                           f->path, show(c->string).text, show(c->valuestring).text);
    }
    return JM_OK;
}

static jm_status open_index(jm_safetensors *f, const char *folder, const char *index, jm_err *err)
{
    jm_map file;
    cJSON *root = NULL;
    size_t n = 0;
    jm_status st = jm_map_open(index, &file, err);
    if (st != JM_OK)
        return st;
    st = jm_json_parse(file.data, file.bytes, index, &root, err);
    jm_map_close(&file);
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    if (st == JM_OK && !cJSON_IsObject(map))
        st = jm_fail(err, JM_EINPUT, "%s: no object weight_map in it", index);
    const char **names =
        st == JM_OK ? calloc((size_t)cJSON_GetArraySize(map) + 1, sizeof *names) : NULL;
    if (st == JM_OK && !names)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", index);
    if (st == JM_OK)
        st = shard_names(f, map, names, &n, err);
    for (size_t i = 0; i < n && st == JM_OK; i++)
        st = add_file(f, jm_asprintf("%s/%s", folder, names[i]), err);
    if (st == JM_OK)
        st = finish(f, err);
    if (st == JM_OK)
        st = check_map(f, map, names, err);
    free(names);
    cJSON_Delete(root);
    return st;
}

static jm_status read_config(jm_safetensors *f, const char *folder, jm_err *err)
{
    jm_map file;
    jm_err why = { 0 };
    char *path = jm_asprintf("%s/config.json", folder);
    if (!path)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", folder);
    jm_status st = jm_map_open(path, &file, &why);
    if (st == JM_OK) {
        st = jm_json_parse(file.data, file.bytes, path, &f->config, err);
        jm_map_close(&file);
    } else if (st == JM_ENOTFOUND) {
        st = JM_OK;
    } else {
        st = jm_fail(err, st, "%s", why.text);
    }
    free(path);
    return st;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* The file to begin with, and its folder. Both owned by the caller, NULL when out of memory. */
static void find_start(const char *path, char **start, char **folder)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        *start = strdup(path);
        *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
        return;
    }
    *folder = strdup(path);
    *start = jm_asprintf("%s/model.safetensors.index.json", path);
    if (*start && stat(*start, &info) != 0) {
        free(*start);
        *start = jm_asprintf("%s/model.safetensors", path);
    }
}

static jm_status begin(const char *path, jm_safetensors **out, jm_err *err)
{
    jm_safetensors *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f || !(f->path = strdup(path))) {
        free(f);
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    }
    *out = f;
    return JM_OK;
}

static jm_status end(jm_status st, jm_safetensors **f)
{
    if (st != JM_OK) {
        jm_safetensors_close(*f);
        *f = NULL;
    }
    return st;
}

jm_status jm_safetensors_open(const char *path, jm_safetensors **out, jm_err *err)
{
    char *start = NULL, *folder = NULL;
    jm_status st = begin(path, out, err);
    if (st != JM_OK)
        return st;
    find_start(path, &start, &folder);
    if (!start || !folder)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    if (st == JM_OK && ends_with(start, ".json")) {
        st = open_index(*out, folder, start, err);
    } else if (st == JM_OK) {
        st = add_file(*out, strdup(start), err);
        if (st == JM_OK)
            st = finish(*out, err);
    }
    if (st == JM_OK)
        st = read_config(*out, folder, err);
    free(start);
    free(folder);
    return end(st, out);
}

jm_status jm_safetensors_open_memory(const void *data, size_t bytes, const char *name,
                                     jm_safetensors **out, jm_err *err)
{
    jm_status st = begin(name, out, err);
    if (st != JM_OK)
        return st;
    jm_safetensors *f = *out;
    f->shards = calloc(1, sizeof *f->shards);
    if (f->shards) {
        f->n_shards = 1;
        f->shards[0] = (struct shard){ .path = strdup(name), .data = data, .bytes = bytes };
    }
    if (!f->shards || !f->shards[0].path)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", name);
    if (st == JM_OK)
        st = read_shard(f, 0, err);
    if (st == JM_OK)
        st = finish(f, err);
    return end(st, out);
}

/* ---- getters ---- */

const char *jm_safetensors_path(const jm_safetensors *f)
{
    return f->path;
}

uint64_t jm_safetensors_bytes(const jm_safetensors *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->n_shards; i++)
        n += f->shards[i].bytes; /* mapped together: they fit */
    return n;
}

size_t jm_safetensors_shard_count(const jm_safetensors *f)
{
    return f->n_shards;
}

const char *jm_safetensors_shard_path(const jm_safetensors *f, size_t i)
{
    return f->shards[i].path;
}

char *jm_safetensors_folder(const jm_safetensors *f)
{
    const char *path = jm_safetensors_shard_path(f, 0), *slash = strrchr(path, '/');
    return slash ? jm_asprintf("%.*s", slash == path ? 1 : (int)(slash - path), path) : strdup(".");
}

size_t jm_safetensors_tensor_count(const jm_safetensors *f)
{
    return f->n_entries;
}

const struct jm_tensor *jm_safetensors_tensor_at(const jm_safetensors *f, size_t i)
{
    return &f->entries[i].t;
}

const struct jm_tensor *jm_safetensors_tensor(const jm_safetensors *f, const char *name,
                                              uint64_t dims[JM_SAFETENSORS_MAX_DIMS],
                                              uint32_t *n_dims)
{
    const struct entry *e = find(f, name);
    if (!e)
        return NULL;
    if (dims)
        memcpy(dims, e->dims, sizeof e->dims);
    if (n_dims)
        *n_dims = e->n_dims;
    return &e->t;
}

static const cJSON *config_item(const jm_safetensors *f, const char *section, const char *key)
{
    const cJSON *from = f->config;
    if (section)
        from = cJSON_GetObjectItemCaseSensitive(from, section);
    return cJSON_GetObjectItemCaseSensitive(from, key);
}

bool jm_safetensors_has_config(const jm_safetensors *f)
{
    return f->config != NULL;
}

bool jm_safetensors_u32(const jm_safetensors *f, const char *section, const char *key,
                        uint32_t *out)
{
    uint64_t v;
    if (!jm_json_u64(config_item(f, section, key), &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

bool jm_safetensors_f64(const jm_safetensors *f, const char *section, const char *key, double *out)
{
    const cJSON *c = config_item(f, section, key);
    if (!cJSON_IsNumber(c))
        return false;
    *out = c->valuedouble;
    return true;
}

bool jm_safetensors_bool(const jm_safetensors *f, const char *section, const char *key, bool *out)
{
    const cJSON *c = config_item(f, section, key);
    if (!cJSON_IsBool(c))
        return false;
    *out = cJSON_IsTrue(c) != 0;
    return true;
}

bool jm_safetensors_str(const jm_safetensors *f, const char *section, const char *key,
                        const char **out)
{
    const cJSON *c = config_item(f, section, key);
    if (!cJSON_IsString(c))
        return false;
    *out = c->valuestring;
    return true;
}
