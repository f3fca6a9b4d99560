/* SPDX-License-Identifier: Apache-2.0 */
/* See suite.h. inih is given lines by a reader of our own, which knows line numbers and sees
 * section headers, as inih's callback sees neither empty sections nor lines. */
#include "harness/suite.h"

#include <ctype.h>
#include <ini.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/edit_distance.h"
#include "base/file.h"
#include "base/number.h"

enum { MAX_BYTES = 1 << 20, MAX_WORD = 64 };

#define AT(field) .offset = offsetof(struct jm_run_config, field)
#define TEXT(field, preset_, help_)                                                                \
    {                                                                                              \
        .name = #field, .kind = JM_OPTION_TEXT, AT(field),                                         \
        .bytes = sizeof(((struct jm_run_config *)0)->field), .preset = preset_, .help = help_      \
    }
#define NUMBER(field, kind_, min_, max_, preset_, help_)                                           \
    {                                                                                              \
        .name = #field, .kind = kind_, AT(field), .min = min_, .max = max_, .preset = preset_,     \
        .help = help_                                                                              \
    }

#define FLAG(field, help_)                                                                         \
    {                                                                                              \
        .name = #field, .kind = JM_OPTION_FLAG, AT(field), .max = 1, .preset = "no", .help = help_ \
    }
/* The same three for options that may stand beside --suite. */
#define ALL_TEXT(field, preset_, help_)                                                            \
    {                                                                                              \
        .name = #field, .kind = JM_OPTION_TEXT, AT(field), .with_suite = true,                     \
        .bytes = sizeof(((struct jm_run_config *)0)->field), .preset = preset_, .help = help_      \
    }
#define ALL_NUMBER(field, kind_, min_, max_, preset_, help_)                                       \
    {                                                                                              \
        .name = #field, .kind = kind_, AT(field), .min = min_, .max = max_, .preset = preset_,     \
        .help = help_, .with_suite = true                                                          \
    }
#define ALL_FLAG(field, help_)                                                                     \
    {                                                                                              \
        .name = #field, .kind = JM_OPTION_FLAG, AT(field), .max = 1, .preset = "no",               \
        .help = help_, .with_suite = true                                                          \
    }

