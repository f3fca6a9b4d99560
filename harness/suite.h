/* SPDX-License-Identifier: Apache-2.0 */
/* What to run: one table of options serves suite files and the command line. A suite is an INI
 * file after the manner of fio: [global] holds defaults, every other section is one run. */
#ifndef JM_HARNESS_SUITE_H
#define JM_HARNESS_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum { JM_SUITE_MAX_RUNS = 256 };

struct jm_run_config {
    char name[64];             /* the section */
    uint64_t given;            /* bit i: option i of the table was given, not left at its default */
    uint32_t repeat;           /* from 1, which of repeats this is; 0: not yet laid out */
    char preset[16];           /* "": none */
    uint32_t repeats, shuffle; /* shuffle: 1: the runs of a suite in random order */
    double cooldown_s;         /* waited before this run, but for the first of all */
    char workload[32];
    char model[512];     /* path or name; "": the workload's own */
    char tokenizer[512]; /* GGUF file whose tokenizer serves; "": the model's own */
    char format[16];     /* quantize the model to this first; "": as it is */
    char kv_format[16];  /* of keys and values; "": the workload's own */
    char backend[32];
    char isa[32];     /* "": the best there is */
    uint32_t threads; /* 0: the backend's choice */
    char scenario[32];
    uint32_t batch;
    uint32_t samples_per_query;          /* multi-stream */
    double target_qps;                   /* server; 0: find-peak starts from the warm-up's */
    double latency_ms, ttft_ms, tpot_ms; /* server's bounds; 0: none */
    uint32_t find_peak;                  /* 1: search the highest valid target_qps */
    uint32_t size, steps;                /* of pictures; 0: the model's own */
    double cfg;                          /* guidance of pictures; below 0: the model's own */
    char data[512];                      /* path or name; "": the workload's own */
    char languages[256];                 /* comma separated; "": all */
    double warmup_s, min_duration_s;
    uint64_t min_queries, seed;
    uint32_t max_queries; /* memory is taken for so many; 0: as a quarter of what is free holds */
    double max_memory_gb; /* 0: what is available */
    double min_quality;   /* of the reference's, at which the run is valid */
    char energy[256];     /* meters: auto, none, or NAME[=FILE],... */
    double energy_idle_s, energy_error;
    uint32_t energy_interval_ms;
    double powerlog_offset_s, powerlog_gap_s;
    char powerlog_scope[8];
    char reference[512];        /* model whose quality is the reference; "": as given; "none" */
    uint32_t reference_samples; /* data samples that quality is judged on; 0: all */
};

enum jm_option_kind {
    JM_OPTION_TEXT,
    JM_OPTION_U32,
    JM_OPTION_U64,
    JM_OPTION_DOUBLE,
    JM_OPTION_FLAG /* uint32_t 0 or 1; yes or no; alone on the command line: yes */
};

struct jm_option {
    const char *name; /* of the field; suites and the command line write dashes for its _ */
    enum jm_option_kind kind;
    size_t offset;      /* in struct jm_run_config */
    size_t bytes;       /* of a text, with its end */
    double min, max;    /* of a number, inclusive */
    const char *preset; /* the default */
    const char *help;
    bool with_suite; /* may stand beside --suite, for all its runs */
};

/* All options; *n of them. */
const struct jm_option *jm_options(size_t *n);

/* Every option at its default, name empty. */
void jm_run_config_init(struct jm_run_config *c);

/* Sets one option from text. where opens the message ("suite.ini:12", "--threads"). JM_EUSAGE:
 * unknown key, with a suggestion, or a value out of bounds. */
jm_status jm_option_set(struct jm_run_config *c, const char *key, const char *value,
                        const char *where, jm_err *err);

/* Whether argv[*i] is name, "--suite FILE" or "--suite=FILE": then *value is what it gives, and *i
 * moves past it. */
bool jm_option_takes(const char *name, int argc, char **argv, int *i, const char **value);

/* Whether arg is one of names, which NULL ends: asked of what jm_option_takes did not take, it says
 * that a value is missing. */
bool jm_option_is_bare(const char *arg, const char *const *names);

/* Reads "--threads 2" or "--threads=2" at argv[*i] and moves *i past it. JM_EUSAGE. */
jm_status jm_option_parse(struct jm_run_config *c, int argc, char **argv, int *i, jm_err *err);

/* Whether option key was given rather than left at its default. */
bool jm_option_given(const struct jm_run_config *c, const char *key);

/* Whether option key has another value than its default, which may have been given too. */
bool jm_option_changed(const struct jm_run_config *c, const char *key);

/* Whether nothing was given that may not stand beside --suite. */
bool jm_options_suit_suite(const struct jm_run_config *c);

/* Gives c those options of from that were given and may stand beside --suite. */
void jm_options_override(struct jm_run_config *c, const struct jm_run_config *from);

/* The options with bounds, defaults and help, for --help. */
void jm_options_print(FILE *f);

/* Reads a suite. *runs is the caller's to free; *n >= 1. JM_ENOTFOUND, JM_EIO; JM_EINPUT with
 * file and line: over 1 MiB or JM_SUITE_MAX_RUNS, a key unknown, given twice or out of bounds, a
 * section given twice, no run at all. */
jm_status jm_suite_load(const char *path, struct jm_run_config **runs, size_t *n, jm_err *err);

#endif
