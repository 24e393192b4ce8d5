/* test_kernels.c: the kernels without Python, against plain loops, on every ISA of this CPU.
 *
 * Inputs are small integers, so every sum is exact in float32 and results must be equal, for 1, 2
 * and 3 threads alike. Arrays are allocated at their exact size: a sanitizer sees every access
 * beyond them. Prints one line per ISA and float type; exits 1 at the first difference.
 */
#include "convkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int real_bytes;
static const struct ck_kernels *kernels;

static void *allocate(ptrdiff_t count, ptrdiff_t bytes) {
    void *p = malloc(count > 0 ? (size_t)(count * bytes) : 1);
    if (!p) exit(2);
    return p;
}

static double get(const void *x, ptrdiff_t i) {
    return real_bytes == 4 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void set(void *x, ptrdiff_t i, double value) {
    if (real_bytes == 4)
        ((float *)x)[i] = (float)value;
    else
        ((double *)x)[i] = value;
}

/* Integers in -3 .. 3 from a linear congruential generator. */
static void *integers(ptrdiff_t count, unsigned seed) {
    void *x = allocate(count, real_bytes);
    for (ptrdiff_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        set(x, i, (double)((seed >> 16) % 7) - 3);
    }
    return x;
}

/* NaN everywhere, so that an element that a kernel leaves out is seen. */
static void *unwritten(ptrdiff_t count) {
    void *x = allocate(count, real_bytes);
    memset(x, 0xff, (size_t)(count * real_bytes));
    return x;
}

static double *zeros(ptrdiff_t count) {
    double *x = calloc((size_t)(count > 0 ? count : 1), sizeof *x);
    if (!x) exit(2);
    return x;
}

static void expect(const char *what, const void *actual, const double *expected, ptrdiff_t count,
                   int threads) {
    for (ptrdiff_t i = 0; i < count; i++) {
        if (get(actual, i) == expected[i]) continue;
        printf("%s, %d-byte floats, %d threads: %s[%td] is %g, must be %g\n", kernels->isa,
               real_bytes, threads, what, i, get(actual, i), expected[i]);
        exit(1);
    }
}

static void run(int kernel_id, const void *op) {
    if (ck_run(kernels, kernel_id, op) != 0) exit(2);
}

/* ---- convolution --------------------------------------------------------------------------- */

struct conv_case {
    ptrdiff_t n, ih, iw, c, k, kh, kw, stride, dilation, pad, groups;
};

static const struct conv_case conv_cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1},    {2, 9, 9, 1, 6, 5, 5, 1, 1, 2, 1},
    {3, 8, 7, 6, 16, 5, 5, 1, 1, 0, 1},   {2, 6, 6, 3, 32, 3, 3, 1, 1, 1, 1},
    {2, 8, 8, 16, 17, 3, 3, 1, 1, 1, 1},  {1, 7, 9, 33, 40, 3, 3, 1, 1, 0, 1},
    {2, 9, 8, 5, 7, 3, 3, 2, 1, 1, 1},    {2, 11, 10, 4, 20, 3, 2, 3, 1, 0, 1},
    {1, 12, 12, 3, 5, 3, 3, 1, 2, 2, 1},  {2, 6, 5, 8, 12, 3, 3, 1, 1, 1, 4},
    {2, 7, 7, 19, 19, 3, 3, 1, 1, 1, 19}, {1, 8, 8, 6, 12, 3, 3, 2, 1, 1, 6},
    {2, 5, 5, 70, 65, 1, 1, 1, 1, 0, 1},  {2, 6, 6, 9, 10, 1, 1, 2, 1, 0, 1},
    {4, 5, 5, 3, 4, 3, 3, 1, 1, 0, 1},    {1, 20, 20, 64, 64, 3, 3, 1, 1, 1, 1},
};

