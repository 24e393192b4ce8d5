/* program.c: run one operation, or a list of them, in one parallel region. */
#define _GNU_SOURCE
#include "team.h"

#include <time.h>

#define POLL_SECONDS 0.05

static struct ck_scratch scratch_of(const struct ck_kernels *kernels, int id, const void *op) {
    struct ck_scratch need = {0};
    if (kernels->scratch[id]) kernels->scratch[id](op, &need);
    return need;
}

struct one_call {
    ck_kernel *kernel;
    const void *op;
};

static void run_one(const struct ck_team *team, void *context) {
    const struct one_call *call = context;
    call->kernel(call->op, team);
}

int ck_run(const struct ck_kernels *kernels, int kernel_id, const void *op) {
    struct one_call call = {kernels->run[kernel_id], op};
    return ck_team_run(run_one, &call, scratch_of(kernels, kernel_id, op), NULL);
}

struct ck_scratch ck_program_scratch(const struct ck_program *program) {
    struct ck_scratch most = {0};
    for (ptrdiff_t i = 0; i < program->n_instructions; i++) {
        const struct ck_instruction *instruction = &program->instructions[i];
        const struct ck_scratch need =
            scratch_of(program->kernels, instruction->kernel_id, instruction->op);
        if (need.shared > most.shared) most.shared = need.shared;
        if (need.per_rank > most.per_rank) most.per_rank = need.per_rank;
        if (need.packed > most.packed) most.packed = need.packed;
    }
    return most;
}

struct run {
    const struct ck_program *program;
    int (*poll)(void);
    /* Where all leave, or -1. Rank 0 writes it before that instruction's barrier, all read it behind
     * each. It is a place and not a flag, because a thread that is slow to read behind the barrier
     * before must not leave there: rank 0 would wait for it forever. */
    ptrdiff_t stop_at;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Signal handlers are the caller's code: they see ordinary arithmetic. */
static int poll_with_subnormals(int (*poll)(void)) {
    const ck_float_mode flushing = ck_keep_subnormals();
    const int result = poll();
    ck_restore_float_mode(flushing);
    return result;
}

static void run_program(const struct ck_team *team, void *context) {
    struct run *run = context;
    const struct ck_program *program = run->program;
    double next_poll = now() + POLL_SECONDS;
    for (ptrdiff_t i = 0; i < program->n_instructions; i++) {
        const struct ck_instruction *instruction = &program->instructions[i];
        program->kernels->run[instruction->kernel_id](instruction->op, team);
        if (!instruction->barrier) continue;
        if (team->rank == 0 && run->poll && i + 1 <= program->first_update && now() > next_poll) {
            if (poll_with_subnormals(run->poll) != 0)
                __atomic_store_n(&run->stop_at, i, __ATOMIC_RELAXED);
            next_poll = now() + POLL_SECONDS;
        }
        ck_team_barrier(team);
        if (__atomic_load_n(&run->stop_at, __ATOMIC_RELAXED) == i) return;
    }
}

int ck_program_run(const struct ck_program *program, void *scratch, int (*poll)(void)) {
    struct run run = {program, poll, -1};
    if (ck_team_run(run_program, &run, program->need, scratch) != 0) return -1;
    return run.stop_at >= 0;
}
