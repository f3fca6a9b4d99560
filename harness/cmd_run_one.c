/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_run_one.h. The order: model and device ready, reference answers ready, idle power, load
 * (the energy window opens and closes with it), scores, record. */
#include "harness/cmd_run_one.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "harness/cmd_run_inputs.h"
#include "harness/cmd_run_parts.h"
#include "harness/load/load.h"
#include "harness/memory_line.h"
#include "harness/paths.h"
#include "harness/record/csv.h"
#include "harness/record/folder.h"
#include "harness/system/machine.h"

/* Answers compared word for word with the reference kernels, when those have to run for it alone.
 */
static const uint32_t MOST_SAME = 128;
static const size_t MEMORY_PART = 4; /* of what is left: one in so many for answers and times */

static void phase(struct jm_run *r, const char *what)
{
    char label[64];
    snprintf(label, sizeof label, "%.40s: %s", r->c->name, what);
    jm_progress_start(r->place->progress, r->place->mode, stderr, label);
}

static void on_progress(double fraction, void *user)
{
    struct jm_run *r = user;
    jm_progress_update(r->place->progress, fraction);
}

static jm_status on_window(bool open, void *user, jm_err *err)
{
    struct jm_run *r = user;
    jm_frequency_read("", open ? &r->load.before : &r->load.after);
    *(open ? &r->load.wait_before : &r->load.wait_after) = jm_core_wait_read();
    (open ? jm_standstill_begin : jm_standstill_end)(&r->load.standstill);
    if (open)
        r->counters = jm_counters_begin();
    jm_status st = jm_session_phase(r->meters, open ? JM_PHASE_MEASURED : JM_PHASE_COOLDOWN, err);
    if (!open || st != JM_OK) {
        jm_counters_end(r->counters, &r->counts);
        r->counters = NULL;
    }
    return st;
}

static jm_status open_meters(struct jm_run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    struct jm_session_config how = { .meters = c->energy,
                                     .interval_s = c->energy_interval_ms * 1e-3,
                                     .stated_error = c->energy_error,
                                     .meter = { .offset_s = c->powerlog_offset_s,
                                                .gap_s = c->powerlog_gap_s } };
    if (!jm_meter_scope_find(c->powerlog_scope, &how.meter.scope))
        return jm_fail(err, JM_EUSAGE, "powerlog_scope is chip, board, node or wall, not '%s'",
                       c->powerlog_scope);
    return jm_session_open(&how, &r->meters, err);
}

static jm_status find_files(struct jm_run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    jm_status st = jm_run_model_file(c, r->place->results, &r->model, &r->reference_model, err);
    if (st == JM_OK && c->tokenizer[0])
        st = jm_find_file(c->tokenizer, ".gguf", &r->tokenizer, err);
    if (st == JM_OK)
        st = jm_find_file(jm_run_data(c), ".csv", &r->data, err);
    if (st == JM_OK && c->reference[0] && strcmp(c->reference, "none") != 0) {
        free(r->reference_model);
        st = jm_find_file(c->reference, ".gguf", &r->reference_model, err);
    }
    return st;
}

/* What this run's answers are judged by; without a reference nothing. */
static jm_status get_references(struct jm_run *r, const struct jm_workload_config *w, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    if (strcmp(c->reference, "none") == 0)
        return JM_OK;
    struct jm_workload_config like = *w;
    like.model_path = r->reference_model;
    uint32_t most = c->reference_samples > 0 ? c->reference_samples : UINT32_MAX;
    phase(r, "reference answers");
    jm_status st = jm_reference_get(r->ops, &like, most, r->references, on_progress, r,
                                    r->place->stop, &r->quality, err);
    bool own = strcmp(r->model, r->reference_model) == 0;
    /* Pictures of other kernels differ in some last bit: only their likeness says much. */
    if (st == JM_OK && !r->ops->save)
        st = jm_reference_get(r->ops, w, own || most < MOST_SAME ? most : MOST_SAME, r->references,
                              on_progress, r, r->place->stop, &r->same, err);
    jm_progress_end(r->place->progress);
    return st;
}