static void check_conv(const struct conv_case *s) {
    const ptrdiff_t oh = (s->ih + 2 * s->pad - (s->kh - 1) * s->dilation - 1) / s->stride + 1;
    const ptrdiff_t ow = (s->iw + 2 * s->pad - (s->kw - 1) * s->dilation - 1) / s->stride + 1;
    const ptrdiff_t cg = s->c / s->groups, kg = s->k / s->groups;
    const ptrdiff_t x_count = s->n * s->ih * s->iw * s->c, y_count = s->n * oh * ow * s->k;
    const ptrdiff_t w_count = s->kh * s->kw * cg * s->k;
    void *x = integers(x_count, 1), *w = integers(w_count, 2), *b = integers(s->k, 3);
    void *dy = integers(y_count, 4);
    double *y_sum = zeros(y_count), *dx_sum = zeros(x_count), *dw_sum = zeros(w_count);
    double *db_sum = zeros(s->k);
    for (ptrdiff_t at = 0; at < y_count; at++) {
        const ptrdiff_t k = at % s->k, q = at / s->k % ow, r = at / s->k / ow % oh;
        const ptrdiff_t image = at / s->k / ow / oh, first = k / kg * cg;
        y_sum[at] = get(b, k);
        db_sum[k] += get(dy, at);
        for (ptrdiff_t j = 0; j < s->kh * s->kw; j++) {
            const ptrdiff_t h = r * s->stride - s->pad + j / s->kw * s->dilation;
            const ptrdiff_t v = q * s->stride - s->pad + j % s->kw * s->dilation;
            if (h < 0 || h >= s->ih || v < 0 || v >= s->iw) continue;
            for (ptrdiff_t i = 0; i < cg; i++) {
                const ptrdiff_t in = ((image * s->ih + h) * s->iw + v) * s->c + first + i;
                const ptrdiff_t weight = (j * cg + i) * s->k + k;
                y_sum[at] += get(x, in) * get(w, weight);
                dx_sum[in] += get(dy, at) * get(w, weight);
                dw_sum[weight] += get(dy, at) * get(x, in);
            }
        }
    }
    for (int threads = 1; threads <= 3; threads++) {
        struct ck_conv2d op = {
            .y = unwritten(y_count),
            .dx = unwritten(x_count),
            .dw = unwritten(w_count),
            .db = unwritten(s->k),
            .x = x,
            .w = w,
            .b = b,
            .dy = dy,
            .n = s->n,
            .ih = s->ih,
            .iw = s->iw,
            .c = s->c,
            .oh = oh,
            .ow = ow,
            .k = s->k,
            .kh = s->kh,
            .kw = s->kw,
            .stride_h = s->stride,
            .stride_w = s->stride,
            .dilation_h = s->dilation,
            .dilation_w = s->dilation,
            .pad_top = s->pad,
            .pad_left = s->pad,
            .groups = s->groups,
            .activation = CK_LINEAR,
            .algorithm = CK_CONV_DIRECT,
        };
        ck_set_num_threads(threads);
        run(CK_conv2d_forward, &op);
        run(CK_conv2d_backward_data, &op);
        run(CK_conv2d_backward_weights, &op);
        expect("conv2d y", op.y, y_sum, y_count, threads);
        expect("conv2d dx", op.dx, dx_sum, x_count, threads);
        expect("conv2d dw", op.dw, dw_sum, w_count, threads);
        expect("conv2d db", op.db, db_sum, s->k, threads);
        free(op.y), free(op.dx), free(op.dw), free(op.db);
    }
    free(x), free(w), free(b), free(dy);
    free(y_sum), free(dx_sum), free(dw_sum), free(db_sum);
}

/* ---- dense --------------------------------------------------------------------------------- */

static void check_dense(ptrdiff_t m, ptrdiff_t c, ptrdiff_t k) {
    void *x = integers(m * c, 5), *w = integers(c * k, 6), *b = integers(k, 7);
    void *dy = integers(m * k, 8);
    double *y_sum = zeros(m * k), *dx_sum = zeros(m * c), *dw_sum = zeros(c * k);
    double *db_sum = zeros(k);
    for (ptrdiff_t row = 0; row < m; row++) {
        for (ptrdiff_t j = 0; j < k; j++) {
            const double g = get(dy, row * k + j);
            y_sum[row * k + j] = get(b, j);
            db_sum[j] += g;
            for (ptrdiff_t i = 0; i < c; i++) {
                y_sum[row * k + j] += get(x, row * c + i) * get(w, i * k + j);
                dx_sum[row * c + i] += g * get(w, i * k + j);
                dw_sum[i * k + j] += g * get(x, row * c + i);
            }
        }
    }
    for (int threads = 1; threads <= 3; threads++) {
        struct ck_dense op = {
            .y = unwritten(m * k),
            .dx = unwritten(m * c),
            .dw = unwritten(c * k),
            .db = unwritten(k),
            .x = x,
            .w = w,
            .b = b,
            .dy = dy,
            .m = m,
            .c = c,
            .k = k,
            .activation = CK_LINEAR,
        };
        ck_set_num_threads(threads);
        run(CK_dense_forward, &op);
        run(CK_dense_backward_data, &op);
        run(CK_dense_backward_weights, &op);
        expect("dense y", op.y, y_sum, m * k, threads);
        expect("dense dx", op.dx, dx_sum, m * c, threads);
        expect("dense dw", op.dw, dw_sum, c * k, threads);
        expect("dense db", op.db, db_sum, k, threads);
        free(op.y), free(op.dx), free(op.dw), free(op.db);
    }
    free(x), free(w), free(b), free(dy);
    free(y_sum), free(dx_sum), free(dw_sum), free(db_sum);
}

/* ---- max pooling --------------------------------------------------------------------------- */

