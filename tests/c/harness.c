/* harness.c: run all C tests on every ISA of this CPU, in both float types. */
#include "harness.h"

/* Also kernels whose instructions are emulated (run.sh avx512). */
#ifndef RUN_ALL
#define RUN_ALL 0
#endif

int real_bytes;
const struct ck_kernels *kernels;

void *allocate(ptrdiff_t count, ptrdiff_t bytes) {
    void *p = malloc(count > 0 ? (size_t)(count * bytes) : 1);
    if (!p) exit(2);
    return p;
}

double get(const void *x, ptrdiff_t i) {
    return real_bytes == 4 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

void set(void *x, ptrdiff_t i, double value) {
    if (real_bytes == 4)
        ((float *)x)[i] = (float)value;
    else
        ((double *)x)[i] = value;
}

/* A linear congruential generator's upper bits modulo `range`. */
static void *drawn(ptrdiff_t count, unsigned seed, unsigned range, double step) {
    void *x = allocate(count, real_bytes);
    for (ptrdiff_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        set(x, i, ((double)((seed >> 16) % range) - (double)(range / 2)) * step);
    }
    return x;
}

void *integers(ptrdiff_t count, unsigned seed) { return drawn(count, seed, 7, 1); }

void *fractions(ptrdiff_t count, unsigned seed) { return drawn(count, seed, 65, 0.125); }

void *copy_of(const void *x, ptrdiff_t count) {
    void *y = allocate(count, real_bytes);
    return memcpy(y, x, (size_t)(count * real_bytes));
}

void *unwritten(ptrdiff_t count) {
    void *x = allocate(count, real_bytes);
    memset(x, 0xff, (size_t)(count * real_bytes));
    return x;
}

double *doubles(const void *x, ptrdiff_t count) {
    double *copy = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) copy[i] = get(x, i);
    return copy;
}

double *zeros(ptrdiff_t count) {
    double *x = calloc((size_t)(count > 0 ? count : 1), sizeof *x);
    if (!x) exit(2);
    return x;
}

/* The linker sends the allocations of csrc here. */
static ptrdiff_t allocations;
#define COUNTED(type, function, parameters, arguments)                                             \
    type __real_##function parameters;                                                             \
    type __wrap_##function parameters {                                                            \
        allocations++;                                                                             \
        return __real_##function arguments;                                                        \
    }
COUNTED(void *, malloc, (size_t size), (size))
COUNTED(void *, calloc, (size_t count, size_t size), (count, size))
COUNTED(void *, realloc, (void *old, size_t size), (old, size))
COUNTED(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
COUNTED(int, posix_memalign, (void **block, size_t alignment, size_t size),
        (block, alignment, size))

static void *scratch_of(size_t bytes) {
    void *scratch = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!scratch) exit(2);
    return scratch;
}

void *packed_for(int kernel_id, const void *op) {
    struct ck_scratch need = {0};
    if (kernels->scratch[kernel_id]) kernels->scratch[kernel_id](op, &need);
    return scratch_of(need.packed);
}

static char ran[CK_KERNEL_COUNT];

static void run_as_program(int kernel_id, const void *op) {
    const struct ck_instruction instruction = {kernel_id, 1, op};
    struct ck_program program = {
        .kernels = kernels, .instructions = &instruction, .n_instructions = 1, .first_update = 1};
    program.need = ck_program_scratch(&program);
    void *scratch = scratch_of(ck_team_scratch_bytes(program.need, ck_get_num_threads()));
    const ptrdiff_t before = allocations;
    if (ck_program_run(&program, scratch, NULL) != 0) exit(2);
    if (allocations != before) {
        printf("%s: %s allocates\n", kernels->isa, ck_kernel_name(kernel_id));
        exit(1);
    }
    free(scratch);
}

void run(int kernel_id, const void *op) {
    ran[kernel_id] = 1;
    if (ck_get_num_threads() == 2)
        run_as_program(kernel_id, op);
    else if (ck_run(kernels, kernel_id, op) != 0)
        exit(2);
}

static void fail(const char *what, ptrdiff_t i, double actual, double expected) {
    printf("%s, %d-byte floats, %d threads: %s[%td] is %.17g, must be %.17g\n", kernels->isa,
           real_bytes, ck_get_num_threads(), what, i, actual, expected);
    exit(1);
}

void expect_near(const char *what, const void *actual, const double *expected, ptrdiff_t count,
                 double tolerance) {
    if (real_bytes == 8) tolerance = ldexp(tolerance, -29);
    for (ptrdiff_t i = 0; i < count; i++)
        if (!(fabs(get(actual, i) - expected[i]) <= tolerance))
            fail(what, i, get(actual, i), expected[i]);
}

void expect(const char *what, const void *actual, const double *expected, ptrdiff_t count) {
    expect_near(what, actual, expected, count, 0);
}

void expect_number(const char *what, double actual, double expected, double tolerance) {
    if (!(fabs(actual - expected) <= (real_bytes == 8 ? ldexp(tolerance, -29) : tolerance)))
        fail(what, 0, actual, expected);
}

void expect_same(const char *what, struct kept *kept, const void *x, ptrdiff_t bytes) {
    if (ck_get_num_threads() == 1) {
        kept->first = allocate(bytes, 1);
        memcpy(kept->first, x, (size_t)bytes);
    } else if (memcmp(kept->first, x, (size_t)bytes) != 0) {
        printf("%s, %d-byte floats: %s of %d threads differs from that of one\n", kernels->isa,
               real_bytes, what, ck_get_num_threads());
        exit(1);
    }
    if (ck_get_num_threads() == MOST_THREADS) free(kept->first);
}

void expect_bytes(const char *what, const void *x, const void *wanted, ptrdiff_t bytes) {
    if (memcmp(x, wanted, (size_t)bytes) == 0) return;
    printf("%s, %d-byte floats: %s is not the same to the bit, %d threads\n", kernels->isa,
           real_bytes, what, ck_get_num_threads());
    exit(1);
}

int main(void) {
    test_memory();
    for (int isa = 0; ck_isa_name(isa); isa++) {
        if (!(RUN_ALL ? ck_isa_built(isa) : ck_isa_usable(isa))) {
            printf("%s: not usable here\n", ck_isa_name(isa));
            continue;
        }
        for (real_bytes = 4; real_bytes <= 8; real_bytes += 4) {
            kernels = ck_kernels_for(isa, real_bytes);
            test_convolution();
            test_layers();
            test_maps();
            test_elementwise();
            test_augment();
            test_training();
            printf("%s, %d-byte floats: passed\n", ck_isa_name(isa), real_bytes);
        }
    }
    /* The probes only measure the machine. */
    for (int id = 0; id < CK_KERNEL_COUNT; id++)
        if (!ran[id] && strncmp(ck_kernel_name(id), "probe", 5) != 0) {
            printf("%s has no test\n", ck_kernel_name(id));
            return 1;
        }
    return 0;
}
