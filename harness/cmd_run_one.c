/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_run_one.h. The order: model and device ready, reference answers ready, idle power, load
 * (the energy window opens and closes with it), scores, record. */
#include "harness/cmd_run_one.h"

#include <csv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/loader.h"
#include "base/file.h"
#include "base/memory.h"
#include "harness/energy/session.h"
#include "harness/load/load.h"
#include "harness/load_record.h"
#include "harness/memory_line.h"
#include "harness/paths.h"
#include "harness/record/csv.h"
#include "harness/record/folder.h"
#include "harness/record/verdict.h"
#include "harness/reference.h"
#include "harness/stats/latency.h"
#include "harness/system/counters.h"
#include "harness/system/machine.h"
#include "workloads/model/quantize.h"
#include "workloads/workload.h"

/* Answers compared word for word with the reference kernels, when those have to run for it alone.
 */
static const uint32_t MOST_SAME = 128;
static const size_t MEMORY_PART = 4; /* of what is left: one in so many for answers and times */

struct run {
    const struct jm_run_config *c;
    const struct jm_run_place *place;
    struct jm_record *row;
    const struct jm_workload_ops *ops;
    jm_backend backend;
    jm_device *device;
    jm_workload *workload;
    jm_format kv_format;
    char *model, *reference_model, *tokenizer, *data, *references; /* paths */
    jm_session *meters;
    jm_counters *counters;
    struct jm_counts counts;
    struct jm_load_evidence load;
    struct jm_reference quality, same; /* of the reference model; of this run's own file */
};

const struct jm_workload_ops *jm_run_workload(const char *name, jm_err *err)
{
    size_t n;
    const struct jm_workload_ops *const *all = jm_workloads(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    jm_fail(err, JM_EUSAGE, "no workload '%s'; 'joulemark list' shows those there are", name);
    return NULL;
}

const char *jm_run_model(const struct jm_run_config *c)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, NULL);
    return c->model[0] || !w ? c->model : w->model;
}

const char *jm_run_data(const struct jm_run_config *c)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, NULL);
    return c->data[0] || !w ? c->data : w->data;
}

jm_status jm_run_kv_format(const struct jm_run_config *c, jm_format *out, jm_err *err)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, err);
    if (!w)
        return JM_EUSAGE;
    *out = w->kv_format;
    if (c->kv_format[0] && (!jm_format_by_name(c->kv_format, out) ||
                            (*out != JM_F32 && *out != JM_F16 && *out != JM_Q8_0)))
        return jm_fail(err, JM_EUSAGE, "kv-format is F32, F16 or Q8_0, not '%.32s'", c->kv_format);
    return JM_OK;
}

static bool is_file(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISREG(sb.st_mode);
}

jm_status jm_run_model_file(const struct jm_run_config *c, const char *results, char **model,
                            char **source, jm_err *err)
{
    jm_format format;
    *model = *source = NULL;
    jm_status st = jm_find_file(jm_run_model(c), ".gguf", source, err);
    if (st == JM_OK && c->format[0])
        st = jm_quantize_format(c->format, &format, err);
    if (st != JM_OK)
        return st;
    if (!c->format[0] || (format == JM_F16 && strstr(*source, "-f16.gguf"))) {
        *model = strdup(*source);
        return *model ? JM_OK : jm_fail(err, JM_ENOMEM, "out of memory");
    }
    if (!is_file(*source))
        return jm_fail(err, JM_EUNSUPPORTED,
                       "%s: a folder of safetensors runs as it is; --format wants a GGUF model",
                       *source);
    const char *base = strrchr(*source, '/');
    base = base ? base + 1 : *source;
    char *dir = jm_asprintf("%s/models", results);
    *model = jm_asprintf("%s/%.*s-%s.gguf", dir ? dir : ".", (int)strcspn(base, "."), base,
                         jm_format_info(format)->name);
    st = *model && dir ? jm_make_dirs(dir, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && access(*model, F_OK) != 0)
        st = jm_quantize_file(*source, *model, format, NULL, err);
    free(dir);
    return st;
}