static void check_max_pool(ptrdiff_t n, ptrdiff_t ih, ptrdiff_t iw, ptrdiff_t c, ptrdiff_t window,
                           ptrdiff_t stride, ptrdiff_t pad) {
    const ptrdiff_t oh = (ih + 2 * pad - window) / stride + 1;
    const ptrdiff_t ow = (iw + 2 * pad - window) / stride + 1;
    const ptrdiff_t x_count = n * ih * iw * c, y_count = n * oh * ow * c;
    void *x = integers(x_count, 9), *dy = integers(y_count, 10);
    double *y_max = zeros(y_count), *dx_sum = zeros(x_count);
    unsigned char *winner = allocate(y_count, 1);
    for (ptrdiff_t at = 0; at < y_count; at++) {
        const ptrdiff_t image = at / c / ow / oh, r = at / c / ow % oh, q = at / c % ow;
        ptrdiff_t best = -1;
        for (ptrdiff_t j = 0; j < window * window; j++) {
            const ptrdiff_t h = r * stride - pad + j / window, v = q * stride - pad + j % window;
            if (h < 0 || h >= ih || v < 0 || v >= iw) continue;
            const ptrdiff_t in = ((image * ih + h) * iw + v) * c + at % c;
            if (best < 0 || get(x, in) > get(x, best)) best = in, winner[at] = (unsigned char)j;
        }
        y_max[at] = get(x, best);
        dx_sum[best] += get(dy, at);
    }
    for (int threads = 1; threads <= 3; threads++) {
        struct ck_pool2d op = {
            .y = unwritten(y_count),
            .argmax = allocate(y_count, 1),
            .dx = unwritten(x_count),
            .x = x,
            .dy = dy,
            .n = n,
            .ih = ih,
            .iw = iw,
            .c = c,
            .oh = oh,
            .ow = ow,
            .kh = window,
            .kw = window,
            .stride_h = stride,
            .stride_w = stride,
            .pad_top = pad,
            .pad_left = pad,
            .argmax_bytes = 1,
        };
        ck_set_num_threads(threads);
        run(CK_max_pool2d_forward, &op);
        expect("max_pool2d y", op.y, y_max, y_count, threads);
        if (memcmp(op.argmax, winner, (size_t)y_count) != 0) {
            printf("%s: max_pool2d argmax differs, %d threads\n", kernels->isa, threads);
            exit(1);
        }
        run(CK_max_pool2d_backward, &op);
        expect("max_pool2d dx", op.dx, dx_sum, x_count, threads);
        free(op.y), free(op.argmax), free(op.dx);
    }
    free(x), free(dy), free(y_max), free(dx_sum), free(winner);
}

/* ---- activation ---------------------------------------------------------------------------- */

/* Every kind: the same bytes for any team, and relu's values. */
static void check_activations(ptrdiff_t count) {
    void *x = integers(count, 11), *dy = integers(count, 12);
    for (int kind = CK_LINEAR; kind < CK_ACTIVATION_KINDS; kind++) {
        void *first_y = NULL, *first_dx = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            struct ck_activation op = {unwritten(count), unwritten(count), x, dy, count, kind, 0.5};
            ck_set_num_threads(threads);
            run(CK_activation_forward, &op);
            run(CK_activation_backward, &op);
            for (ptrdiff_t i = 0; kind == CK_RELU && i < count; i++) {
                const double kept = get(x, i) > 0 ? 1 : 0;
                const double y = kept * get(x, i), dx = kept * get(dy, i);
                if (get(op.y, i) != y || get(op.dx, i) != dx) {
                    printf("%s: relu differs at %td\n", kernels->isa, i);
                    exit(1);
                }
            }
            if (threads == 1) {
                first_y = op.y, first_dx = op.dx;
                continue;
            }
            const size_t bytes = (size_t)(count * real_bytes);
            if (memcmp(op.y, first_y, bytes) != 0 || memcmp(op.dx, first_dx, bytes) != 0) {
                printf("%s: activation %d depends on the threads\n", kernels->isa, kind);
                exit(1);
            }
            free(op.y), free(op.dx);
        }
        free(first_y), free(first_dx);
    }
    free(x), free(dy);
}

int main(void) {
    static const ptrdiff_t counts[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 70, 5000};
    for (int isa = 0; ck_isa_name(isa); isa++) {
        if (!ck_isa_usable(isa)) {
            printf("%s: not usable here\n", ck_isa_name(isa));
            continue;
        }
        for (real_bytes = 4; real_bytes <= 8; real_bytes += 4) {
            kernels = ck_kernels_for(isa, real_bytes);
            for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++)
                check_conv(&conv_cases[i]);
            for (size_t i = 0; i < sizeof counts / sizeof *counts - 1; i++) {
                check_dense(5, counts[i], 10);
                check_dense(counts[i], 21, counts[i]);
                check_max_pool(2, 8, 8, counts[i], 2, 2, 0);
                check_max_pool(1, 7, 9, counts[i], 3, 2, 1);
            }
            for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
                check_activations(counts[i]);
            printf("%s, %d-byte floats: passed\n", ck_isa_name(isa), real_bytes);
        }
    }
    return 0;
}
