/* test_elementwise.c: functions of one or two arrays, sums, copies, and losses of single elements. */
#include "harness.h"

/* ---- two arrays that repeat ---------------------------------------------------------------- */

static double binary_value(ptrdiff_t kind, double a, double b) {
    switch (kind) {
    case CK_ADD: return a + b;
    case CK_SUBTRACT: return a - b;
    case CK_MULTIPLY: return a * b;
    case CK_DIVIDE: return a / b;
    case CK_MAXIMUM: return fmax(a, b);
    case CK_MINIMUM: return fmin(a, b);
    default: return a >= 0 ? a : a * b;
    }
}

static double binary_slope(ptrdiff_t kind, ptrdiff_t side, double a, double b) {
    switch (kind) {
    case CK_ADD: return 1;
    case CK_SUBTRACT: return side ? -1 : 1;
    case CK_MULTIPLY: return side ? a : b;
    case CK_DIVIDE: return side ? -a / (b * b) : 1 / b;
    case CK_MAXIMUM: return (a >= b) != side;
    case CK_MINIMUM: return (a <= b) != side;
    default: return side ? (a < 0 ? a : 0) : (a > 0 ? 1 : b);
    }
}

/* b is whole, one number, one row, or one number per row: as the strides say. */
static void check_binary(ptrdiff_t kind, ptrdiff_t cols, int repeat) {
    enum { N0 = 2, N1 = 3, N2 = 2 };
    const ptrdiff_t count = N0 * N1 * N2 * cols;
    const ptrdiff_t strides[4][4] = {
        {N1 * N2 * cols, N2 * cols, cols, 1}, {0, 0, 0, 0}, {0, 0, 0, 1}, {N1 * N2, N2, 1, 0}};
    const ptrdiff_t *at = strides[repeat], *whole = strides[0];
    void *a = fractions(count, 91), *b = fractions(count, 92), *dy = fractions(count, 93);
    for (ptrdiff_t i = 0; i < count; i++)
        if (get(b, i) == 0) set(b, i, 1.5);
    double *z = zeros(count), *y = zeros(count), *slope[2] = {zeros(count), zeros(count)};
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t j = i / cols / N2 / N1 * at[0] + i / cols / N2 % N1 * at[1] +
                            i / cols % N2 * at[2] + i % cols * at[3];
        z[i] = binary_value(kind, get(a, i), get(b, j));
        y[i] = fmax(z[i], 0);
        for (int side = 0; side < 2; side++)
            slope[side][i] = get(dy, i) * binary_slope(kind, side, get(a, i), get(b, j));
    }
    const double near = kind == CK_DIVIDE ? 1e-3 : 0;
    EACH_TEAM(threads) {
        struct ck_binary op = {
            .y = unwritten(count),
            .z = unwritten(count),
            .a = a,
            .b = b,
            .dy = dy,
            .n0 = N0,
            .n1 = N1,
            .n2 = N2,
            .n3 = cols,
            .a0 = whole[0],
            .a1 = whole[1],
            .a2 = whole[2],
            .a3 = whole[3],
            .b0 = at[0],
            .b1 = at[1],
            .b2 = at[2],
            .b3 = at[3],
            .kind = kind,
            .activation = CK_RELU,
        };
        run(CK_binary_forward, &op);
        expect_near("binary z", op.z, z, count, near);
        expect_near("binary y", op.y, y, count, near);
        for (op.side = 0; op.side < 2; op.side++) {
            run(CK_binary_backward, &op);
            expect_near("binary dx", op.y, slope[op.side], count, near);
        }
        free(op.y), free(op.z);
    }
    free(a), free(b), free(dy), free(z), free(y), free(slope[0]), free(slope[1]);
}

static void check_add(ptrdiff_t count) {
    void *a = integers(count, 94), *b = integers(count, 95);
    double *y = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) y[i] = fmax(get(a, i) + get(b, i), 0);
    EACH_TEAM(threads) {
        struct ck_add op = {copy_of(a, count), NULL, b, count, CK_RELU, 0};
        op.a = op.y; /* in place */
        run(CK_add, &op);
        expect("add", op.y, y, count);
        free(op.y);
    }
    free(a), free(b), free(y);
}

/* ---- sums ---------------------------------------------------------------------------------- */

static void check_reduce(ptrdiff_t outer, ptrdiff_t size, ptrdiff_t inner, int product) {
    const ptrdiff_t count = outer * size * inner;
    void *x = integers(count, 96), *z = integers(count, 97);
    double *y = zeros(outer * inner);
    for (ptrdiff_t i = 0; i < count; i++)
        y[i / inner / size * inner + i % inner] += 0.5 * get(x, i) * (product ? get(z, i) : 1);
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_reduce op = {
            unwritten(outer * inner), x, product ? z : NULL, outer, size, inner, 0.5};
        run(CK_reduce_sum, &op);
        expect("reduce_sum", op.y, y, outer * inner);
        expect_same("reduce_sum", &kept, op.y, outer * inner * real_bytes);
        free(op.y);
    }
    free(x), free(z), free(y);
}

