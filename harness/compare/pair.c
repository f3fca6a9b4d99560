/* SPDX-License-Identifier: Apache-2.0 */
/* See pair.h. Fields are found by name, so that a schema may gain and move columns. */
#include "harness/compare/pair.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "harness/compare/metric.h"
#include "harness/format_name.h"

/* What, where, how. */
static const char *const keys[] = {
    "workload",      "model",
    "model_sha256",  "weight_format",
    "weights",       "kv_format",
    "data_set",      "data_sha256",
    "languages",     "picture_settings",
    "host_cpu",      "backend",
    "device",        "simd",
    "threads",       "scenario",
    "batch",         "samples_per_query",
    "target_qps",    "bound_latency_ms",
    "bound_ttft_ms", "bound_tpot_ms",
};

/* May differ within a pair, and is said when it does. */
static const char *const notable[] = {
    "joulemark_version", "commit",       "suite",          "run_name",           "seed",
    "energy_source",     "energy_scope", "quality_metric", "quality_worst_lang", "warmup_s",
};

/* A rate that was searched for is a result; one that was given is part of how the run was made. */
static bool is_result(const struct jm_column *c, const struct jm_record *r)
{
    const struct jm_column *probes = jm_column_find("peak_probes");
    return strcmp(c->name, "target_qps") == 0 && probes && !isnan(jm_column_number(probes, r));
}

static bool same(const struct jm_column *c, const struct jm_record *x, const struct jm_record *y)
{
    const char *p = (const char *)x + c->offset, *q = (const char *)y + c->offset;
    if (c->kind == JM_COLUMN_TEXT)
        return strcmp(p, q) == 0;
    if (c->kind == JM_COLUMN_DOUBLE && isnan(jm_column_number(c, x)))
        return isnan(jm_column_number(c, y));
    if (is_result(c, x) && is_result(c, y))
        return true;
    return memcmp(p, q, sizeof(uint64_t)) == 0;
}

static bool in_list(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *s = list; s && *s;) {
        size_t n = strcspn(s, ",");
        if (n == len && memcmp(s, name, n) == 0)
            return true;
        s += n + (s[n] == ',');
    }
    return false;
}

static jm_status choose_keys(const char *across, struct jm_pairing *p, jm_err *err)
{
    for (const char *s = across; s && *s;) {
        size_t n = strcspn(s, ","), i = 0;
        while (i < sizeof keys / sizeof *keys &&
               !(strlen(keys[i]) == n && memcmp(keys[i], s, n) == 0))
            i++;
        if (i == sizeof keys / sizeof *keys)
            return jm_fail(
                err, JM_EUSAGE,
                "--across: runs are not paired by '%.*s'; they are by workload, model, "
                "model_sha256, weight_format, weights, kv_format, data_set, data_sha256, "
                "languages, picture_settings, host_cpu, backend, device, simd, threads, "
                "scenario, batch, and what "
                "bounds the load",
                (int)(n < 64 ? n : 64), s);
        s += n + (s[n] == ',');
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct jm_column *c = jm_column_find(keys[i]);
        if (c && !in_list(across, keys[i]))
            p->key[p->n_keys++] = c;
    }
    return JM_OK;
}

static bool alike(const struct jm_pairing *p, const struct jm_record *x, const struct jm_record *y)
{
    for (size_t i = 0; i < p->n_keys; i++)
        if (!same(p->key[i], x, y))
            return false;
    return true;
}

static const struct jm_record *first_of(const struct jm_pair *p)
{
    return p->a.n ? p->a.row[0] : p->b.row[0];
}

static jm_status reserve(struct jm_pairing *p, size_t rows, jm_err *err)
{
    size_t bytes;
    p->pair = jm_mul_size(rows + 1, sizeof *p->pair, &bytes) ? calloc(1, bytes) : NULL;
    p->rows = jm_mul_size(rows + 1, sizeof *p->rows, &bytes) ? malloc(bytes) : NULL;
    if (p->pair && p->rows)
        return JM_OK;
    jm_pairing_free(p);
    return jm_fail(err, JM_ENOMEM, "no memory to pair %zu runs", rows);
}

/* Stores the rows of side that belong with `of`, and marks them as taken. */
static void gather(struct jm_pairing *p, const struct jm_runs *side, bool *taken,
                   const struct jm_record *of, size_t *used, struct jm_runs *out)
{
    out->row = p->rows + *used;
    for (size_t i = 0; i < side->n; i++) {
        if (taken[i] || !alike(p, of, side->row[i]))
            continue;
        taken[i] = true;
        p->rows[(*used)++] = side->row[i];
        out->n++;
    }
}