static void phase(struct run *r, const char *what)
{
    char label[64];
    snprintf(label, sizeof label, "%.40s: %s", r->c->name, what);
    jm_progress_start(r->place->progress, r->place->mode, stderr, label);
}

static void on_reference(double fraction, void *user)
{
    struct run *r = user;
    jm_progress_update(r->place->progress, fraction);
}

static void on_load(double fraction, void *user)
{
    struct run *r = user;
    jm_progress_update(r->place->progress, fraction);
}

static jm_status on_window(bool open, void *user, jm_err *err)
{
    struct run *r = user;
    jm_frequency_read("", open ? &r->load.before : &r->load.after);
    *(open ? &r->load.wait_before : &r->load.wait_after) = jm_core_wait_read();
    if (open)
        r->counters = jm_counters_begin();
    jm_status st = jm_session_phase(r->meters, open ? JM_PHASE_MEASURED : JM_PHASE_COOLDOWN, err);
    if (!open || st != JM_OK) {
        jm_counters_end(r->counters, &r->counts);
        r->counters = NULL;
    }
    return st;
}

static jm_status open_meters(struct run *r, jm_err *err)
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

/* Answers that are not text have no tokens: only their latency can be bounded. */
static jm_status check_bounds(const struct jm_workload_ops *w, const struct jm_run_config *c,
                              jm_err *err)
{
    if (!w->save || strcmp(c->scenario, "server") != 0)
        return JM_OK;
    if (jm_option_given(c, "ttft-ms") || jm_option_given(c, "tpot-ms"))
        return jm_fail(err, JM_EUSAGE,
                       "answers of %s have no tokens for ttft-ms and tpot-ms; give latency-ms",
                       c->workload);
    if (c->latency_ms == 0)
        return jm_fail(err, JM_EUSAGE, "the server scenario of %s needs latency-ms, a bound",
                       c->workload);
    return JM_OK;
}

jm_status jm_run_check(const struct jm_run_config *c, jm_err *err)
{
    const struct jm_workload_ops *w = jm_run_workload(c->workload, err);
    struct jm_load_config load;
    jm_format format;
    if (!w)
        return JM_EUSAGE;
    jm_status st = c->format[0] ? jm_quantize_format(c->format, &format, err) : JM_OK;
    if (st == JM_OK)
        st = jm_run_kv_format(c, &format, err);
    if (st == JM_OK)
        st = jm_load_settings(c, &load, err);
    return st == JM_OK ? check_bounds(w, c, err) : st;
}

static jm_status open_all(struct run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    struct jm_device_options how = { .threads = c->threads, .isa = c->isa[0] ? c->isa : NULL };
    jm_status st = jm_run_check(c, err);
    if (st != JM_OK)
        return st;
    r->ops = jm_run_workload(c->workload, err);
    st = jm_run_kv_format(c, &r->kv_format, err);
    if (st == JM_OK)
        st = jm_run_model_file(c, r->place->results, &r->model, &r->reference_model, err);
    if (st == JM_OK && c->tokenizer[0])
        st = jm_find_file(c->tokenizer, ".gguf", &r->tokenizer, err);
    if (st == JM_OK)
        st = jm_find_file(jm_run_data(c), ".csv", &r->data, err);
    if (st == JM_OK && c->reference[0] && strcmp(c->reference, "none") != 0) {
        free(r->reference_model);
        st = jm_find_file(c->reference, ".gguf", &r->reference_model, err);
    }
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
    if (st == JM_OK && strcmp(c->reference, "none") != 0) {
        struct jm_workload_config like = w;
        like.model_path = r->reference_model;
        phase(r, "reference answers");
        uint32_t most = c->reference_samples > 0 ? c->reference_samples : UINT32_MAX;
        st = jm_reference_get(r->ops, &like, most, r->references, on_reference, r, r->place->stop,
                              &r->quality, err);
        bool own = strcmp(r->model, r->reference_model) == 0;
        /* Pictures of other kernels differ in some last bit: only their likeness says much. */
        if (st == JM_OK && !r->ops->save)
            st = jm_reference_get(r->ops, &w, own || most < MOST_SAME ? most : MOST_SAME,
                                  r->references, on_reference, r, r->place->stop, &r->same, err);
        jm_progress_end(r->place->progress);
    }
    if (st == JM_OK)
        st = r->ops->open(&w, &r->workload, err);
    if (st == JM_OK && r->quality.folder)
        st = r->ops->against(r->workload, r->quality.folder, err);
    return st;
}