static const struct jm_option table[] = {
    TEXT(workload, "translate", "workload to run"),
    TEXT(model, "",
         "model: GGUF file by path or name, or folder of safetensors; empty: the one bundled"),
    TEXT(tokenizer, "",
         "tokenizer.json, or GGUF file with a tokenizer, for safetensors; empty: beside them"),
    TEXT(format, "", "weight format to quantize the model to first"),
    TEXT(kv_format, "",
         "keys and values of text are kept as F32, F16 or Q8_0; empty: the workload's own"),
    TEXT(backend, "cpu", "backend to compute on"),
    TEXT(isa, "", "instruction set, of list --kernels; empty: the best"),
    NUMBER(threads, JM_OPTION_U32, 0, 4096, "0", "threads; 0: the backend's choice"),
    TEXT(scenario, "offline", "load scenario"),
    NUMBER(batch, JM_OPTION_U32, 1, 65536, "16",
           "sequences or pictures worked on together at most"),
    NUMBER(samples_per_query, JM_OPTION_U32, 1, 65536, "8", "multi-stream: samples of a query"),
    NUMBER(target_qps, JM_OPTION_DOUBLE, 0, 1e9, "0", "server: arrivals a second"),
    NUMBER(latency_ms, JM_OPTION_DOUBLE, 0, 1e9, "0", "server: bound on the answer; 0: none"),
    NUMBER(ttft_ms, JM_OPTION_DOUBLE, 0, 1e9, "2000",
           "server: bound on the time to the first token; 0: none"),
    NUMBER(tpot_ms, JM_OPTION_DOUBLE, 0, 1e9, "200",
           "server: bound on the time a token after the first; 0: none"),
    FLAG(find_peak, "server: search the highest target-qps within the bounds"),
    TEXT(data, "", "data set, by path or name; empty: the one bundled for the workload"),
    NUMBER(size, JM_OPTION_U32, 0, 32768, "0", "pixels a side of pictures; 0: the model's own"),
    NUMBER(steps, JM_OPTION_U32, 0, 10000, "0", "steps of pictures; 0: the model's own number"),
    NUMBER(cfg, JM_OPTION_DOUBLE, -1, 1000, "-1", "guidance of pictures; -1: the model's own"),
    TEXT(languages, "", "target languages, comma separated; empty: all"),
    ALL_TEXT(preset, "", "durations and counts: quick, standard or submission; empty: as given"),
    ALL_NUMBER(repeats, JM_OPTION_U32, 1, 1000, "1", "times each run is made, in rounds"),
    ALL_FLAG(shuffle, "each round of a suite in a random order that the seed decides"),
    ALL_NUMBER(cooldown_s, JM_OPTION_DOUBLE, 0, 86400, "0", "seconds of rest before each next run"),
    NUMBER(warmup_s, JM_OPTION_DOUBLE, 0, 86400, "1", "seconds before measuring"),
    NUMBER(min_duration_s, JM_OPTION_DOUBLE, 0, 604800, "10", "seconds measured at least"),
    NUMBER(min_queries, JM_OPTION_U64, 1, 4294967295.0, "64", "queries measured at least"),
    NUMBER(max_queries, JM_OPTION_U32, 0, 100000000.0, "0",
           "queries measured at most; 0: as many as a quarter of free memory holds"),
    NUMBER(max_memory_gb, JM_OPTION_DOUBLE, 0, 1e6, "0",
           "refuse a run that needs more; 0: than is available"),
    NUMBER(seed, JM_OPTION_U64, 0, 18446744073709551615.0, "1", "seed of order and arrivals"),
    NUMBER(min_quality, JM_OPTION_DOUBLE, 0, 1, "0.99", "quality of the reference's to be valid"),
    TEXT(energy, "auto", "meters: auto, none, or NAME[=FILE][,...]; 'joulemark list' shows them"),
    NUMBER(energy_idle_s, JM_OPTION_DOUBLE, 0, 3600, "2",
           "seconds of idle power before and after, if there is a meter"),
    NUMBER(energy_error, JM_OPTION_DOUBLE, 0.0001, 1, "0.01",
           "share of the joules that their error may have"),
    NUMBER(energy_interval_ms, JM_OPTION_U32, 0, 60000, "0",
           "between readings of a meter; 0: the meter's own"),
    NUMBER(powerlog_offset_s, JM_OPTION_DOUBLE, -1e9, 1e9, "0",
           "added to the times of a power log to get this machine's"),
    NUMBER(powerlog_gap_s, JM_OPTION_DOUBLE, 0.01, 3600, "3",
           "longest time without a line in a power log"),
    TEXT(powerlog_scope, "wall", "what a power log covers: chip, board, node or wall"),
    TEXT(
        reference, "",
        "model file whose quality is the reference; empty: the model as given; none: no reference"),
    NUMBER(reference_samples, JM_OPTION_U32, 0, 4294967295.0, "0",
           "data samples to judge quality on, spread evenly; 0: all"),
};
enum { N_OPTIONS = sizeof table / sizeof table[0] };
_Static_assert(N_OPTIONS <= 64, "given has a bit an option");

const struct jm_option *jm_options(size_t *n)
{
    *n = N_OPTIONS;
    return table;
}

/* 2^64 - 1 is no double: as a bound it is 2^64, and said as what it stands for. */
static const char *bound_text(double v, char out[32])
{
    snprintf(out, 32, "%.20g", v);
    return v < 0x1p64 ? out : "18446744073709551615";
}

