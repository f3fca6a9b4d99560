/* SPDX-License-Identifier: Apache-2.0 */
/* See write.h. Numbers have nine digits: measured ones have no more to say. */
#include "harness/roofline/write.h"

#include <csv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/roofline/print.h"

/* A row under construction. */
struct row {
    FILE *f;
    bool begun;
};

static void text(struct row *r, const char *s)
{
    if (r->begun)
        (void)fputc(',', r->f);
    (void)csv_fwrite(r->f, s, strlen(s));
    r->begun = true;
}

static void number(struct row *r, double v)
{
    char s[32] = "";
    if (isfinite(v))
        (void)snprintf(s, sizeof s, "%.9g", v);
    text(r, s);
}

static void end(struct row *r)
{
    (void)fputc('\n', r->f);
    r->begun = false;
}

static void write_roofs(FILE *f, const struct jm_roofline *r)
{
    struct row row = { .f = f };
    fputs("backend,device,isa,threads,kind,name,how,set_bytes,capacity_bytes,per_s,reason\n", f);
    for (size_t i = 0; i < r->n_roofs; i++) {
        const struct jm_roof *roof = &r->roof[i];
        bool read = roof->kind == JM_ROOF_READ;
        text(&row, r->backend);
        text(&row, r->device.name);
        text(&row, r->device.isa);
        number(&row, roof->threads);
        text(&row, read ? "read" : "multiply");
        text(&row, roof->name);
        text(&row, roof->how);
        number(&row, read ? (double)roof->set_bytes : NAN);
        number(&row, read && roof->capacity_bytes != SIZE_MAX ? (double)roof->capacity_bytes : NAN);
        number(&row, roof->per_s);
        text(&row, roof->reason);
        end(&row);
    }
}

/* The columns that batches.csv and ops.csv share. */
static void write_class(struct row *row, const struct jm_roofline_run *run,
                        const struct jm_profile_batches *b)
{
    text(row, run->model.name);
    text(row, run->model.format);
    text(row, run->model.synthetic ? "synthetic" : "real");
    text(row, run->scenario);
    number(row, run->batch);
    number(row, b->threads);
    number(row, b->rows_from);
    number(row, b->rows_to == UINT32_MAX ? NAN : (double)b->rows_to);
}

static void write_batches(FILE *f, const struct jm_roofline *r)
{
    struct row row = { .f = f };
    fputs(
        "model,weight_format,weights,scenario,batch,threads,rows_from,rows_to,batches,rows,seconds,"
        "operations_s,waiting_s,starting_s,between_s\n",
        f);
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            const struct jm_profile_batches *b = &r->run[i].class[c].batches;
            write_class(&row, &r->run[i], b);
            number(&row, (double)b->batches);
            number(&row, (double)b->rows);
            number(&row, jm_roofline_wall_s(b));
            number(&row, b->busy_ns * 1e-9 / b->threads);
            number(&row, b->wait_ns * 1e-9 / b->threads);
            number(&row, b->start_ns * 1e-9 / b->threads);
            number(&row, b->between_ns * 1e-9);
            end(&row);
        }
    }
}

static void write_spot(struct row *row, const struct jm_spot *s, double wall_s)
{
    text(row, jm_op_name(s->op));
    number(row, s->entry);
    text(row, s->name);
    text(row, s->format);
    text(row, s->kernel);
    number(row, (double)s->calls);
    number(row, s->seconds);
    number(row, s->seconds / wall_s);
    number(row, s->operations);
    number(row, s->bytes);
    number(row, s->set_bytes);
    number(row, s->ops_per_s);
    number(row, s->bytes_per_s);
    number(row, s->intensity);
    text(row, s->read);
    text(row, s->mul);
    text(row, isnan(s->bound_seconds) ? "" : s->by_memory ? "read" : "multiply");
    number(row, s->bound_seconds);
    number(row, s->share);
    end(row);
}

static void write_ops(FILE *f, const struct jm_roofline *r)
{
    struct row row = { .f = f };
    fputs("model,weight_format,weights,scenario,batch,threads,rows_from,rows_to,operation,entry,"
          "name,format,"
          "kernel,calls,seconds,time_share,operations,bytes,set_bytes,operations_per_s,bytes_per_s,"
          "intensity,read_roof,multiply_roof,bound_by,bound_seconds,share_of_bound\n",
          f);
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            const struct jm_spots *s = &r->run[i].class[c];
            for (size_t k = 0; k < s->n; k++) {
                write_class(&row, &r->run[i], &s->batches);
                write_spot(&row, &s->spot[k], jm_roofline_wall_s(&s->batches));
            }
        }
    }
}

static jm_status write_one(const struct jm_roofline *r, const char *dir, const char *name,
                           void (*fill)(FILE *, const struct jm_roofline *), jm_err *err)
{
    jm_writer w;
    char *path = jm_asprintf("%s/%s", dir, name);
    jm_status st =
        path ? jm_writer_open(path, &w, err) : jm_fail(err, JM_ENOMEM, "roofline: out of memory");
    if (st == JM_OK) {
        fill(w.f, r);
        st = jm_writer_commit(&w, err);
    }
    free(path);
    return st;
}

jm_status jm_roofline_write(const struct jm_roofline *r, const char *dir, jm_err *err)
{
    jm_status st = write_one(r, dir, "roofs.csv", write_roofs, err);
    if (st == JM_OK && r->n_runs > 0)
        st = write_one(r, dir, "batches.csv", write_batches, err);
    if (st == JM_OK && r->n_runs > 0)
        st = write_one(r, dir, "ops.csv", write_ops, err);
    return st;
}