/* Nothing runs in an idle phase; without a meter it would be of no use. */
static jm_status idle(struct run *r, enum jm_phase which, jm_err *err)
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
static uint64_t memory_left(const struct run *r, const struct jm_model_info *m)
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
static uint32_t max_samples(struct run *r)
{
    struct jm_model_info m;
    r->ops->info(r->workload, &m);
    uint32_t n = r->ops->sut(r->workload)->n_samples;
    uint64_t fit = memory_left(r, &m) / MEMORY_PART / (m.answer_bytes + jm_load_bytes_per_sample());
    uint64_t most = r->c->max_queries > 0 ? r->c->max_queries : UINT32_MAX / 2;
    fit = fit < most ? fit : most;
    return n > fit ? n : (uint32_t)fit;
}

static jm_status meter_cost(struct run *r, jm_err *err)
{
    phase(r, "cost of meters");
    jm_progress_update(r->place->progress, 0);
    jm_status st = jm_meter_cost_measure(r->meters, r->place->stop, &r->load.meters, err);
    jm_progress_end(r->place->progress);
    return st;
}

static jm_status measure(struct run *r, jm_err *err)
{
    const struct jm_run_config *c = r->c;
    r->load.null_ns = r->place->null_ns;
    r->load.cfg = (struct jm_load_config){ .max_ids = max_samples(r),
                                           .stop = r->place->stop,
                                           .progress = on_load,
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

/* ---- the record ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "fr, de,de" and "de,fr" ask for the same. */
static void record_languages(struct jm_record *row, const char *list)
{
    char copy[sizeof row->languages], *word[sizeof copy / 2], *rest = copy;
    size_t n = 0, at = 0;
    jm_record_text(copy, list);
    for (char *w; (w = strsep(&rest, " ,"));)
        if (*w)
            word[n++] = w;
    if (n > 0)
        qsort(word, n, sizeof *word, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(word[i], word[i - 1]) != 0)
            at += (size_t)snprintf(row->languages + at, sizeof row->languages - at, "%s%s",
                                   at ? "," : "", word[i]);
}

static void record_identity(struct run *r)
{
    struct jm_record *row = r->row;
    const struct jm_run_config *c = r->c;
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(row->time_utc, sizeof row->time_utc, "%Y-%m-%dT%H:%M:%SZ", &tm);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    char repeat[16] = "";
    if (c->repeat > 1)
        snprintf(repeat, sizeof repeat, "-r%u", c->repeat);
    snprintf(row->run_id, sizeof row->run_id, "%s-%.100s-%ld%s", stamp, c->name, (long)getpid(),
             repeat);
    if (c->repeat > 0)
        row->repeat = c->repeat;
    jm_record_text(row->preset, c->preset);
    jm_record_text(row->joulemark_version, JM_VERSION);
    jm_record_text(row->commit, jm_machine_build().commit);
    jm_record_text(row->suite, r->place->suite);
    jm_record_text(row->run_name, c->name);
    jm_record_text(row->workload, c->workload);
    record_languages(row, c->languages);
    jm_record_text(row->backend, c->backend);
    jm_record_text(row->scenario, c->scenario);
    row->batch = c->batch;
    row->seed = c->seed;
}

static void record_model(struct run *r)
{
    struct jm_record *row = r->row;
    struct jm_model_info m;
    struct jm_device_info d;
    r->ops->info(r->workload, &m);
    r->backend.ops->info(r->device, &d);
    jm_record_text(row->model, m.name);
    jm_record_text(row->model_sha256, m.sha256);
    row->parameters = m.parameters;
    jm_record_text(row->weight_format, m.format);
    row->bits_per_weight_block = m.bits_per_weight_block;
    row->bits_per_weight_file = m.bits_per_weight_file;
    jm_record_text(row->kv_format, jm_format_info(r->kv_format)->name);
    jm_record_text(row->weights, m.synthetic ? "synthetic" : "real");
    jm_record_text(row->data_set, m.data_set);
    jm_record_text(row->data_sha256, m.data_sha256);
    jm_record_text(row->picture_settings, m.settings);
    row->model_bytes = m.file_bytes;
    row->plan_bytes = m.memory.weights + m.memory.caches + m.memory.work;
    row->plan_weights_bytes = m.memory.weights;
    row->plan_caches_bytes = m.memory.caches;
    row->encode_us = m.encode_us;
    jm_record_text(row->device, d.name);
    jm_record_text(row->host_cpu, d.name);
    jm_record_text(row->simd, d.isa);
    row->threads = d.threads;
    uint32_t cores = jm_machine_cores();
    if (cores > 0)
        row->cores_used = d.threads < cores ? d.threads : cores;
}

/* Before anything is measured. On demand only JSON goes to stderr, or nothing. */
static void state_memory(const struct run *r)
{
    struct jm_model_info m;
    r->ops->info(r->workload, &m);
    if (r->place->mode == JM_PROGRESS_AUTO)
        jm_memory_line(stderr, r->c->name, &m.memory, m.other_bytes);
}

static void record_speed(struct run *r, const struct jm_latency *l, double chars)
{
    struct jm_record *row = r->row;
    row->warmup_s = r->load.result.warmup_s;
    row->duration_s = l->duration_s;
    row->queries = l->n;
    row->copies = r->load.result.copies;
    row->queries_per_s = l->queries_per_s;
    row->tokens_in_per_s = l->tokens_in_per_s;
    row->tokens_out_per_s = l->tokens_out_per_s;
    row->source_chars_per_s = chars / l->duration_s;
    row->latency_mean_ms = l->mean_s * 1e3;
    row->latency_min_ms = l->min_s * 1e3;
    row->latency_p50_ms = l->p50_s * 1e3;
    row->latency_p90_ms = l->p90_s * 1e3;
    row->latency_p99_ms = l->p99_s * 1e3;
    row->latency_p999_ms = l->p999_s * 1e3;
    row->latency_max_ms = l->max_s * 1e3;
    row->ttft_p50_ms = l->ttft_p50_s * 1e3;
    row->ttft_p99_ms = l->ttft_p99_s * 1e3;
    row->tpot_p50_ms = l->tpot_p50_s * 1e3;
    row->tpot_p99_ms = l->tpot_p99_s * 1e3;
}

static void record_energy(struct run *r, double chars, double tokens_out)
{
    struct jm_record *row = r->row;
    struct jm_energy e;
    jm_session_energy(r->meters, &e);
    jm_record_text(row->energy_reason, e.reason);
    jm_record_text(row->energy_source, e.source);
    jm_record_text(row->energy_scope, e.scope);
    if (!e.available)
        return;
    jm_record_text(row->energy_valid, e.valid ? "yes" : "no");
    row->energy_j = e.joules;
    row->energy_net_j = e.net_j;
    row->energy_j_per_query = e.joules / r->load.result.n;
    row->energy_net_j_per_query = e.net_j / r->load.result.n;
    row->energy_j_per_token = tokens_out > 0 ? e.joules / tokens_out : NAN;
    row->energy_j_per_1000_chars = e.joules / chars * 1000;
    row->power_average_w = e.average_w;
    row->power_idle_w = e.idle_w;
    row->power_idle_after_w = e.idle_after_w;
    row->power_peak_w = e.peak_w;
    row->energy_error_j = e.error_j;
    row->energy_net_error_j = e.net_error_j;
    row->energy_min_window_s = isfinite(e.min_window_s) ? e.min_window_s : NAN;
    row->energy_update_s = e.update_s;
    row->energy_interval_s = e.interval_s;
    row->energy_readings = e.readings;
    row->energy_wraps = e.wraps;
}

static void record_counters(struct run *r, double tokens_out)
{
    struct jm_record *row = r->row;
    const struct jm_counts *c = &r->counts;
    jm_record_text(row->counters_reason, c->reason);
    if (!c->available)
        return;
    long line = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    row->instructions = c->instructions;
    row->cycles = c->cycles;
    row->instructions_per_cycle = c->instructions / c->cycles;
    row->cache_misses = c->cache_misses;
    if (tokens_out > 0 && line > 0)
        row->memory_bytes_per_token = c->cache_misses * (double)line / tokens_out;
}

static double source_chars(const struct run *r)
{
    double chars = 0;
    for (uint32_t i = 0; i < r->load.result.issued; i++) {
        const char *source, *lang;
        uint32_t n;
        r->ops->sample(r->workload, r->load.result.timings[i].index, &source, &n, &lang);
        chars += r->load.result.timings[i].done_ns ? n : 0;
    }
    return chars;
}

/* What only pictures have, and what they lack. After record_speed and record_energy. */
static void record_pictures(struct run *r, double duration_s)
{
    struct jm_record *row = r->row;
    struct jm_model_info m;
    r->ops->info(r->workload, &m);
    if (!(m.megapixels > 0))
        return;
    double pictures = r->load.result.n;
    row->megapixels_per_s = pictures * m.megapixels / duration_s;
    row->steps_per_s = pictures * m.answer_steps / duration_s;
    row->energy_j_per_megapixel = row->energy_j / (pictures * m.megapixels); /* NAN stays */
    row->tokens_out_per_s = row->energy_j_per_token = NAN;
}

/* What was answered, in the order of issue: all, or some of an interrupted run; of every stride-th
 * data sample. NULL: no memory. */
static uint32_t *done_ids(const struct run *r, uint32_t stride, uint32_t *n)
{
    const struct jm_load_result *all = &r->load.result;
    uint32_t *ids = calloc(all->n, sizeof *ids);
    *n = 0;
    for (uint32_t i = 0; ids && i < all->issued && *n < all->n; i++)
        if (all->timings[i].done_ns != 0 && all->timings[i].index % stride == 0)
            ids[(*n)++] = i;
    return ids;
}

/* Share of answers that the reference kernels give too, from the same file. */
static jm_status record_same(struct run *r, const uint32_t *ids, uint32_t n, jm_err *err)
{
    uint64_t same = 0, compared = 0;
    if (!r->same.answers)
        return JM_OK;
    for (uint32_t i = 0; i < n; i++) {
        const char *text;
        jm_status st = r->ops->answer(r->workload, ids[i], &text, err);
        if (st != JM_OK)
            return st;
        uint32_t index = r->load.result.timings[ids[i]].index;
        if (index % r->same.stride != 0 || index / r->same.stride >= r->same.n)
            continue;
        compared++;
        same += strcmp(text, r->same.answers[index / r->same.stride]) == 0;
    }
    r->row->exact_match_n = compared;
    if (compared > 0)
        r->row->exact_match = (double)same / (double)compared;
    return JM_OK;
}

/* whole: not interrupted, so that the answers can be held against the reference's. */
static void record_ratio(struct run *r, double value, bool whole)
{
    struct jm_record *row = r->row;
    if (r->quality.answers) {
        row->quality_reference = r->quality.quality;
        row->quality_length_reference = r->quality.length_ratio;
        row->quality_agreement_reference = r->quality.agreement;
    }
    if (!r->quality.answers)
        jm_record_text(row->quality_reason, "no reference");
    else if (!whole)
        jm_record_text(row->quality_reason,
                       "not all was answered; the reference is of the whole data set");
    else if (r->quality.quality > 0)
        row->quality_ratio = value / r->quality.quality;
    else
        jm_record_text(row->quality_reason, "the reference's quality is 0");
}

static jm_status record_quality(struct run *r, bool whole, jm_err *err)
{
    struct jm_record *row = r->row;
    struct jm_quality q = { .value = NAN };
    uint32_t n, *ids = done_ids(r, r->quality.answers ? r->quality.stride : 1, &n);
    if (!ids)
        return jm_fail(err, JM_ENOMEM, "scoring %u answers: out of memory", r->load.result.n);
    jm_status st = n > 0 ? r->ops->score(r->workload, ids, n, &q, err) : JM_OK;
    if (st == JM_OK)
        st = record_same(r, ids, n, err);
    free(ids);
    if (st != JM_OK)
        return st;
    row->quality_n = n;
    row->quality_required = r->c->min_quality;
    if (n > 0) {
        jm_record_text(row->quality_metric, q.metric);
        row->quality_value = q.value;
        row->quality_bleu = q.bleu;
        row->quality_psnr_db = q.psnr_db;
        row->quality_agreement = q.agreement;
        row->quality_worst = q.worst;
        jm_record_text(row->quality_worst_lang, q.worst_lang);
        row->quality_length_ratio = q.length_ratio;
    }
    record_ratio(r, q.value, whole && n > 0);
    jm_quality_judge(row);
    return JM_OK;
}

static jm_status record_results(struct run *r, bool whole, jm_err *err)
{
    struct jm_latency l;
    if (r->load.result.n == 0)
        return JM_OK;
    jm_status st = jm_load_latency(&r->load, r->ops->sut(r->workload)->n_samples, &l, err);
    if (st != JM_OK)
        return st;
    double chars = source_chars(r);
    record_speed(r, &l, chars);
    r->load.meter_share = jm_session_reading_share(r->meters);
    jm_record_load(r->row, &r->load, &l);
    record_energy(r, chars, l.tokens_out_per_s * l.duration_s);
    record_counters(r, l.tokens_out_per_s * l.duration_s);
    record_pictures(r, l.duration_s);
    if (whole && l.duration_s < r->c->min_duration_s)
        snprintf(r->row->status_reason, sizeof r->row->status_reason,
                 "measured for %.2f s of the %g s asked for", l.duration_s, r->c->min_duration_s);
    return record_quality(r, whole, err);
}

static const char *folder_lang(void *user, uint32_t index)
{
    const struct run *r = user;
    const char *source, *lang;
    uint32_t chars;
    r->ops->sample(r->workload, index, &source, &chars, &lang);
    return lang;
}

static jm_status folder_answer(void *user, uint32_t id, const char **text, jm_err *err)
{
    struct run *r = user;
    if (r->load.result.timings[id].done_ns == 0) {
        *text = "";
        return JM_OK;
    }
    return r->ops->answer(r->workload, id, text, err);
}

/* Answers that are not text, as answers/INDEX.suffix: of each data sample the first; equal ones
 * have equal hashes in samples.csv. */
static jm_status write_answers(struct run *r, const char *dir, jm_err *err)
{
    uint32_t n = r->ops->sut(r->workload)->n_samples;
    bool *have = calloc(n, sizeof *have);
    char *folder = jm_asprintf("%s/answers", dir);
    jm_status st = have && folder ? jm_make_dirs(folder, err)
                                  : jm_fail(err, JM_ENOMEM, "record: out of memory");
    for (uint32_t i = 0; i < r->load.result.issued && st == JM_OK; i++) {
        const struct jm_timing *t = &r->load.result.timings[i];
        if (t->done_ns == 0 || have[t->index])
            continue;
        char *path = jm_asprintf("%s/%u%s", folder, t->index, r->ops->suffix);
        st = path ? r->ops->save(r->workload, i, path, err)
                  : jm_fail(err, JM_ENOMEM, "record: out of memory");
        have[t->index] = true;
        free(path);
    }
    free(have);
    free(folder);
    return st;
}

/* What the answers that are not text were asked for. */
static jm_status write_captions(struct run *r, const char *dir, jm_err *err)
{
    jm_writer w;
    char *path = jm_asprintf("%s/captions.csv", dir);
    jm_status st =
        path ? jm_writer_open(path, &w, err) : jm_fail(err, JM_ENOMEM, "record: out of memory");
    free(path);
    if (st != JM_OK)
        return st;
    (void)fputs("index,lang,text\n", w.f);
    for (uint32_t i = 0; i < r->ops->sut(r->workload)->n_samples; i++) {
        const char *text, *lang;
        uint32_t chars;
        r->ops->sample(r->workload, i, &text, &chars, &lang);
        (void)fprintf(w.f, "%u,", i);
        (void)csv_fwrite(w.f, lang, strlen(lang));
        (void)fputc(',', w.f);
        (void)csv_fwrite(w.f, text, strlen(text));
        (void)fputc('\n', w.f);
    }
    return jm_writer_commit(&w, err);
}

static jm_status write_folder(struct run *r, jm_err *err)
{
    char *dir = jm_asprintf("%s/%s/%s", r->place->results, r->place->suite, r->row->run_id);
    if (!dir)
        return jm_fail(err, JM_ENOMEM, "record: out of memory");
    /* Relative to the results file, so that both may move. */
    jm_record_text(r->row->record_dir, dir + strlen(r->place->results) + 1);
    struct jm_folder_source src = { .user = r, .lang = folder_lang, .answer = folder_answer };
    jm_status st = jm_make_dirs(dir, err);
    if (st == JM_OK && r->workload)
        st = jm_folder_samples(dir, r->load.result.timings, r->load.result.issued,
                               r->load.result.t_start_ns, &src, err);
    if (st == JM_OK && r->workload && r->ops->save)
        st = write_answers(r, dir, err);
    if (st == JM_OK && r->workload && r->ops->save)
        st = write_captions(r, dir, err);
    if (st == JM_OK)
        st = jm_load_write_peak(dir, &r->load.peak, err);
    if (st == JM_OK)
        st = jm_session_write(r->meters, dir, err);
    if (st == JM_OK)
        st = jm_folder_machine(dir, "", err);
    if (st == JM_OK)
        st = jm_folder_manifest(dir, r->row, r->c, err);
    if (st != JM_OK) { /* a part of it would look like a whole one */
        jm_folder_remove(dir);
        r->row->record_dir[0] = 0;
    }
    free(dir);
    return st;
}

static void close_all(struct run *r)
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
    struct run r = { .c = c, .place = place, .row = row };
    jm_record_clear(row);
    record_identity(&r);
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
    struct run r = { .c = c, .place = place, .row = row };
    jm_record_clear(row);
    record_identity(&r);
    r.references = jm_asprintf("%s/references", place->results);
    jm_status st = r.references ? open_all(&r, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK) {
        record_model(&r);
        state_memory(&r);
        st = measure(&r, err);
        jm_session_end(r.meters);
    }
    if (st == JM_OK || st == JM_EINTERRUPTED) {
        jm_err why = { 0 };
        jm_status recorded =
            record_results(&r, st == JM_OK && r.load.result.n == r.load.result.issued, &why);
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
    jm_status written = write_folder(&r, &why);
    if (written != JM_OK && st == JM_OK) { /* figures that nothing proves */
        st = jm_fail(err, written, "%s", why.text);
        jm_record_text(row->status, "failed");
        jm_record_text(row->status_reason, err->text);
    }
    close_all(&r);
    return st;
}