static void check_loss_sum(void) {
    double a = 3, b = 5;
    EACH_TEAM(threads) {
        double total = NAN;
        run(CK_loss_sum, &(struct ck_loss_sum){&total, &a, &b, 0.5, 2});
        expect_number("loss_sum", total, 11.5, 0);
        run(CK_loss_sum, &(struct ck_loss_sum){&total, &a, NULL, 0.5, 0});
        expect_number("loss_sum of one", total, 1.5, 0);
    }
}

/* ---- one array ----------------------------------------------------------------------------- */

static double unary_value(ptrdiff_t kind, double x, double *slope) {
    switch (kind) {
    case CK_EXP: return *slope = exp(x);
    case CK_LOG: *slope = 1 / x; return log(x);
    case CK_SQRT: *slope = 0.5 / sqrt(x); return sqrt(x);
    case CK_SQUARE: *slope = 2 * x; return x * x;
    case CK_ABS: *slope = (double)((x > 0) - (x < 0)); return fabs(x);
    case CK_CLIP: *slope = x >= -0.9375 && x <= 1.9375; return fmax(-0.9375, fmin(1.9375, x));
    default: /* CK_BOUNDED_RELU of alpha 0.25 */
        *slope = x < -0.9375 ? 0.25 : x < 1.9375;
        return x < -0.9375 ? 0.25 * (x + 0.9375) : fmin(x, 1.9375);
    }
}

static void check_unary(ptrdiff_t kind, ptrdiff_t count) {
    void *x = fractions(count, 98), *dy = integers(count, 99);
    double *y = zeros(count), *dx = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        if (kind == CK_LOG || kind == CK_SQRT) set(x, i, fabs(get(x, i)) + 0.125);
        y[i] = unary_value(kind, get(x, i), &dx[i]);
        dx[i] *= get(dy, i);
    }
    EACH_TEAM(threads) {
        struct ck_unary op = {
            unwritten(count), unwritten(count), x, dy, count, kind, 0.25, -0.9375, 1.9375};
        run(CK_unary_forward, &op);
        run(CK_unary_backward, &op);
        expect_near("unary y", op.y, y, count, 2e-5);
        expect_near("unary dx", op.dx, dx, count, 1e-4);
        free(op.y), free(op.dx);
    }
    free(x), free(dy), free(y), free(dx);
}

static void check_affine(ptrdiff_t count) {
    void *x = fractions(count, 101);
    double *y = zeros(count), *seven = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) y[i] = get(x, i) * 0.5 - 3, seven[i] = 7;
    EACH_TEAM(threads) {
        struct ck_affine op = {unwritten(count), x, count, 0.5, -3};
        run(CK_affine, &op);
        expect("affine", op.y, y, count);
        run(CK_fill, &(struct ck_fill){op.y, count, 7});
        expect("fill", op.y, seven, count);
        free(op.y);
    }
    free(x), free(y), free(seven);
}

/* A block of x into a block of y; what is around it stays. */
static void check_copy(ptrdiff_t cols) {
    const ptrdiff_t row = cols + 2, plane = 4 * row, image = 3 * plane, count = 2 * image;
    void *x = integers(count, 102), *before = integers(count, 103);
    double *y = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t j = i / plane % 3, r = i / row % 4, q = i % row;
        y[i] = j < 2 && r < 3 && q < cols ? get(x, i + plane + row + 2) : get(before, i);
    }
    EACH_TEAM(threads) {
        struct ck_copy op = {
            .y = copy_of(before, count),
            .x = (char *)x + (plane + row + 2) * real_bytes,
            .n0 = 2,
            .n1 = 2,
            .n2 = 3,
            .n3 = cols,
            .y0 = image,
            .y1 = plane,
            .y2 = row,
            .x0 = image,
            .x1 = plane,
            .x2 = row,
        };
        run(CK_copy, &op);
        expect("copy", op.y, y, count);
        free(op.y);
    }
    free(x), free(before), free(y);
}

static void check_one_hot(ptrdiff_t n, ptrdiff_t classes) {
    int64_t *labels = allocate(n, sizeof *labels);
    double *y = zeros(n * classes);
    for (ptrdiff_t i = 0; i < n; i++) {
        labels[i] = (i * 7 + 1) % classes;
        y[i * classes + labels[i]] = 1;
    }
    EACH_TEAM(threads) {
        struct ck_one_hot op = {unwritten(n * classes), labels, n, classes};
        run(CK_one_hot, &op);
        expect("one_hot", op.y, y, n * classes);
        free(op.y);
    }
    free(labels), free(y);
}

/* ---- losses of single elements ------------------------------------------------------------- */

static const double alpha = 0.75, gamma_ = 2; /* also Huber's delta */

static double binary_entropy(double p, double t) { return -t * log(p) - (1 - t) * log(1 - p); }

