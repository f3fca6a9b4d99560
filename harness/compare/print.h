/* SPDX-License-Identifier: Apache-2.0 */
/* A report as text: for people, spreadsheets, pull requests and programs. */
#ifndef JM_HARNESS_COMPARE_PRINT_H
#define JM_HARNESS_COMPARE_PRINT_H

#include <stdio.h>

#include "harness/compare/report.h"

enum jm_report_format { JM_REPORT_TABLE, JM_REPORT_CSV, JM_REPORT_MARKDOWN, JM_REPORT_JSON };

/* What is printed, with the names of the two sides. */
struct jm_report_text {
    const struct jm_pairing *pairing;
    const struct jm_report *report;
    const struct jm_report_how *how;
    const char *a, *b;
};

/* Writes the report to f. JM_ENOMEM; write errors stay in ferror(f). */
jm_status jm_report_print(FILE *f, const struct jm_report_text *t, enum jm_report_format format,
                          jm_err *err);

#endif
