/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of the results file: one row of the table below a column. The struct, the reader
 * and the writer are all made from it. */
#ifndef JM_HARNESS_RECORD_COLUMNS_H
#define JM_HARNESS_RECORD_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

enum { JM_SCHEMA_VERSION = 5, JM_TEXT_BYTES = 256 };

/* A u64 column without a value. */
#define JM_U64_EMPTY UINT64_MAX

/* T: text, U: u64, D: double; each takes name, unit, description. */
/* clang-format off */
#define JM_COLUMNS(T, U, D) \
    U(schema_version, "", "schema of this row, 5") \
    T(run_id, "", "unique name of the run") \
    T(time_utc, "", "start, ISO 8601, UTC") \
    T(joulemark_version, "", "version of the program") \
    T(commit, "", "source revision it was built from") \
    T(ab_id, "", "session of alternating runs; empty: none") \
    T(ab_side, "", "A or B in that session") \
    U(ab_pair, "", "number of the pair, from 1") \
    T(suite, "", "name of the suite file") \
    T(run_name, "", "section of the suite file") \
    U(repeat, "", "which repeat of the run this is, from 1") \
    T(preset, "", "set of durations and counts that was chosen") \
    T(status, "", "complete, invalid, interrupted, failed or not run") \
    T(status_reason, "", "why it is not complete, or what fell short") \
    T(workload, "", "name of the workload") \
    T(model, "", "name of the model") \
    T(model_sha256, "", "SHA-256 of the model file") \
    U(parameters, "", "weights in all tensors") \
    T(weight_format, "", "most frequent matrix format") \
    D(bits_per_weight_block, "bit", "bits a weight of that format") \
    D(bits_per_weight_file, "bit", "file size over parameters") \
    T(weights, "", "real or synthetic") \
    T(kv_format, "", "format of the keys and values of text that are kept") \
    T(data_set, "", "name of the data set") \
    T(data_sha256, "", "SHA-256 of the data file") \
    T(languages, "", "target languages asked for, in order; empty: all") \
    T(host_cpu, "", "model name of the processor") \
    U(cores_used, "", "cores that compute: the fewer of threads and cores here") \
    T(simd, "", "instruction set chosen") \
    T(backend, "", "backend that computed") \
    T(device, "", "device that computed") \
    U(memory_peak_bytes, "B", "peak resident memory of the process") \
    U(model_bytes, "B", "size of the model file") \
    U(plan_bytes, "B", "backend memory: weights, caches, work space") \
    U(plan_weights_bytes, "B", "of it: weights as the kernels want them") \
    U(plan_caches_bytes, "B", "of it: keys and values") \
    T(scenario, "", "load scenario") \
    U(threads, "", "threads of the backend") \
    U(batch, "", "sequences decoded together at most") \
    U(seed, "", "seed of sample order and arrivals") \
    D(warmup_s, "s", "time spent before measuring") \
    D(duration_s, "s", "measured time") \
    U(queries, "", "queries answered in the measured time") \
    U(copies, "", "whole copies of the data set answered") \
    D(queries_per_s, "1/s", "answers over duration") \
    D(tokens_in_per_s, "1/s", "source tokens over duration") \
    D(tokens_out_per_s, "1/s", "answer tokens over duration") \
    D(source_chars_per_s, "1/s", "source Unicode characters over duration") \
    T(picture_settings, "", "size, steps, guidance and time shift of pictures") \
    D(megapixels_per_s, "1/s", "millions of pixels drawn over duration") \
    D(steps_per_s, "1/s", "sampling steps of all pictures over duration") \
    D(latency_mean_ms, "ms", "mean latency") \
    D(latency_min_ms, "ms", "lowest latency") \
    D(latency_p50_ms, "ms", "median latency") \
    D(latency_p90_ms, "ms", "90th percentile of latency") \
    D(latency_p99_ms, "ms", "99th percentile of latency") \
    D(latency_p999_ms, "ms", "99.9th percentile of latency") \
    D(latency_max_ms, "ms", "highest latency") \
    T(percentiles_supported, "", "percentiles for which queries suffice at 99 % confidence") \
    D(latency_p50_bound_ms, "ms", "the median is at most this at 99 % confidence") \
    D(latency_p90_bound_ms, "ms", "the 90th percentile is at most this at 99 % confidence") \
    D(latency_p99_bound_ms, "ms", "the 99th percentile is at most this at 99 % confidence") \
    D(latency_p999_bound_ms, "ms", "the 99.9th percentile is at most this at 99 % confidence") \
    D(encode_us, "us", "text to tokens of one sample; done before it is issued, not in latency") \
    D(ttft_p50_ms, "ms", "median time to the first token") \
    D(ttft_p99_ms, "ms", "99th percentile of time to the first token") \
    D(tpot_p50_ms, "ms", "median time a token after the first") \
    D(tpot_p99_ms, "ms", "99th percentile of time a token after the first") \
    U(samples_per_query, "", "samples that multi-stream issues together; latency is of the slowest") \
    D(target_qps, "1/s", "mean arrival rate of the server scenario") \
    U(peak_probes, "", "windows tried in search of that rate; empty: it was given") \
    D(bound_latency_ms, "ms", "bound that 99 % of answers had to keep") \
    D(bound_ttft_ms, "ms", "the same for the time to the first token") \
    D(bound_tpot_ms, "ms", "the same for the time a token after the first") \
    U(over_bound, "", "queries over any of the bounds") \
    D(issue_delay_p50_us, "us", "median time from a scheduled arrival to its issue") \
    D(issue_delay_p99_us, "us", "99th percentile of it") \
    D(issue_delay_max_us, "us", "highest of it") \
    D(harness_ns, "ns", "cost of a query to a system that answers at once, measured before the runs") \
    D(harness_share, "", "that cost over the metric of the scenario") \
    D(meter_share, "", "processor time of reading meters over the measured time; empty: no meter") \
    D(meter_difference, "", "a query to a system that answers at once takes this share longer while meters are read; measured before the run") \
    D(meter_difference_low, "", "at least this at 99 % confidence; with harness_share above 0.01, or meter_share with it, the run is invalid") \
    D(meter_difference_high, "", "at most this at 99 % confidence") \
    T(meter_difference_reason, "", "why the difference is unavailable") \
    D(core_wait_share, "", "share of the measured time that the measuring thread had no core") \
    U(frequency_start_khz, "kHz", "mean clock of all cores before the measured time") \
    U(frequency_end_khz, "kHz", "mean clock of all cores after it") \
    U(throttle_events, "", "thermal throttling of cores in between") \
    T(frequency_reason, "", "why clock or throttling are unavailable") \
    T(energy_source, "", "meters that measured, joined by +; estimated: a model, no measurement") \
    T(energy_scope, "", "what they cover: chip, board, node or wall") \
    T(energy_valid, "", "yes, or no: error too large, or idle power changed") \
    T(energy_reason, "", "why energy is unavailable, not valid or not net") \
    D(energy_j, "J", "energy over the measured time") \
    D(energy_net_j, "J", "the same less idle power over that time") \
    D(energy_j_per_query, "J", "energy over queries") \
    D(energy_net_j_per_query, "J", "net energy over queries") \
    D(energy_j_per_token, "J", "energy over answer tokens") \
    D(energy_j_per_1000_chars, "J", "energy over 1000 source characters") \
    D(energy_j_per_megapixel, "J", "energy over a million pixels of the answers") \
    D(power_average_w, "W", "energy over duration") \
    D(power_peak_w, "W", "highest mean power of a step of the meter") \
    D(power_idle_w, "W", "mean power of the idle phase before") \
    D(power_idle_after_w, "W", "mean power of the idle phase after") \
    D(energy_error_j, "J", "bound of the error of energy_j, without the meter's gain error") \
    D(energy_net_error_j, "J", "bound of the error of energy_net_j") \
    D(energy_min_window_s, "s", "measured time that keeps the stated error at this power") \
    D(energy_update_s, "s", "time between values of the slowest meter") \
    D(energy_interval_s, "s", "time between its readings") \
    U(energy_readings, "", "readings in the measured time") \
    U(energy_wraps, "", "counter wrap-arounds in it") \
    D(instructions, "", "instructions of all threads in the measured time") \
    D(cycles, "", "processor cycles of all threads in it") \
    D(instructions_per_cycle, "", "instructions over cycles") \
    D(cache_misses, "", "misses of the last cache level in it") \
    D(memory_bytes_per_token, "B", "cache misses times cache line over answer tokens") \
    T(counters_reason, "", "why hardware counters are unavailable") \
    T(quality_metric, "", "name of the metric") \
    U(quality_n, "", "answers that it is of: to those data samples that the reference answered") \
    D(quality_value, "", "mean over languages of the corpus score") \
    D(quality_reference, "", "the reference run's quality_value") \
    D(quality_ratio, "", "quality_value over quality_reference") \
    D(quality_required, "", "quality_ratio at which the run is valid") \
    T(quality_tier, "", "highest of 0.999, 0.99, 0.97, 0.95 that quality_ratio reaches, or below 0.95") \
    T(quality_valid, "", "yes, no or unknown: quality_ratio and length are as required") \
    T(quality_reason, "", "why quality_valid is not yes") \
    D(quality_bleu, "", "mean over languages of BLEU") \
    T(quality_worst_lang, "", "language with the lowest score") \
    D(quality_worst, "", "its score") \
    D(quality_length_ratio, "", "answer characters over reference characters") \
    D(quality_length_reference, "", "the reference run's quality_length_ratio") \
    D(quality_psnr_db, "dB", "of the mean squared error to the reference's pictures; empty where none differs") \
    D(quality_agreement, "", "share of pictures most like their own caption's small picture") \
    D(quality_agreement_reference, "", "the reference run's quality_agreement") \
    D(exact_match, "", "share of answers that the reference kernels give word for word") \
    U(exact_match_n, "", "answers compared for it") \
    T(record_dir, "", "folder of the run's files, relative to that of the results file")