static bool store(const struct jm_option *o, struct jm_run_config *c, const char *value)
{
    char *dst = (char *)c + o->offset;
    if (o->kind == JM_OPTION_FLAG) {
        uint32_t yes = strcmp(value, "yes") == 0;
        memcpy(dst, &yes, sizeof yes);
        return yes || strcmp(value, "no") == 0;
    }
    if (o->kind == JM_OPTION_TEXT) {
        size_t n = strlen(value);
        if (n >= o->bytes)
            return false;
        memcpy(dst, value, n + 1);
        return true;
    }
    if (o->kind == JM_OPTION_DOUBLE) {
        double v;
        if (!jm_number_real(value, o->min, o->max, &v))
            return false;
        memcpy(dst, &v, sizeof v);
        return true;
    }
    uint64_t v;
    if (!jm_number_u64(value, 0, UINT64_MAX, &v) || (double)v < o->min || (double)v > o->max)
        return false;
    if (o->kind == JM_OPTION_U64) {
        memcpy(dst, &v, sizeof v);
    } else {
        uint32_t small = (uint32_t)v;
        memcpy(dst, &small, sizeof small);
    }
    return true;
}

void jm_run_config_init(struct jm_run_config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < N_OPTIONS; i++)
        (void)store(&table[i], c, table[i].preset);
}

/* The name as a user writes it: "min-duration-s". */
static const char *user_name(const struct jm_option *o, char out[MAX_WORD])
{
    size_t n = 0;
    for (; o->name[n] && n < MAX_WORD - 1; n++)
        out[n] = o->name[n] == '_' ? '-' : o->name[n];
    out[n] = 0;
    return out;
}

static const struct jm_option *find(const char *key)
{
    char name[MAX_WORD];
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (strcmp(user_name(&table[i], name), key) == 0)
            return &table[i];
    return NULL;
}

static jm_status unknown(const char *key, const char *where, jm_err *err)
{
    size_t best = 4; /* farther is no near miss */
    const struct jm_option *near = NULL;
    char name[MAX_WORD];
    for (size_t i = 0; i < N_OPTIONS; i++) {
        size_t d = jm_edit_distance(key, user_name(&table[i], name));
        if (d < best) {
            best = d;
            near = &table[i];
        }
    }
    if (near)
        return jm_fail(err, JM_EUSAGE, "%s: unknown key '%.64s'; did you mean '%s'?", where, key,
                       user_name(near, name));
    return jm_fail(err, JM_EUSAGE, "%s: unknown key '%.64s'", where, key);
}

jm_status jm_option_set(struct jm_run_config *c, const char *key, const char *value,
                        const char *where, jm_err *err)
{
    const struct jm_option *o = find(key);
    if (!o)
        return unknown(key, where, err);
    if (store(o, c, value)) {
        c->given |= UINT64_C(1) << (o - table);
        return JM_OK;
    }
    if (o->kind == JM_OPTION_FLAG)
        return jm_fail(err, JM_EUSAGE, "%s: %s must be yes or no, not '%.64s'", where, key, value);
    if (o->kind == JM_OPTION_TEXT)
        return jm_fail(err, JM_EUSAGE, "%s: %s is longer than %zu bytes", where, key, o->bytes - 1);
    char max[32];
    return jm_fail(err, JM_EUSAGE, "%s: %s must be a %s from %.12g to %s, not '%.64s'", where, key,
                   o->kind == JM_OPTION_DOUBLE ? "number" : "whole number", o->min,
                   bound_text(o->max, max), value);
}

bool jm_option_takes(const char *name, int argc, char **argv, int *i, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return false;
    if (argv[*i][n] == '=') {
        *value = argv[(*i)++] + n + 1;
        return true;
    }
    if (argv[*i][n] != '\0' || *i + 1 >= argc)
        return false;
    *value = argv[*i + 1];
    *i += 2;
    return true;
}

bool jm_option_is_bare(const char *arg, const char *const *names)
{
    while (*names && strcmp(arg, *names) != 0)
        names++;
    return *names != NULL;
}

