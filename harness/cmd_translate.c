/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark translate: text in, translation out, word by word, so that anyone can see the model is
 * real. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/number.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/memory_line.h"
#include "harness/paths.h"
#include "workloads/translate/translator.h"

static const char usage[] =
    "usage: joulemark translate --to LANG [options] [TEXT...]\n\n"
    "Translates TEXT, or each line of standard input, to standard output.\n\n"
    "  --to LANG       target language: de, fr, es, zh with the bundled model\n"
    "  --model FILE    GGUF model (bundled: tiny-mt-f16.gguf, tiny-mt-stq1_0.gguf)\n"
    "  --backend NAME  where it runs (cpu)\n"
    "  --threads N     threads (all cores)\n"
    "  --kv-format F   keys and values are kept as f32, f16 or q8_0 (f16)\n\n"
    "examples:\n"
    "  joulemark translate --to de \"Save the file\"\n"
    "  joulemark translate --to fr <messages.txt\n";

struct options {
    const char *to, *model, *backend;
    uint32_t threads;
    jm_format kv;
};

static void print_piece(void *user, const char *text, size_t bytes)
{
    bool *begun = user;
    *begun = true;
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
}

static jm_status one_line(jm_translator *t, const struct options *o, const char *line, size_t n,
                          jm_err *err)
{
    bool begun = false;
    jm_status st = jm_translate_line(t, line, n, o->to, print_piece, &begun, err);
    if (st == JM_OK || begun)
        putchar('\n');
    if (st == JM_OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = jm_fail(err, JM_EIO, "standard output: cannot write");
    return st;
}

static jm_status all_lines(jm_translator *t, const struct options *o, jm_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    jm_status st = JM_OK;
    for (unsigned long number = 1; st == JM_OK; number++) {
        ssize_t n = getline(&line, &cap, stdin);
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        jm_err why = { 0 };
        st = one_line(t, o, line, (size_t)n, &why);
        if (st != JM_OK)
            jm_fail(err, st, "line %lu: %.460s", number, why.text);
    }
    if (st == JM_OK && !feof(stdin)) /* a folder, a closed descriptor, no memory */
        st = jm_fail(err, JM_EIO, "standard input: cannot read: %s", strerror(errno));
    free(line);
    return st;
}

static void state_memory(const jm_translator *t)
{
    struct jm_plan_memory m = jm_translator_memory(t);
    jm_memory_line(stderr, "joulemark translate", &m, 0);
}

static jm_status translate(const struct options *o, int n_text, char **text, jm_err *err)
{
    jm_backend b = { 0 };
    jm_device *dev = NULL;
    jm_translator *t = NULL;
    char *path = NULL;
    struct jm_device_options how = { .threads = o->threads };
    jm_status st = jm_find_file(o->model, ".gguf", &path, err);
    if (st == JM_OK)
        st = jm_backend_load(o->backend, &b, err);
    if (st == JM_OK)
        st = b.ops->open(0, &how, &dev, err);
    if (st == JM_OK)
        st = jm_translator_open(path, b.ops, dev, 1, o->kv, &t, err);
    if (st == JM_OK)
        state_memory(t);
    if (st == JM_OK && n_text == 0)
        st = all_lines(t, o, err);
    for (int i = 0; i < n_text && st == JM_OK; i++)
        st = one_line(t, o, text[i], strlen(text[i]), err);
    jm_translator_close(t);
    if (dev)
        b.ops->close(dev);
    jm_backend_unload(&b);
    free(path);
    return st;
}

static jm_status set_option(struct options *o, int c, const char *value, jm_err *err)
{
    const char **text = c == 't' ? &o->to : c == 'm' ? &o->model : &o->backend;
    if (c == 'n')
        return jm_number_given_u32("--threads", value, 1, 65536, &o->threads, err);
    if (c != 'k')
        *text = value;
    else if (!jm_format_by_name(value, &o->kv) ||
             (o->kv != JM_F32 && o->kv != JM_F16 && o->kv != JM_Q8_0))
        return jm_fail(err, JM_EUSAGE, "--kv-format must be f32, f16 or q8_0, not '%.64s'", value);
    return JM_OK;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = { { "to", required_argument, NULL, 't' },
                                             { "model", required_argument, NULL, 'm' },
                                             { "backend", required_argument, NULL, 'b' },
                                             { "threads", required_argument, NULL, 'n' },
                                             { "kv-format", required_argument, NULL, 'k' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    jm_err err = { 0 };
    jm_status st = JM_OK;
    for (int c; st == JM_OK && (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (c == '?') { /* getopt has said what is wrong */
            fputs("see 'joulemark translate --help'\n", stderr);
            return JM_EXIT_USAGE;
        }
        st = set_option(o, c, optarg, &err);
    }
    if (st == JM_OK && !o->to)
        st = jm_fail(&err, JM_EUSAGE, "--to LANG is missing, such as --to de");
    if (st == JM_OK)
        return -1;
    fprintf(stderr, "joulemark translate: %s\n", err.text);
    return jm_exit_code(st);
}

int jm_cmd_translate(int argc, char **argv)
{
    struct options o = { .model = "tiny-mt-f16.gguf", .backend = "cpu", .kv = JM_F16 };
    jm_err err = { 0 };
    int code = parse(argc, argv, &o);
    if (code >= 0)
        return code;
    jm_status st = translate(&o, argc - optind, argv + optind, &err);
    if (st != JM_OK)
        fprintf(stderr, "joulemark translate: %s\n", err.text);
    return jm_exit_code(st);
}
