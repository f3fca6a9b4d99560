/* SPDX-License-Identifier: Apache-2.0 */
/* See spot.h. */
#include "harness/roofline/spot.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *jm_spot_tail(const char *name)
{
    const char *tail = name;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        if (isalpha((unsigned char)dot[1]))
            tail = dot + 1;
    }
    return tail;
}

void jm_spot_name(const char *weight, char out[64])
{
    static const char suffix[] = ".weight";
    const char *from = weight;
    for (const char *dot = strchr(weight, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t digits = strspn(dot + 1, "0123456789");
        if (digits > 0 && dot[1 + digits] == '.' && strcmp(dot + 1 + digits, suffix) != 0)
            from = dot + 2 + digits;
    }
    size_t n = strlen(from), end = sizeof suffix - 1;
    if (n > end && strcmp(from + n - end, suffix) == 0)
        n -= end;
    snprintf(out, 64, "%.*s", n < 64 ? (int)n : 63, from);
}

const struct jm_roof *jm_roof_of_set(const struct jm_roof *roof, size_t n, uint32_t threads,
                                     double set_bytes)
{
    const struct jm_roof *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct jm_roof *r = &roof[i];
        bool holds = r->capacity_bytes == SIZE_MAX || (double)r->capacity_bytes >= set_bytes;
        if (r->kind == JM_ROOF_READ && r->threads == threads && holds && r->per_s > 0 &&
            (!best || r->per_s > best->per_s))
            best = r;
    }
    return best;
}

const struct jm_roof *jm_roof_of_kind(const struct jm_roof *roof, size_t n, uint32_t threads,
                                      enum jm_roof_kind kind)
{
    for (size_t i = 0; i < n; i++) {
        if (roof[i].kind == kind && roof[i].threads == threads && roof[i].per_s > 0)
            return &roof[i];
    }
    return NULL;
}

void jm_spot_place(struct jm_spot *s, const struct jm_roof *roof, size_t n, uint32_t threads)
{
    const struct jm_roof *read = jm_roof_of_set(roof, n, threads, s->set_bytes);
    const struct jm_roof *mul = jm_roof_of_kind(roof, n, threads, s->kind);
    double by_read = read ? s->bytes / read->per_s : NAN;
    double by_mul = mul ? s->operations / mul->per_s : s->operations > 0 ? NAN : 0.0;
    s->seconds = s->busy_ns * 1e-9 / threads;
    s->ops_per_s = s->seconds > 0 ? s->operations / s->seconds : NAN;
    s->bytes_per_s = s->seconds > 0 ? s->bytes / s->seconds : NAN;
    s->intensity = s->bytes > 0 ? s->operations / s->bytes : NAN;
    s->read = read ? read->name : "";
    s->mul = mul ? mul->name : "";
    s->by_memory = by_read > by_mul;
    s->bound_seconds = isnan(by_read) || isnan(by_mul) ? NAN : fmax(by_read, by_mul);
    s->share = s->seconds > 0 ? s->bound_seconds / s->seconds : NAN;
}

static bool alike(const struct jm_spot *a, const struct jm_spot *b)
{
    return a->op == b->op && a->entry == b->entry && strcmp(a->name, b->name) == 0 &&
           strcmp(a->format, b->format) == 0 && strcmp(a->kernel, b->kernel) == 0;
}

/* Only what multiplies by a weight is told apart by it: norms are norms. */
static struct jm_spot spot_of(const struct jm_profile_op *o)
{
    struct jm_spot s = { .op = o->op,
                         .entry = o->entry,
                         .kind = o->kind,
                         .calls = o->calls,
                         .busy_ns = o->busy_ns,
                         .operations = o->operations,
                         .bytes = o->bytes,
                         .set_bytes = o->set_bytes };
    if (o->format[0])
        jm_spot_name(o->name, s.name);
    memcpy(s.format, o->format, sizeof s.format);
    memcpy(s.kernel, o->kernel, sizeof s.kernel);
    return s;
}

static void merge(struct jm_spots *out, const struct jm_spot *s)
{
    size_t i = 0;
    while (i < out->n && !alike(&out->spot[i], s))
        i++;
    if (i == out->n) {
        out->spot[out->n++] = *s;
        return;
    }
    struct jm_spot *to = &out->spot[i];
    to->calls += s->calls;
    to->busy_ns += s->busy_ns;
    to->operations += s->operations;
    to->bytes += s->bytes;
    to->set_bytes = fmax(to->set_bytes, s->set_bytes);
}

static int longest_first(const void *a, const void *b)
{
    double x = ((const struct jm_spot *)a)->busy_ns, y = ((const struct jm_spot *)b)->busy_ns;
    return (x < y) - (x > y);
}

jm_status jm_spots_read(const struct jm_backend_ops *ops, const jm_plan *plan, uint32_t class,
                        const struct jm_roof *roof, size_t n, struct jm_spots *out, jm_err *err)
{
    struct jm_profile_op o;
    uint32_t nodes = 0;
    *out = (struct jm_spots){ 0 };
    if (!ops->profile_batches(plan, class, &out->batches))
        return jm_fail(err, JM_ENOTFOUND, "profile: no class %u of batches", class);
    while (ops->profile_op(plan, class, nodes, &o))
        nodes++;
    out->spot = calloc(nodes ? nodes : 1, sizeof *out->spot);
    if (!out->spot)
        return jm_fail(err, JM_ENOMEM, "profile: out of memory for %u operations", nodes);
    for (uint32_t i = 0; i < nodes && ops->profile_op(plan, class, i, &o); i++) {
        struct jm_spot s = spot_of(&o);
        if (o.calls > 0)
            merge(out, &s);
    }
    for (size_t i = 0; i < out->n; i++)
        jm_spot_place(&out->spot[i], roof, n, out->batches.threads);
    if (out->n > 1)
        qsort(out->spot, out->n, sizeof *out->spot, longest_first);
    return JM_OK;
}

void jm_spots_free(struct jm_spots *s)
{
    free(s->spot);
    *s = (struct jm_spots){ 0 };
}
