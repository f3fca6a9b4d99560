/* SPDX-License-Identifier: Apache-2.0 */
/* See print.h. */
#include "harness/roofline/print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/format_name.h"

static const double SMALL = 0.01; /* what takes less of the time shares a line */

double jm_roofline_wall_s(const struct jm_profile_batches *b)
{
    return (b->execute_ns + b->between_ns) * 1e-9;
}

/* Three digits, as large numbers are read. */
static void print_number(double v, int width)
{
    if (isnan(v))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, v >= 100 ? 0 : v >= 10 ? 1 : 2, v);
}

/* One line for each roof, a column for each number of threads. */
static void print_roofs(const struct jm_roofline *r, bool read)
{
    size_t last = r->n_roofs, each = 0;
    while (each < last && r->roof[each].threads == r->roof[0].threads)
        each++;
    printf("%-36s", read ? "reads, GB/s, by threads" : "multiplies, GOP/s, by threads");
    for (size_t t = 0; t < last; t += each)
        printf(" %7u", r->roof[t].threads);
    putchar('\n');
    for (size_t i = 0; i < each; i++) {
        const struct jm_roof *roof = &r->roof[i];
        if ((roof->kind == JM_ROOF_READ) != read)
            continue;
        printf("  %-6s %-27.27s", roof->name, roof->how);
        for (size_t t = i; t < last; t += each)
            print_number(r->roof[t].per_s * 1e-9, 7);
        printf(isnan(roof->per_s) ? "  unavailable: %s\n" : "\n", roof->reason);
    }
}

static void print_batches(const struct jm_profile_batches *b)
{
    double n = (double)b->batches, wall_us = jm_roofline_wall_s(b) * 1e6;
    double part[] = { b->busy_ns / b->threads, b->wait_ns / b->threads, b->start_ns / b->threads,
                      b->between_ns };
    static const char *const name[] = { "operations", "waiting for threads", "starting threads",
                                        "between batches" };
    printf("\nbatches of %u", b->rows_from);
    if (b->rows_to == UINT32_MAX)
        printf(" rows or more");
    else if (b->rows_to > b->rows_from)
        printf(" to %u rows", b->rows_to);
    else
        printf(" row");
    printf(": %llu, of %.4g rows and %.4g us each\n ", (unsigned long long)b->batches,
           (double)b->rows / n, wall_us / n);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        printf("%s %s %.4g us (%.1f %%)", i ? "," : "", name[i], part[i] * 1e-3 / n,
               part[i] * 1e-3 / wall_us * 100);
    putchar('\n');
}

static void print_spot(const struct jm_spot *s, double wall_s, double batches)
{
    char op[96], weight[40] = "";
    const char *name = strlen(s->name) > 20 ? jm_spot_tail(s->name) : s->name;
    snprintf(op, sizeof op, "%s %s", jm_op_name(s->op), name);
    if (s->format[0])
        snprintf(weight, sizeof weight, "%s%s%s", s->format, s->kernel[0] ? " as " : "", s->kernel);
    printf("  %-27.27s %-13.13s %5.1f", op, weight, s->seconds / wall_s * 100);
    print_number(s->seconds * 1e6 / batches, 9);
    print_number(s->ops_per_s * 1e-9, 7);
    print_number(s->bytes_per_s * 1e-9, 7);
    print_number(s->intensity, 7);
    printf("  %-6s", isnan(s->bound_seconds) ? "-" : s->by_memory ? s->read : s->mul);
    print_number(s->share * 100, 5);
    putchar('\n');
}

static void print_class(const struct jm_spots *c)
{
    double wall_s = jm_roofline_wall_s(&c->batches), batches = (double)c->batches.batches;
    double rest_s = 0, busy_s = 0, bound_s = 0;
    size_t rest = 0;
    print_batches(&c->batches);
    printf("  %-27s %-13s %5s %9s %7s %7s %7s  %-6s %5s\n", "operation", "weight", "time%", "us",
           "GOP/s", "GB/s", "op/B", "roof", "of it%");
    for (size_t i = 0; i < c->n; i++) {
        const struct jm_spot *s = &c->spot[i];
        busy_s += isnan(s->bound_seconds) ? 0 : s->seconds;
        bound_s += isnan(s->bound_seconds) ? 0 : s->bound_seconds;
        if (s->seconds >= SMALL * wall_s) {
            print_spot(s, wall_s, batches);
        } else {
            rest_s += s->seconds;
            rest++;
        }
    }
    if (rest > 0) {
        printf("  %-41s %5.1f", "the rest", rest_s / wall_s * 100);
        print_number(rest_s * 1e6 / batches, 9);
        printf("  (%zu kinds)\n", rest);
    }
    if (bound_s > 0)
        printf("  all operations reach %.1f %% of their roofs; with waits and what lies between, "
               "%.1f %%\n",
               bound_s / busy_s * 100, bound_s / wall_s * 100);
}

void jm_roofline_model(const struct jm_roofline_run *run, char out[JM_ROOFLINE_MODEL])
{
    const struct jm_model_info *m = &run->model;
    bool format = !jm_name_has_format(m->name, m->format);
    if (!format && !m->synthetic)
        (void)snprintf(out, JM_ROOFLINE_MODEL, "%.60s", m->name);
    else
        (void)snprintf(out, JM_ROOFLINE_MODEL, "%.60s (%s%s%s)", m->name, format ? m->format : "",
                       format && m->synthetic ? ", " : "", m->synthetic ? "synthetic weights" : "");
}

void jm_roofline_print(const struct jm_roofline *r)
{
    char model[JM_ROOFLINE_MODEL];
    printf("%s%s%s, %u thread%s, backend %s\n\n", r->device.name, r->device.isa[0] ? ", " : "",
           r->device.isa, r->device.threads, r->device.threads == 1 ? "" : "s", r->backend);
    print_roofs(r, true);
    putchar('\n');
    print_roofs(r, false);
    for (size_t i = 0; i < r->n_runs; i++) {
        const struct jm_roofline_run *run = &r->run[i];
        jm_roofline_model(run, model);
        printf("\n%s, %s, batch %u, %.1f s\n", model, run->scenario, run->batch, run->seconds);
        for (size_t c = 0; c < run->n_classes; c++)
            print_class(&run->class[c]);
    }
}
