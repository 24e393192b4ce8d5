/* harness.h: what the C tests share: arrays of either float type, and comparisons that end the
 * process at the first difference.
 *
 * Arrays are allocated at their exact size: a sanitizer sees every access beyond them.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "convkit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 3 };

extern int real_bytes;
extern const struct ck_kernels *kernels;

void *allocate(ptrdiff_t count, ptrdiff_t bytes);
double get(const void *x, ptrdiff_t i);
void set(void *x, ptrdiff_t i, double value);

/* Integers in -3 .. 3: sums of their products are exact in either float type. */
void *integers(ptrdiff_t count, unsigned seed);

/* Multiples of 1/8 in -4 .. 4. */
void *fractions(ptrdiff_t count, unsigned seed);

void *copy_of(const void *x, ptrdiff_t count);
double *doubles(const void *x, ptrdiff_t count);

/* NaN everywhere, so that an element that a kernel leaves out is seen. */
void *unwritten(ptrdiff_t count);

double *zeros(ptrdiff_t count);

/* Run the body with teams of 1 to MOST_THREADS threads. */
#define EACH_TEAM(threads)                                                                         \
    for (int threads = 1; threads <= MOST_THREADS && (ck_set_num_threads(threads), 1); threads++)

/* Run a kernel: by itself, or (with two threads) as a program with scratch of its own, which must
 * not allocate. */
void run(int kernel_id, const void *op);

/* Memory for the weights of a forward pass, laid out. */
void *packed_for(int kernel_id, const void *op);

/* |actual - expected| <= tolerance of each element; 0 for exact results. `tolerance` is that of
 * float32; float64's is 2^29 times smaller. */
void expect_near(const char *what, const void *actual, const double *expected, ptrdiff_t count,
                 double tolerance);

void expect(const char *what, const void *actual, const double *expected, ptrdiff_t count);

void expect_number(const char *what, double actual, double expected, double tolerance);

/* Keep a result of the first team and compare those of larger ones with it, byte by byte. */
struct kept {
    void *first;
};
void expect_same(const char *what, struct kept *kept, const void *x, ptrdiff_t bytes);
void expect_bytes(const char *what, const void *x, const void *wanted, ptrdiff_t bytes);

void test_convolution(void);
void test_layers(void);
void test_maps(void);
void test_elementwise(void);
void test_augment(void);
void test_training(void);
void test_memory(void);

#endif
