/* SPDX-License-Identifier: Apache-2.0 */
/* A roofline as one JSON document. What is unavailable is null, never 0. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

#include "harness/record/json.h"
#include "harness/roofline/print.h"

static void add_number(cJSON *o, const char *key, double v)
{
    if (isfinite(v))
        (void)cJSON_AddNumberToObject(o, key, v);
    else
        (void)cJSON_AddNullToObject(o, key);
}

static void add_roof(cJSON *list, const struct jm_roof *r)
{
    cJSON *o = cJSON_CreateObject();
    bool read = r->kind == JM_ROOF_READ;
    (void)cJSON_AddStringToObject(o, "kind", read ? "read" : "multiply");
    (void)cJSON_AddStringToObject(o, "name", r->name);
    (void)cJSON_AddStringToObject(o, "how", r->how);
    add_number(o, "threads", r->threads);
    add_number(o, read ? "bytes_per_s" : "operations_per_s", r->per_s);
    if (read) {
        add_number(o, "set_bytes", (double)r->set_bytes);
        add_number(o, "capacity_bytes",
                   r->capacity_bytes == SIZE_MAX ? NAN : (double)r->capacity_bytes);
    }
    if (isnan(r->per_s))
        (void)cJSON_AddStringToObject(o, "reason", r->reason);
    (void)cJSON_AddItemToArray(list, o);
}

static void add_spot(cJSON *list, const struct jm_spot *s, double wall_s)
{
    cJSON *o = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(o, "operation", jm_op_name(s->op));
    (void)cJSON_AddStringToObject(o, "name", s->name);
    (void)cJSON_AddStringToObject(o, "weight_format", s->format);
    (void)cJSON_AddStringToObject(o, "kernel", s->kernel);
    add_number(o, "entry", s->entry);
    add_number(o, "calls", (double)s->calls);
    add_number(o, "seconds", s->seconds);
    add_number(o, "time_share", s->seconds / wall_s);
    add_number(o, "operations", s->operations);
    add_number(o, "bytes", s->bytes);
    add_number(o, "set_bytes", s->set_bytes);
    add_number(o, "operations_per_s", s->ops_per_s);
    add_number(o, "bytes_per_s", s->bytes_per_s);
    add_number(o, "intensity", s->intensity);
    (void)cJSON_AddStringToObject(o, "read_roof", s->read);
    (void)cJSON_AddStringToObject(o, "multiply_roof", s->mul);
    if (isnan(s->bound_seconds))
        (void)cJSON_AddNullToObject(o, "bound_by");
    else
        (void)cJSON_AddStringToObject(o, "bound_by", s->by_memory ? "read" : "multiply");
    add_number(o, "bound_seconds", s->bound_seconds);
    add_number(o, "share_of_bound", s->share);
    (void)cJSON_AddItemToArray(list, o);
}

static void add_class(cJSON *list, const struct jm_spots *c)
{
    const struct jm_profile_batches *b = &c->batches;
    cJSON *o = cJSON_CreateObject();
    add_number(o, "rows_from", b->rows_from);
    add_number(o, "rows_to", b->rows_to == UINT32_MAX ? NAN : (double)b->rows_to);
    add_number(o, "threads", b->threads);
    add_number(o, "batches", (double)b->batches);
    add_number(o, "rows", (double)b->rows);
    add_number(o, "seconds", jm_roofline_wall_s(b));
    add_number(o, "operations_s", b->busy_ns * 1e-9 / b->threads);
    add_number(o, "waiting_s", b->wait_ns * 1e-9 / b->threads);
    add_number(o, "starting_s", b->start_ns * 1e-9 / b->threads);
    add_number(o, "between_s", b->between_ns * 1e-9);
    cJSON *spots = cJSON_AddArrayToObject(o, "operations");
    for (size_t i = 0; i < c->n; i++)
        add_spot(spots, &c->spot[i], jm_roofline_wall_s(b));
    (void)cJSON_AddItemToArray(list, o);
}

jm_status jm_roofline_json(const struct jm_roofline *r, jm_err *err)
{
    cJSON *root = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(root, "backend", r->backend);
    (void)cJSON_AddStringToObject(root, "device", r->device.name);
    (void)cJSON_AddStringToObject(root, "isa", r->device.isa);
    add_number(root, "threads", r->device.threads);
    cJSON *roofs = cJSON_AddArrayToObject(root, "roofs");
    for (size_t i = 0; i < r->n_roofs; i++)
        add_roof(roofs, &r->roof[i]);
    cJSON *runs = cJSON_AddArrayToObject(root, "runs");
    for (size_t i = 0; i < r->n_runs; i++) {
        const struct jm_roofline_run *run = &r->run[i];
        cJSON *o = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(o, "model", run->model.name);
        (void)cJSON_AddStringToObject(o, "weight_format", run->model.format);
        (void)cJSON_AddStringToObject(o, "weights", run->model.synthetic ? "synthetic" : "real");
        (void)cJSON_AddStringToObject(o, "scenario", run->scenario);
        add_number(o, "batch", run->batch);
        add_number(o, "seconds", run->seconds);
        cJSON *classes = cJSON_AddArrayToObject(o, "batches");
        for (size_t c = 0; c < run->n_classes; c++)
            add_class(classes, &run->class[c]);
        (void)cJSON_AddItemToArray(runs, o);
    }
    return jm_json_print(stdout, root, err);
}