/* clang-format on */

/* One row. Empty: "" for text, JM_U64_EMPTY for u64, NAN for double. Text is UTF-8. */
struct jm_record {
#define JM_MEMBER_TEXT(name, unit, text) char name[JM_TEXT_BYTES];
#define JM_MEMBER_U64(name, unit, text) uint64_t name;
#define JM_MEMBER_DOUBLE(name, unit, text) double name;
    JM_COLUMNS(JM_MEMBER_TEXT, JM_MEMBER_U64, JM_MEMBER_DOUBLE)
#undef JM_MEMBER_TEXT
#undef JM_MEMBER_U64
#undef JM_MEMBER_DOUBLE
};

enum jm_column_kind { JM_COLUMN_TEXT, JM_COLUMN_U64, JM_COLUMN_DOUBLE };

struct jm_column {
    const char *name;
    const char *unit; /* "" for none */
    const char *text; /* what it means */
    enum jm_column_kind kind;
    size_t offset; /* in struct jm_record */
};

/* All columns in file order; *n of them. */
const struct jm_column *jm_columns(size_t *n);

/* Every value empty, schema_version set. */
void jm_record_clear(struct jm_record *r);

/* Copies s into a text column, cutting at a character boundary where it is too long. NULL: "". */
void jm_record_text(char dst[JM_TEXT_BYTES], const char *s);

#endif