static jm_status open_all(struct jm_run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    struct jm_device_options how = { .threads = c->threads, .isa = c->isa[0] ? c->isa : NULL };
    jm_status st = jm_run_check(c, err);
    if (st != JM_OK)
        return st;
    r->ops = jm_run_workload(c->workload, err);
    st = jm_run_kv_format(c, &r->kv_format, err);
    if (st == JM_OK)
        st = find_files(r, err);
    if (st == JM_OK)
        st = jm_backend_load(c->backend, &r->backend, err);
    if (st == JM_OK)
        st = r->backend.ops->open(0, &how, &r->device, err);
    struct jm_workload_config w = { .model_path = r->model,
                                    .tokenizer_path = r->tokenizer,
                                    .data_path = r->data,
                                    .languages = c->languages[0] ? c->languages : NULL,
                                    .batch = c->batch,
                                    .size = c->size,
                                    .steps = c->steps,
                                    .cfg = c->cfg,
                                    .kv_format = r->kv_format,
                                    .max_bytes = (uint64_t)(c->max_memory_gb * 1e9),
                                    .ops = r->backend.ops,
                                    .device = r->device };
    if (st == JM_OK)
        st = open_meters(r, err);
    if (st == JM_OK)
        st = get_references(r, &w, err);
    if (st == JM_OK)
        st = r->ops->open(&w, &r->workload, err);
    if (st == JM_OK && r->quality.folder)
        st = r->ops->against(r->workload, r->quality.folder, err);
    return st;
}

/* Nothing runs in an idle phase; without a meter it would be of no use. */
static jm_status idle(struct jm_run *r, enum jm_phase which, jm_err *err)
{
    const volatile sig_atomic_t *stop = r->place->stop;
    if (jm_session_meters(r->meters) == 0 || r->c->energy_idle_s <= 0)
        return JM_OK;
    phase(r, which == JM_PHASE_IDLE ? "idle power" : "idle power after");
    jm_status st = jm_session_phase(r->meters, which, err);
    double left_s = r->c->energy_idle_s;
    for (; st == JM_OK && left_s > 0 && !(stop && *stop); left_s -= 0.1) {
        nanosleep(&(struct timespec){ .tv_nsec = (long)(fmin(left_s, 0.1) * 999999999) }, NULL);
        jm_progress_update(r->place->progress, 1 - left_s / r->c->energy_idle_s);
    }
    jm_progress_end(r->place->progress);
    return st;
}

/* Memory that the model has left: of the machine, its cgroup, and the limit given. */
static uint64_t memory_left(const struct jm_run *r, const struct jm_model_info *m)
{
    struct jm_memory_room room;
    uint64_t taken = m->memory.weights + m->memory.caches + m->memory.work + m->other_bytes;
    uint64_t limit = (uint64_t)(r->c->max_memory_gb * 1e9);
    if (!jm_memory_room("", &room))
        room.bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
    if (limit == 0)
        return room.bytes;
    limit = limit > taken ? limit - taken : 0;
    return limit < room.bytes ? limit : room.bytes;
}

/* Samples in a window at most: as many as there is memory for, but one whole copy of the data. */
static uint32_t max_samples(struct jm_run *r)
{
    struct jm_model_info m;
    r->ops->info(r->workload, &m);
    uint32_t n = r->ops->sut(r->workload)->n_samples;
    uint64_t fit = memory_left(r, &m) / MEMORY_PART / (m.answer_bytes + jm_load_bytes_per_sample());
    uint64_t most = r->c->max_queries > 0 ? r->c->max_queries : UINT32_MAX / 2;
    fit = fit < most ? fit : most;
    return n > fit ? n : (uint32_t)fit;
}

static jm_status meter_cost(struct jm_run *r, jm_err *err)
{
    phase(r, "cost of meters");
    jm_progress_update(r->place->progress, 0);
    jm_status st = jm_meter_cost_measure(r->meters, r->place->stop, &r->load.meters, err);
    jm_progress_end(r->place->progress);
    return st;
}