static double focal(double p, double t) {
    return (t * alpha + (1 - t) * (1 - alpha)) * pow(1 - t * p - (1 - t) * (1 - p), gamma_) *
           binary_entropy(p, t);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double loss_value(ptrdiff_t kind, double x, double t) {
    const double d = x - t;
    switch (kind) {
    case CK_ABSOLUTE_ERROR: return fabs(d);
    case CK_ABSOLUTE_PERCENTAGE_ERROR: return 100 * fabs(d) / t;
    case CK_BINARY_CROSS_ENTROPY: return binary_entropy(x, t);
    case CK_BINARY_CROSS_ENTROPY_LOGITS: return binary_entropy(sigmoid(x), t);
    case CK_BINARY_FOCAL: return focal(x, t);
    case CK_BINARY_FOCAL_LOGITS: return focal(sigmoid(x), t);
    case CK_HINGE: return fmax(1 - t * x, 0);
    case CK_HUBER: return fabs(d) <= alpha ? d * d / 2 : alpha * (fabs(d) - alpha / 2);
    case CK_KL_DIVERGENCE: return t * log(t / x);
    case CK_LOG_COSH: return log(cosh(d));
    case CK_POISSON: return x - t * log(x + 1e-7);
    case CK_SQUARED_ERROR: return d * d;
    case CK_SQUARED_HINGE: return pow(fmax(1 - t * x, 0), 2);
    case CK_SQUARED_LOGARITHMIC_ERROR: return pow(log1p(x) - log1p(t), 2);
    default: return x;
    }
}

/* Predictions and targets in (0, 1), where all losses are smooth at no matter which x. */
static void check_element_loss(ptrdiff_t kind, ptrdiff_t n, ptrdiff_t cols) {
    const ptrdiff_t count = n * cols;
    void *x = fractions(count, 111), *target = fractions(count, 112), *weights = integers(n, 113);
    double *loss = zeros(n), *dx = zeros(count), total = 0;
    const double parts = kind == CK_KL_DIVERGENCE ? 1 : (double)cols;
    for (ptrdiff_t i = 0; i < count; i++) {
        set(x, i, (get(x, i) + 4.1875) / 8.5);
        set(target, i, (get(target, i) + 4.25) / 8.5);
        const double at = get(x, i), t = get(target, i), weight = get(weights, i / cols);
        const double step = 1e-6, value = loss_value(kind, at, t);
        loss[i / cols] += value / parts;
        total += weight * value / parts / (double)n;
        dx[i] = (loss_value(kind, at + step, t) - loss_value(kind, at - step, t)) / (2 * step);
        dx[i] *= weight / parts / (double)n;
    }
    struct kept kept = {0};
    EACH_TEAM(threads) {
        double got = NAN;
        struct ck_element_loss op = {
            .loss = unwritten(n),
            .mean_loss = &got,
            .dx = unwritten(count),
            .x = x,
            .target = kind == CK_VALUE ? NULL : target,
            .weights = weights,
            .n = n,
            .positions = 1,
            .cols = cols,
            .kind = kind,
            .alpha = alpha,
            .gamma = gamma_,
        };
        run(CK_element_loss, &op);
        const double scale = kind == CK_ABSOLUTE_PERCENTAGE_ERROR ? 200 : 1;
        expect_near("element_loss loss", op.loss, loss, n, scale * 1e-5 * (double)cols);
        /* The differences above are good for 1e-8. */
        for (ptrdiff_t i = 0; i < count; i++)
            if (fabs(get(op.dx, i) - dx[i]) <= 1e-6 * scale) dx[i] = get(op.dx, i);
        expect("element_loss dx", op.dx, dx, count);
        expect_number("element_loss total", got, total, scale * 1e-4 * (double)cols);
        expect_same("element_loss total", &kept, &got, sizeof got);
        free(op.loss), free(op.dx);
    }
    free(x), free(target), free(weights), free(loss), free(dx);
}

void test_elementwise(void) {
    static const ptrdiff_t counts[] = {1, 3, 7, 8, 16, 17, 33, 70, 5000};
    const size_t all = sizeof counts / sizeof *counts, small = all - 1;
    for (size_t i = 0; i < small; i++) {
        for (ptrdiff_t kind = CK_ADD; kind <= CK_PRELU; kind++)
            for (int repeat = 0; repeat < 4; repeat++) check_binary(kind, counts[i], repeat);
        for (int product = 0; product < 2; product++) {
            check_reduce(3, counts[i], 5, product);
            check_reduce(2, 9, counts[i], product);
            check_reduce(counts[i], 6, 1, product);
        }
        check_copy(counts[i]);
        check_one_hot(5, counts[i]);
        for (ptrdiff_t kind = CK_ABSOLUTE_ERROR; kind <= CK_VALUE; kind++)
            check_element_loss(kind, 5, counts[i]), check_element_loss(kind, counts[i], 3);
    }
    check_binary(CK_MULTIPLY, 9000, 2);
    check_reduce(1, 9000, 3, 0);
    check_reduce(1, 3, 9000, 1);
    check_loss_sum();
    for (size_t i = 0; i < all; i++) {
        for (ptrdiff_t kind = CK_EXP; kind <= CK_BOUNDED_RELU; kind++) check_unary(kind, counts[i]);
        check_affine(counts[i]);
        check_add(counts[i]);
    }
}
