/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark: picks the subcommand. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/edit_distance.h"
#include "harness/commands.h"
#include "harness/exit_code.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    { "run", jm_cmd_run, "measure: one run from options, or a suite file" },
    { "translate", jm_cmd_translate, "translate lines of text, to see that the model is real" },
    { "compare", jm_cmd_compare, "how two sets of results differ, and how sure that is" },
    { "gate", jm_cmd_gate, "fail when new results are worse than a baseline" },
    { "imagine", jm_cmd_imagine, "draw a picture of a caption, to see that the model is real" },
    { "reproduce", jm_cmd_reproduce, "run a claim, or a recorded run, again: does it hold?" },
    { "plot", jm_cmd_plot, "draw plots from a results CSV" },
    { "roofline", jm_cmd_roofline, "what limits this machine, and how near each operation comes" },
    { "quantize", jm_cmd_quantize, "make a smaller model file from a larger one" },
    { "synth", jm_cmd_synth, "make a model file of a real shape with random weights" },
    { "list", jm_cmd_list, "what there is: workloads, backends, models, data sets" },
    { "selftest", jm_cmd_selftest, "what measuring itself costs on this machine" },
    { "doctor", jm_cmd_doctor, "what this machine can measure, and what would improve it" },
    { "version", jm_cmd_version, "version and build" },
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fputs("joulemark measures how many useful answers a machine gives per second and per joule.\n\n"
          "usage: joulemark COMMAND [options]      joulemark COMMAND --help\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\nexamples:\n"
          "  joulemark translate --to de \"Save the file\"\n"
          "  joulemark imagine \"red apple\" -o apple.png\n"
          "  joulemark run --suite suites/default.ini\n"
          "  joulemark plot results/default.csv\n\n"
          "exit codes: 0 done; 1 a run failed or was invalid; 2 wrong usage; 3 bad input file;\n"
          "            4 the system refused (files, memory); 5 unsupported here; 130 interrupted\n",
          out);
}

/* The exit code, unless what was printed did not arrive and nobody has said so. */
static int printed(int code)
{
    errno = 0;
    bool lost = fflush(stdout) != 0 || ferror(stdout);
    if (!lost || code != JM_EXIT_OK)
        return code;
    fprintf(stderr, "joulemark: standard output: cannot write: %s\n",
            strerror(errno ? errno : EIO));
    return JM_EXIT_SYSTEM;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return JM_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return printed(JM_EXIT_OK);
    }
    const struct command *near = NULL;
    size_t least = 4; /* farther is no near miss */
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return printed(commands[i].run(argc - 1, argv + 1));
        size_t d = jm_edit_distance(argv[1], commands[i].name);
        if (d < least) {
            least = d;
            near = &commands[i];
        }
    }
    if (strcmp(argv[1], "--version") == 0)
        return printed(jm_cmd_version(1, argv));
    fprintf(stderr, "joulemark: no command '%.40s';", argv[1]);
    if (near)
        fprintf(stderr, " did you mean '%s'?", near->name);
    fputs(" 'joulemark --help' lists all\n", stderr);
    return JM_EXIT_USAGE;
}
