/* SPDX-License-Identifier: Apache-2.0 */
/* The row of a run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/cmd_run_parts.h"
#include "harness/record/verdict.h"
#include "harness/stats/latency.h"
#include "harness/system/machine.h"

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

void jm_run_record_identity(struct jm_run *r)
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

void jm_run_record_model(struct jm_run *r)
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
static void record_speed(struct jm_run *r, const struct jm_latency *l, double chars)
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

static void record_energy(struct jm_run *r, double chars, double tokens_out)
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

static void record_counters(struct jm_run *r, double tokens_out)
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

static double source_chars(const struct jm_run *r)
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
static void record_pictures(struct jm_run *r, double duration_s)
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
static uint32_t *done_ids(const struct jm_run *r, uint32_t stride, uint32_t *n)
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
static jm_status record_same(struct jm_run *r, const uint32_t *ids, uint32_t n, jm_err *err)
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
static void record_ratio(struct jm_run *r, double value, bool whole)
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

static jm_status record_quality(struct jm_run *r, bool whole, jm_err *err)
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

jm_status jm_run_record_results(struct jm_run *r, bool whole, jm_err *err)
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