jm_status jm_option_parse(struct jm_run_config *c, int argc, char **argv, int *i, jm_err *err)
{
    const char *arg = argv[*i];
    if (strncmp(arg, "--", 2) != 0 || !arg[2])
        return jm_fail(err, JM_EUSAGE, "'%.64s' is not an option; options start with --", arg);
    char key[MAX_WORD];
    const char *value = strchr(arg, '=');
    size_t n = value ? (size_t)(value - arg) - 2 : strlen(arg) - 2;
    if (n >= sizeof key)
        return jm_fail(err, JM_EUSAGE, "'%.64s' is not an option", arg);
    memcpy(key, arg + 2, n);
    key[n] = 0;
    const struct jm_option *o = find(key);
    if (!o)
        return unknown(key, "command line", err);
    if (value) {
        value++;
    } else if (o->kind == JM_OPTION_FLAG) {
        value = "yes";
    } else {
        if (*i + 1 >= argc)
            return jm_fail(err, JM_EUSAGE, "%.64s needs a value", arg);
        value = argv[++*i];
    }
    ++*i;
    return jm_option_set(c, key, value, "command line", err);
}

bool jm_option_given(const struct jm_run_config *c, const char *key)
{
    const struct jm_option *o = find(key);
    return o && (c->given >> (o - table) & 1) != 0;
}

/* Of a field; of a text all that there is room for. */
static size_t bytes_of(const struct jm_option *o)
{
    return o->kind == JM_OPTION_TEXT                                 ? o->bytes
           : o->kind == JM_OPTION_U64 || o->kind == JM_OPTION_DOUBLE ? 8
                                                                     : 4;
}

bool jm_option_changed(const struct jm_run_config *c, const char *key)
{
    const struct jm_option *o = find(key);
    struct jm_run_config fresh;
    jm_run_config_init(&fresh);
    const char *a = (const char *)c, *b = (const char *)&fresh;
    if (!o)
        return false;
    return o->kind == JM_OPTION_TEXT ? strcmp(a + o->offset, b + o->offset) != 0
                                     : memcmp(a + o->offset, b + o->offset, bytes_of(o)) != 0;
}

bool jm_options_suit_suite(const struct jm_run_config *c)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if ((c->given >> i & 1) != 0 && !table[i].with_suite)
            return false;
    return true;
}

void jm_options_override(struct jm_run_config *c, const struct jm_run_config *from)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct jm_option *o = &table[i];
        if ((from->given >> i & 1) == 0 || !o->with_suite)
            continue;
        memcpy((char *)c + o->offset, (const char *)from + o->offset, bytes_of(o));
        c->given |= UINT64_C(1) << i;
    }
}

void jm_options_print(FILE *f)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct jm_option *o = &table[i];
        char name[MAX_WORD], max[32];
        (void)fprintf(f, "  --%-17s %s", user_name(o, name), o->help);
        if (o->kind != JM_OPTION_TEXT && o->kind != JM_OPTION_FLAG)
            (void)fprintf(f, " (%.12g to %s)", o->min, bound_text(o->max, max));
        (void)fprintf(f, *o->preset ? " [%s]\n" : "%s\n", o->preset);
    }
}

struct parser {
    const char *path;
    const char *at; /* next byte of the file */
    size_t left, line, n;
    bool in_section, in_global, have_global;
    struct jm_run_config global;
    struct jm_run_config *runs; /* [JM_SUITE_MAX_RUNS] */
    bool seen[N_OPTIONS];       /* in this section */
    jm_status st;
    jm_err *err;
};

#define REFUSE(p, ...) ((p)->st = jm_fail((p)->err, JM_EINPUT, __VA_ARGS__))