static jm_status measure(struct jm_run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    r->load.null_ns = r->place->null_ns;
    r->load.cfg = (struct jm_load_config){ .max_ids = max_samples(r),
                                           .stop = r->place->stop,
                                           .progress = on_progress,
                                           .window = on_window,
                                           .user = r };
    jm_status st = jm_load_settings(c, &r->load.cfg, err);
    if (st != JM_OK)
        return st;
    if (r->ops->save)
        r->load.cfg.ttft_s = r->load.cfg.tpot_s = 0;
    st = meter_cost(r, err);
    if (st == JM_OK)
        st = idle(r, JM_PHASE_IDLE, err);
    if (st == JM_OK)
        st = jm_session_phase(r->meters, JM_PHASE_WARMUP, err);
    if (st != JM_OK)
        return st;
    phase(r, "measuring");
    st = jm_load_measure(r->ops->sut(r->workload), c->find_peak, &r->load, err);
    jm_progress_end(r->place->progress);
    if (st == JM_OK)
        st = idle(r, JM_PHASE_COOLDOWN, err);
    return st;
}

/* Before anything is measured. On demand only JSON goes to stderr, or nothing. */
static void state_memory(const struct jm_run *r)
{
    struct jm_model_info m;
    r->ops->info(r->workload, &m);
    if (r->place->mode == JM_PROGRESS_AUTO)
        jm_memory_line(stderr, r->c->name, &m.memory, m.other_bytes);
}

static void close_all(struct jm_run *r)
{
    jm_load_result_free(&r->load.result);
    if (r->workload)
        r->ops->close(r->workload);
    if (r->device)
        r->backend.ops->close(r->device);
    jm_backend_unload(&r->backend);
    jm_session_close(r->meters);
    jm_reference_free(&r->quality);
    jm_reference_free(&r->same);
    free(r->model);
    free(r->reference_model);
    free(r->tokenizer);
    free(r->data);
    free(r->references);
}

void jm_run_skip(const struct jm_run_config *c, const struct jm_run_place *place,
                 struct jm_record *row)
{
    struct jm_run r = { .c = c, .place = place, .row = row };
    jm_record_clear(row);
    jm_run_record_identity(&r);
    jm_record_text(row->status, "not run");
    jm_record_text(row->status_reason, "interrupted before it began");
}

jm_status jm_run_keep(const char *csv, const struct jm_run_place *place,
                      const struct jm_record *row, jm_err *err)
{
    jm_status st = jm_csv_append(csv, row, err);
    char *dir = st != JM_OK && row->record_dir[0]
                    ? jm_asprintf("%s/%s", place->results, row->record_dir)
                    : NULL;
    if (dir)
        jm_folder_remove(dir);
    free(dir);
    return st;
}

jm_status jm_run_one(const struct jm_run_config *c, const struct jm_run_place *place,
                     struct jm_record *row, jm_err *err)
{
    struct jm_run r = { .c = c, .place = place, .row = row };
    jm_record_clear(row);
    jm_run_record_identity(&r);
    r.references = jm_results_dir(place->results, JM_RESULTS_REFERENCES);
    jm_status st = r.references ? open_all(&r, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK) {
        jm_run_record_model(&r);
        state_memory(&r);
        st = measure(&r, err);
        jm_session_end(r.meters);
    }
    if (st == JM_OK || st == JM_EINTERRUPTED) {
        jm_err why = { 0 };
        jm_status recorded =
            jm_run_record_results(&r, st == JM_OK && r.load.result.n == r.load.result.issued, &why);
        if (recorded != JM_OK && st == JM_OK)
            st = jm_fail(err, recorded, "%s", why.text);
    }
    uint64_t peak = jm_machine_peak_rss();
    row->memory_peak_bytes = peak ? peak : JM_U64_EMPTY;
    if (st == JM_OK && !r.load.verdict.valid)
        jm_record_text(row->status_reason, r.load.verdict.reason);
    jm_record_text(row->status, st == JM_OK ? r.load.verdict.valid ? "complete" : "invalid"
                                : st == JM_EINTERRUPTED ? "interrupted"
                                                        : "failed");
    if (st != JM_OK)
        jm_record_text(row->status_reason, err->text);
    jm_err why = { 0 };
    jm_status written = jm_run_write_folder(&r, &why);
    if (written != JM_OK && st == JM_OK) { /* figures that nothing proves */
        st = jm_fail(err, written, "%s", why.text);
        jm_record_text(row->status, "failed");
        jm_record_text(row->status_reason, err->text);
    }
    close_all(&r);
    return st;
}
