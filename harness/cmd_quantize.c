/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark quantize: a smaller model file from a larger one. */
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/exit_code.h"
#include "workloads/model/quantize.h"

static const char usage[] =
    "usage: joulemark quantize MODEL.gguf OUT.gguf FORMAT\n\n"
    "Writes MODEL's matrices in FORMAT: F32, F16, BF16, Q8_0, Q6_K, Q5_0, Q4_K or Q4_0. "
    "Embeddings\n"
    "stay at 8 bits or more. A matrix whose rows are not whole blocks of FORMAT gets the next "
    "larger\n"
    "one that fits, or stays, and how many did is said. OUT appears whole or not at all.\n\n"
    "example:\n"
    "  joulemark quantize workloads/data/tiny-mt-f16.gguf /tmp/tiny-mt-q8_0.gguf Q8_0\n";

/* Matrices whose rows are not whole blocks of the format. */
static void tell(const struct jm_quantized *q, jm_format to)
{
    const char *name = jm_format_info(to)->name;
    if (q->replaced > 0)
        printf("%s in place of %s, whose blocks do not fit: %zu matrices\n",
               jm_format_info(q->replacement)->name, name, q->replaced);
    if (q->left > 0)
        printf("left as they are, as blocks of %s do not fit: %zu matrices\n", name, q->left);
}

int jm_cmd_quantize(int argc, char **argv)
{
    struct jm_quantized q;
    jm_format to;
    jm_err err = { 0 };
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return JM_EXIT_OK;
    }
    if (argc != 4) {
        fputs(usage, stderr);
        return JM_EXIT_USAGE;
    }
    jm_status st = jm_quantize_format(argv[3], &to, &err);
    if (st == JM_OK)
        st = jm_quantize_file(argv[1], argv[2], to, &q, &err);
    if (st == JM_OK)
        tell(&q, to);
    else
        fprintf(stderr, "joulemark quantize: %s\n", err.text);
    return jm_exit_code(st);
}