static void start_section(struct parser *p, const char *s, size_t len)
{
    const char *end = memchr(s, ']', len);
    size_t n = end ? (size_t)(end - s) : 0;
    memset(p->seen, 0, sizeof p->seen);
    if (n == 0 || n >= 48) { /* inih cuts longer names */
        REFUSE(p, "%s:%zu: a section is [name], 1 to 47 bytes", p->path, p->line);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (s[i] == '/' || iscntrl((unsigned char)s[i])) { /* it names a folder of the record */
            REFUSE(p, "%s:%zu: a section's name holds no '/' and no control characters", p->path,
                   p->line);
            return;
        }
    p->in_section = true;
    p->in_global = n == 6 && memcmp(s, "global", 6) == 0;
    if (p->in_global) {
        if (p->have_global || p->n > 0)
            REFUSE(p, "%s:%zu: [global] must stand once, before all runs", p->path, p->line);
        p->have_global = true;
        return;
    }
    for (size_t i = 0; i < p->n; i++)
        if (strlen(p->runs[i].name) == n && memcmp(p->runs[i].name, s, n) == 0) {
            REFUSE(p, "%s:%zu: a second section [%s]; give one of both another name", p->path,
                   p->line, p->runs[i].name);
            return;
        }
    if (p->n >= JM_SUITE_MAX_RUNS) {
        REFUSE(p, "%s:%zu: more than %d runs", p->path, p->line, JM_SUITE_MAX_RUNS);
        return;
    }
    struct jm_run_config *c = &p->runs[p->n++];
    *c = p->global;
    memcpy(c->name, s, n);
    c->name[n] = 0;
}

/* fgets for inih, out of memory. */
static char *next_line(char *str, int num, void *user)
{
    struct parser *p = user;
    if (p->st != JM_OK || p->left == 0 || num < 2)
        return NULL;
    const char *nl = memchr(p->at, '\n', p->left);
    size_t len = nl ? (size_t)(nl - p->at) + 1 : p->left;
    p->line++;
    if (len >= (size_t)num || memchr(p->at, 0, len)) {
        REFUSE(p, "%s:%zu: the line is longer than %d bytes or has a NUL", p->path, p->line,
               num - 2);
        return NULL;
    }
    const char *s = p->at;
    size_t skip = 0;
    /* An indented line would continue the one before it. */
    while (skip < len && (s[skip] == ' ' || s[skip] == '\t'))
        skip++;
    memcpy(str, s + skip, len - skip);
    str[len - skip] = 0;
    p->at += len;
    p->left -= len;
    if (str[0] == '[')
        start_section(p, str + 1, len - skip - 1);
    return p->st == JM_OK ? str : NULL;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    (void)section;
    struct parser *p = user;
    char where[160];
    (void)snprintf(where, sizeof where, "%.120s:%zu", p->path, p->line);
    if (p->st != JM_OK)
        return 0;
    if (!p->in_section) {
        REFUSE(p, "%s: '%.64s' stands before any [section]", where, name);
        return 0;
    }
    const struct jm_option *o = find(name);
    if (o && p->seen[o - table]) {
        REFUSE(p, "%s: '%s' is given twice", where, name);
        return 0;
    }
    if (o)
        p->seen[o - table] = true;
    struct jm_run_config *c = p->in_global ? &p->global : &p->runs[p->n - 1];
    jm_err e = { .status = JM_OK };
    if (jm_option_set(c, name, value, where, &e) != JM_OK) {
        REFUSE(p, "%s", e.text);
        return 0;
    }
    return 1;
}

jm_status jm_suite_load(const char *path, struct jm_run_config **runs, size_t *n, jm_err *err)
{
    *runs = NULL;
    *n = 0;
    jm_map map;
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    size_t mark = jm_byte_order_mark(map.data, map.bytes);
    struct parser p = {
        .path = path, .at = (const char *)map.data + mark, .left = map.bytes - mark, .err = err
    };
    jm_run_config_init(&p.global);
    p.runs = calloc(JM_SUITE_MAX_RUNS, sizeof *p.runs);
    if (!p.runs) {
        p.st = jm_fail(err, JM_ENOMEM, "%s: no memory for runs", path);
    } else if (map.bytes > MAX_BYTES) {
        REFUSE(&p, "%s: larger than 1 MiB", path);
    } else {
        int bad = ini_parse_stream(next_line, &p, on_key, &p);
        if (bad && p.st == JM_OK)
            REFUSE(&p, "%s:%d: neither [section] nor key = value", path, bad);
    }
    if (p.st == JM_OK && p.n == 0)
        REFUSE(&p, "%s: no run; add a [section]", path);
    jm_map_close(&map);
    if (p.st != JM_OK) {
        free(p.runs);
        return p.st;
    }
    *runs = p.runs;
    *n = p.n;
    return JM_OK;
}
