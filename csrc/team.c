/* team.c: threads. One OpenMP region per call of ck_team_run, a barrier of our own inside it.
 *
 * One team per process: whoever finds it busy, runs inside a foreign parallel region, or is a
 * forked child (libgomp's threads do not survive a fork) gets a team of one. The barrier spins for
 * a few tens of microseconds and then sleeps, because a virtual CPU may be taken away at any time.
 */
#define _GNU_SOURCE
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Scratch above this is given back after the call. */
#define CACHED_SCRATCH ((size_t)64 << 20)
/* About 30 us of spinning: longer than the imbalance of two ranks, shorter than a time slice. */
#define SPINS 2000

struct ck_barrier {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int phase;
    atomic_int sleepers;
};

static atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_int threads_wanted = 1;
static atomic_int forked;
static void *cached; /* owned by whoever holds `busy` */
static size_t cached_bytes;

static void pause_briefly(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void wait_for_phase_after(struct ck_barrier *barrier, int phase) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&barrier->phase, memory_order_acquire) != phase) return;
        pause_briefly();
    }
    atomic_fetch_add(&barrier->sleepers, 1);
    while (atomic_load(&barrier->phase) == phase) {
#ifdef __linux__
        syscall(SYS_futex, &barrier->phase, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
#else
        sched_yield();
#endif
    }
    atomic_fetch_sub(&barrier->sleepers, 1);
}

void ck_team_barrier(const struct ck_team *team) {
    if (team->size == 1) return;
    struct ck_barrier *barrier = team->barrier;
    const int phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == team->size - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store(&barrier->phase, phase + 1);
#ifdef __linux__
        if (atomic_load(&barrier->sleepers) > 0)
            syscall(SYS_futex, &barrier->phase, FUTEX_WAKE_PRIVATE, team->size, NULL, NULL, 0);
#endif
    } else {
        wait_for_phase_after(barrier, phase);
    }
}

#if defined(__x86_64__)
#define FLUSH_BITS 0x8040u /* MXCSR: FTZ | DAZ */
static ck_float_mode float_mode(void) { return _mm_getcsr(); }
void ck_restore_float_mode(ck_float_mode mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
#define FLUSH_BITS (1u << 24) /* FPCR: FZ */
static ck_float_mode float_mode(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void ck_restore_float_mode(ck_float_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
#define FLUSH_BITS 0u
static ck_float_mode float_mode(void) { return 0; }
void ck_restore_float_mode(ck_float_mode mode) { (void)mode; }
#endif

/* Subnormal numbers cost up to a hundred cycles each: flush them inside the region only. */
ck_float_mode ck_flush_subnormals(void) {
    const ck_float_mode before = float_mode();
    ck_restore_float_mode(before | FLUSH_BITS);
    return before;
}

ck_float_mode ck_keep_subnormals(void) {
    const ck_float_mode before = float_mode();
    ck_restore_float_mode(before & ~(ck_float_mode)FLUSH_BITS);
    return before;
}

static size_t round_to_line(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t ck_team_scratch_bytes(struct ck_scratch need, int threads) {
    /* An odd number of lines between ranks keeps their blocks off the same cache sets. */
    return round_to_line(need.shared) + (size_t)threads * (round_to_line(need.per_rank) + 64);
}

static void *aligned_block(size_t bytes) {
    void *block = NULL;
    return posix_memalign(&block, 64, bytes ? bytes : 64) == 0 ? block : NULL;
}

static void run_rank(struct ck_team team, char *scratch, struct ck_scratch need,
                     void (*body)(const struct ck_team *, void *), void *context) {
    team.shared = scratch;
    team.scratch = scratch + round_to_line(need.shared) +
                   (size_t)team.rank * (round_to_line(need.per_rank) + 64);
    const ck_float_mode mode = ck_flush_subnormals();
    body(&team, context);
    ck_restore_float_mode(mode);
}

static int wanted_threads(void) {
    if (atomic_load(&forked)) return 1;
#ifdef _OPENMP
    if (omp_in_parallel()) return 1;
    return atomic_load(&threads_wanted);
#else
    return 1;
#endif
}

int ck_team_run(void (*body)(const struct ck_team *team, void *context), void *context,
                struct ck_scratch need, void *scratch) {
    const int owner = !atomic_flag_test_and_set_explicit(&busy, memory_order_acquire);
    const int threads = owner ? wanted_threads() : 1;
    const size_t bytes = ck_team_scratch_bytes(need, threads);
    void *own = NULL; /* to be freed at the end */
    if (!scratch) {
        if (owner && bytes <= CACHED_SCRATCH) {
            if (bytes > cached_bytes) {
                free(cached);
                cached = aligned_block(bytes);
                cached_bytes = cached ? bytes : 0;
            }
            scratch = cached;
        } else {
            scratch = own = aligned_block(bytes);
        }
        if (!scratch) {
            if (owner) atomic_flag_clear_explicit(&busy, memory_order_release);
            return -1;
        }
    }
    struct ck_barrier barrier = {0};
    if (threads == 1) {
        run_rank((struct ck_team){0, 1, &barrier, NULL, NULL}, scratch, need, body, context);
    } else {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
        run_rank(
            (struct ck_team){omp_get_thread_num(), omp_get_num_threads(), &barrier, NULL, NULL},
            scratch, need, body, context);
#endif
    }
    free(own);
    if (owner) atomic_flag_clear_explicit(&busy, memory_order_release);
    return 0;
}

static void after_fork_in_child(void) {
    atomic_store(&forked, 1);
    /* Whoever held the team did so in the parent; what it cached may be half written. */
    cached = NULL;
    cached_bytes = 0;
    atomic_flag_clear(&busy);
}

__attribute__((constructor)) static void register_fork_handler(void) {
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

void ck_set_num_threads(int threads) { atomic_store(&threads_wanted, threads); }
int ck_get_num_threads(void) { return atomic_load(&threads_wanted); }

int ck_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