jm_status jm_pair_runs(const struct jm_runs *a, const struct jm_runs *b, const char *across,
                       struct jm_pairing *out, jm_err *err)
{
    *out = (struct jm_pairing){ .n = 0 };
    jm_status st = choose_keys(across, out, err);
    if (st == JM_OK)
        st = reserve(out, a->n + b->n, err);
    if (st != JM_OK)
        return st;
    bool *taken = calloc(a->n + b->n + 1, sizeof *taken);
    if (!taken) {
        jm_pairing_free(out);
        return jm_fail(err, JM_ENOMEM, "no memory to pair %zu runs", a->n + b->n);
    }
    size_t used = 0;
    for (size_t i = 0; i < a->n + b->n; i++) {
        if (taken[i])
            continue;
        const struct jm_record *of = i < a->n ? a->row[i] : b->row[i - a->n];
        struct jm_pair *pair = &out->pair[out->n++];
        gather(out, a, taken, of, &used, &pair->a);
        gather(out, b, taken + a->n, of, &used, &pair->b);
    }
    free(taken);
    return JM_OK;
}

static int by_session(const void *x, const void *y)
{
    const struct jm_record *a = *(const struct jm_record *const *)x,
                           *b = *(const struct jm_record *const *)y;
    int c = strcmp(a->ab_id, b->ab_id);
    if (c == 0)
        c = (a->ab_pair > b->ab_pair) - (a->ab_pair < b->ab_pair);
    return c ? c : strcmp(a->ab_side, b->ab_side);
}

/* A and B runs of the session that starts at row[0], sorted; returns how many rows it has. Whole
 * pairs go to *pair, single runs each to a pair of their own. */
static size_t split_session(const struct jm_record **row, size_t n, struct jm_pairing *p,
                            size_t *used)
{
    size_t end = 0, whole = 0;
    while (end < n && strcmp(row[end]->ab_id, row[0]->ab_id) == 0)
        end++;
    for (size_t i = 0; i + 1 < end; i++)
        whole += row[i]->ab_pair == row[i + 1]->ab_pair;
    struct jm_pair *pair = whole ? &p->pair[p->n++] : NULL;
    if (pair)
        *pair = (struct jm_pair){ .a.row = p->rows + *used,
                                  .b.row = p->rows + *used + whole,
                                  .alternating = true };
    *used += 2 * whole;
    for (size_t i = 0; i < end; i++) {
        if (i + 1 < end && row[i]->ab_pair == row[i + 1]->ab_pair) {
            pair->a.row[pair->a.n++] = row[i];
            pair->b.row[pair->b.n++] = row[++i];
            continue;
        }
        struct jm_runs one = { .row = p->rows + (*used)++, .n = 1 };
        one.row[0] = row[i];
        bool is_a = row[i]->ab_side[0] == 'A';
        p->pair[p->n++] = (struct jm_pair){ .a = is_a ? one : (struct jm_runs){ .n = 0 },
                                            .b = is_a ? (struct jm_runs){ .n = 0 } : one };
    }
    return end;
}

jm_status jm_pair_alternating(const struct jm_runs *all, struct jm_pairing *out, jm_err *err)
{
    size_t n = 0, used = 0;
    *out = (struct jm_pairing){ .n = 0 };
    jm_status st = reserve(out, all->n, err);
    const struct jm_record **row = st == JM_OK ? calloc(all->n + 1, sizeof(*row)) : NULL;
    if (st == JM_OK && !row)
        st = jm_fail(err, JM_ENOMEM, "no memory to pair %zu runs", all->n);
    for (size_t i = 0; st == JM_OK && i < all->n; i++)
        if (strcmp(all->row[i]->ab_side, "A") == 0 || strcmp(all->row[i]->ab_side, "B") == 0)
            row[n++] = all->row[i];
    if (st == JM_OK && n == 0)
        st = jm_fail(err, JM_EINPUT,
                     "no run of the file is marked as side A or B; give two files, "
                     "or make alternating runs with 'joulemark run --ab'");
    if (n > 0)
        qsort(row, n, sizeof *row, by_session);
    for (size_t i = 1; st == JM_OK && i < n; i++)
        if (by_session(&row[i - 1], &row[i]) == 0)
            st = jm_fail(err, JM_EINPUT, "session %.80s has side %.1s of pair %" PRIu64 " twice",
                         row[i]->ab_id, row[i]->ab_side, row[i]->ab_pair);
    for (size_t i = 0; st == JM_OK && i < n;)
        i += split_session(row + i, n - i, out, &used);
    free(row);
    if (st != JM_OK)
        jm_pairing_free(out);
    return st;
}

void jm_pairing_free(struct jm_pairing *p)
{
    free(p->pair);
    free(p->rows);
    *p = (struct jm_pairing){ .n = 0 };
}

/* ---- texts ---- */

/* Appends to out, which stays a string whatever the length. */
static void append(char out[JM_PAIR_TEXT], const char *before, const char *text)
{
    size_t at = strlen(out);
    (void)snprintf(out + at, JM_PAIR_TEXT - at, "%s%s", before, text);
}

