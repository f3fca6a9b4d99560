/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: each takes its own arguments (argv[0] is the command's name) and returns an
 * exit code of harness/exit_code.h. */
#ifndef JM_HARNESS_COMMANDS_H
#define JM_HARNESS_COMMANDS_H

#include <signal.h>
#include <stdbool.h>

int jm_cmd_compare(int argc, char **argv);
int jm_cmd_doctor(int argc, char **argv);
int jm_cmd_gate(int argc, char **argv);
int jm_cmd_imagine(int argc, char **argv);
int jm_cmd_list(int argc, char **argv);
int jm_cmd_plot(int argc, char **argv);
int jm_cmd_quantize(int argc, char **argv);
int jm_cmd_reproduce(int argc, char **argv);
int jm_cmd_roofline(int argc, char **argv);
int jm_cmd_run(int argc, char **argv);
int jm_cmd_selftest(int argc, char **argv);
int jm_cmd_synth(int argc, char **argv);
int jm_cmd_translate(int argc, char **argv);
int jm_cmd_version(int argc, char **argv);

/* 'joulemark plot': an exit code. stop: non-zero: draws no further; may be NULL. */
int jm_plot_results(const char *csv, const char *out, bool quiet,
                    const volatile sig_atomic_t *stop);

#endif