/* Whether the models' names say the weight formats already. */
static bool names_have_formats(const struct jm_pair *p)
{
    const struct jm_record *of[] = { p->a.n ? p->a.row[0] : NULL, p->b.n ? p->b.row[0] : NULL };
    for (size_t i = 0; i < 2; i++)
        if (of[i] && !jm_name_has_format(of[i]->model, of[i]->weight_format))
            return false;
    return true;
}

void jm_pair_title(const struct jm_pairing *all, const struct jm_pair *p, char out[JM_PAIR_TEXT])
{
    static const char *const always[] = { "model", "weight_format", "scenario" };
    static const char *const telling[] = {
        "workload", "data_set", "languages", "picture_settings",  "kv_format", "backend", "device",
        "simd",     "threads",  "batch",     "samples_per_query", "target_qps"
    };
    char text[JM_TEXT_BYTES];
    out[0] = '\0';
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        const struct jm_column *c = jm_column_find(always[i]);
        if (strcmp(always[i], "weight_format") == 0 && names_have_formats(p))
            continue;
        jm_column_print(c, first_of(p), text);
        append(out, i ? " " : "", text);
        if (p->a.n && p->b.n && !same(c, p->a.row[0], p->b.row[0])) {
            jm_column_print(c, p->b.row[0], text);
            append(out, " -> ", text);
        }
    }
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        const struct jm_column *c = jm_column_find(telling[i]);
        bool differs = false;
        for (size_t k = 0; c && k < all->n && !differs; k++)
            differs = !same(c, first_of(&all->pair[k]), first_of(p));
        text[0] = '\0';
        if (differs)
            jm_column_print(c, first_of(p), text);
        if (*text) { /* a translator has no picture settings */
            append(out, ", ", c->name);
            append(out, " ", text);
        }
    }
}

/* "name x -> y" when the first runs of the sides differ, or a later run differs from those. */
static void append_difference(const struct jm_column *c, const struct jm_pair *p,
                              char out[JM_PAIR_TEXT])
{
    char x[JM_TEXT_BYTES], y[JM_TEXT_BYTES], text[2 * JM_TEXT_BYTES + 64];
    bool mixed = false;
    for (size_t i = 1; i < p->a.n; i++)
        mixed = mixed || !same(c, p->a.row[0], p->a.row[i]);
    for (size_t i = 1; i < p->b.n; i++)
        mixed = mixed || !same(c, p->b.row[0], p->b.row[i]);
    if (!mixed && same(c, p->a.row[0], p->b.row[0]))
        return;
    jm_column_print(c, p->a.row[0], x);
    jm_column_print(c, p->b.row[0], y);
    if (mixed)
        (void)snprintf(text, sizeof text, "%s varies within a side", c->name);
    else
        (void)snprintf(text, sizeof text, "%s %.100s -> %.100s", c->name, *x ? x : "(empty)",
                       *y ? y : "(empty)");
    append(out, *out ? "; " : "", text);
}

void jm_pair_differences(const struct jm_pair *p, char out[JM_PAIR_TEXT])
{
    out[0] = '\0';
    if (p->a.n == 0 || p->b.n == 0)
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (jm_column_find(keys[i]))
            append_difference(jm_column_find(keys[i]), p, out);
    for (size_t i = 0; i < sizeof notable / sizeof *notable; i++) {
        const struct jm_column *c = jm_column_find(notable[i]);
        if (c)
            append_difference(c, p, out);
    }
}

bool jm_pair_nearest(const struct jm_pairing *all, const struct jm_pair *p, char out[JM_PAIR_TEXT])
{
    const struct jm_record *mine = first_of(p), *best = NULL;
    size_t least = SIZE_MAX;
    char x[JM_TEXT_BYTES], y[JM_TEXT_BYTES];
    for (size_t i = 0; i < all->n; i++) {
        const struct jm_runs *other = p->a.n ? &all->pair[i].b : &all->pair[i].a;
        size_t n = 0;
        for (size_t k = 0; k < all->n_keys && other->n; k++)
            n += !same(all->key[k], mine, other->row[0]);
        if (other->n && n < least) {
            least = n;
            best = other->row[0];
        }
    }
    out[0] = '\0';
    if (!best) {
        append(out, "", "the other side has no run");
        return false;
    }
    for (size_t k = 0; k < all->n_keys; k++) {
        if (same(all->key[k], mine, best))
            continue;
        jm_column_print(all->key[k], p->a.n ? mine : best, x);
        jm_column_print(all->key[k], p->a.n ? best : mine, y);
        append(out, *out ? "; " : "", all->key[k]->name);
        append(out, " ", *x ? x : "(empty)");
        append(out, " -> ", *y ? y : "(empty)");
    }
    if (all->n_keys == 0)
        append(out, "", "its partner did not run");
    return all->n_keys > 0;
}
