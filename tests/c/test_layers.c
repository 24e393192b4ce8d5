/* test_layers.c: dense, pooling, batch normalization, activations, softmax, and moves of elements,
 * against plain loops in double.
 */
#include "harness.h"

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
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
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
        expect("dense y", op.y, y_sum, m * k);
        expect("dense dx", op.dx, dx_sum, m * c);
        expect("dense dw", op.dw, dw_sum, c * k);
        expect("dense db", op.db, db_sum, k);
        op.packed = packed_for(CK_dense_forward, &op);
        run(CK_dense_pack, &op);
        memset(op.y, 0xff, (size_t)(m * k * real_bytes));
        run(CK_dense_forward, &op);
        expect("dense y of packed weights", op.y, y_sum, m * k);
        free(op.packed);
        free(op.y), free(op.dx), free(op.dw), free(op.db);
    }
    free(x), free(w), free(b), free(dy);
    free(y_sum), free(dx_sum), free(dw_sum), free(db_sum);
}

/* ---- pooling ------------------------------------------------------------------------------- */

static void check_pools(ptrdiff_t n, ptrdiff_t ih, ptrdiff_t iw, ptrdiff_t c, ptrdiff_t window,
                        ptrdiff_t stride, ptrdiff_t pad) {
    const ptrdiff_t oh = (ih + 2 * pad - window) / stride + 1;
    const ptrdiff_t ow = (iw + 2 * pad - window) / stride + 1;
    const ptrdiff_t x_count = n * ih * iw * c, y_count = n * oh * ow * c;
    void *x = integers(x_count, 9), *dy = integers(y_count, 10);
    double *y_max = zeros(y_count), *dx_max = zeros(x_count);
    double *y_mean = zeros(y_count), *dx_mean = zeros(x_count);
    unsigned char *winner = allocate(y_count, 1);
    for (ptrdiff_t at = 0; at < y_count; at++) {
        const ptrdiff_t image = at / c / ow / oh, r = at / c / ow % oh, q = at / c % ow;
        ptrdiff_t best = -1, cells[64], inside = 0;
        for (ptrdiff_t j = 0; j < window * window; j++) {
            const ptrdiff_t h = r * stride - pad + j / window, v = q * stride - pad + j % window;
            if (h < 0 || h >= ih || v < 0 || v >= iw) continue;
            const ptrdiff_t in = ((image * ih + h) * iw + v) * c + at % c;
            if (best < 0 || get(x, in) > get(x, best)) best = in, winner[at] = (unsigned char)j;
            cells[inside++] = in;
            y_mean[at] += get(x, in);
        }
        y_max[at] = get(x, best);
        dx_max[best] += get(dy, at);
        y_mean[at] /= (double)inside;
        for (ptrdiff_t i = 0; i < inside; i++) dx_mean[cells[i]] += get(dy, at) / (double)inside;
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
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
        expect("max_pool2d y", op.y, y_max, y_count);
        if (memcmp(op.argmax, winner, (size_t)y_count) != 0) {
            printf("%s: max_pool2d argmax differs, %d threads\n", kernels->isa, threads);
            exit(1);
        }
        run(CK_max_pool2d_backward, &op);
        expect("max_pool2d dx", op.dx, dx_max, x_count);
        run(CK_avg_pool2d_forward, &op);
        expect_near("avg_pool2d y", op.y, y_mean, y_count, 1e-6);
        run(CK_avg_pool2d_backward, &op);
        expect_near("avg_pool2d dx", op.dx, dx_mean, x_count, 1e-5);
        free(op.y), free(op.argmax), free(op.dx);
    }
    free(x), free(dy), free(y_max), free(dx_max), free(y_mean), free(dx_mean), free(winner);
}

/* ---- batch normalization ------------------------------------------------------------------- */

static void check_batch_norm(ptrdiff_t rows, ptrdiff_t c) {
    const ptrdiff_t count = rows * c;
    const double epsilon = 1e-3;
    void *x = fractions(count, 21), *dy = fractions(count, 22);
    void *gamma = integers(c, 23), *beta = integers(c, 24);
    double *mean = zeros(c), *variance = zeros(c), *y = zeros(count), *dx = zeros(count);
    double *dgamma = zeros(c), *dbeta = zeros(c);
    for (ptrdiff_t j = 0; j < c; j++) {
        for (ptrdiff_t i = 0; i < rows; i++) mean[j] += get(x, i * c + j) / (double)rows;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const double away = get(x, i * c + j) - mean[j];
            variance[j] += away * away / (double)rows;
        }
        const double scale = 1 / sqrt(variance[j] + epsilon);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const double hat = (get(x, i * c + j) - mean[j]) * scale;
            y[i * c + j] = get(gamma, j) * hat + get(beta, j);
            dbeta[j] += get(dy, i * c + j);
            dgamma[j] += get(dy, i * c + j) * hat;
        }
        for (ptrdiff_t i = 0; i < rows; i++) {
            const double hat = (get(x, i * c + j) - mean[j]) * scale;
            dx[i * c + j] =
                get(gamma, j) * scale *
                (get(dy, i * c + j) - dbeta[j] / (double)rows - hat * dgamma[j] / (double)rows);
        }
    }
    struct kept kept[5] = {{0}};
    /* The inverse deviation is up to 32 where a channel hardly varies. */
    const double most = 2e-3, sum = 1e-4 * (double)rows;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_batch_norm op = {
            .y = unwritten(count),
            .mean = unwritten(c),
            .variance = unwritten(c),
            .dx = unwritten(count),
            .dgamma = unwritten(c),
            .dbeta = unwritten(c),
            .x = x,
            .gamma = gamma,
            .beta = beta,
            .dy = dy,
            .rows = rows,
            .c = c,
            .epsilon = epsilon,
            .activation = CK_LINEAR,
        };
        ck_set_num_threads(threads);
        run(CK_batch_norm_forward, &op);
        expect_near("batch_norm mean", op.mean, mean, c, 1e-5);
        expect_near("batch_norm variance", op.variance, variance, c, 1e-4);
        expect_near("batch_norm y", op.y, y, count, most);
        expect_same("batch_norm y", &kept[0], op.y, count * real_bytes);
        run(CK_batch_norm_backward, &op);
        expect_near("batch_norm dx", op.dx, dx, count, most * 32);
        expect_near("batch_norm dgamma", op.dgamma, dgamma, c, sum * 32);
        expect_near("batch_norm dbeta", op.dbeta, dbeta, c, sum);
        expect_same("batch_norm dx", &kept[1], op.dx, count * real_bytes);
        expect_same("batch_norm dgamma", &kept[2], op.dgamma, c * real_bytes);
        expect_same("batch_norm dbeta", &kept[3], op.dbeta, c * real_bytes);
        run(CK_batch_norm_inference, &op);
        expect_near("batch_norm inference", op.y, y, count, most);
        expect_same("batch_norm inference", &kept[4], op.y, count * real_bytes);
        free(op.y), free(op.mean), free(op.variance), free(op.dx), free(op.dgamma);
        free(op.dbeta);
    }
    free(x), free(dy), free(gamma), free(beta), free(mean), free(variance), free(y), free(dx);
    free(dgamma), free(dbeta);
}

/* A normalization with what follows it, as one op: against the ops one after the other. */
static struct ck_batch_norm norm_of(ptrdiff_t rows, ptrdiff_t c, ptrdiff_t y_count) {
    return (struct ck_batch_norm){
        .y = unwritten(y_count),
        .mean = unwritten(c),
        .variance = unwritten(c),
        .dx = unwritten(rows * c),
        .dgamma = unwritten(c),
        .dbeta = unwritten(c),
        .x = fractions(rows * c, 25),
        .gamma = integers(c, 26),
        .beta = integers(c, 27),
        .rows = rows,
        .c = c,
        .epsilon = 1e-3,
    };
}

static void free_norm(struct ck_batch_norm *op) {
    free((void *)op->x), free((void *)op->gamma), free((void *)op->beta), free((void *)op->dy);
    free(op->y), free(op->mean), free(op->variance), free(op->dx), free(op->dgamma);
    free(op->dbeta);
}

static void check_residual(ptrdiff_t rows, ptrdiff_t c, int activation) {
    const ptrdiff_t count = rows * c;
    void *residual = fractions(count, 29);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_batch_norm op = norm_of(rows, c, count), joined = norm_of(rows, c, count);
        ck_set_num_threads(threads);
        run(CK_batch_norm_forward, &op);
        struct ck_add sum = {
            .y = op.y,
            .a = op.y,
            .b = residual,
            .count = count,
            .activation = activation,
            .alpha = 0.5,
        };
        run(CK_add, &sum);
        joined.residual = residual, joined.activation = activation, joined.alpha = 0.5;
        for (int inference = 0; inference <= 1; inference++) {
            run(inference ? CK_batch_norm_inference : CK_batch_norm_forward, &joined);
            expect_bytes("batch_norm y with a residual", joined.y, op.y, count * real_bytes);
        }
        free_norm(&op), free_norm(&joined);
    }
    free(residual);
}

static void check_norm_pool(ptrdiff_t n, ptrdiff_t ih, ptrdiff_t iw, ptrdiff_t c, int activation) {
    const ptrdiff_t rows = n * ih * iw, count = rows * c, pooled = count / 4;
    struct kept kept[3] = {{0}};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_batch_norm op = norm_of(rows, c, count), joined = norm_of(rows, c, pooled);
        joined.dy = fractions(pooled, 30);
        op.activation = joined.activation = activation, op.alpha = joined.alpha = 0.5;
        joined.pool = 2, joined.width = iw, joined.argmax = allocate(pooled, 1);
        ck_set_num_threads(threads);
        run(CK_batch_norm_forward, &op);
        run(CK_batch_norm_forward, &joined);
        struct ck_pool2d pool = {
            .y = unwritten(pooled),
            .argmax = allocate(pooled, 1),
            .dx = unwritten(count),
            .x = op.y,
            .dy = joined.dy,
            .n = n,
            .ih = ih,
            .iw = iw,
            .c = c,
            .oh = ih / 2,
            .ow = iw / 2,
            .kh = 2,
            .kw = 2,
            .stride_h = 2,
            .stride_w = 2,
            .argmax_bytes = 1,
        };
        run(CK_max_pool2d_forward, &pool);
        expect_bytes("batch_norm pooled y", joined.y, pool.y, pooled * real_bytes);
        expect_bytes("batch_norm argmax", joined.argmax, pool.argmax, pooled);
        run(CK_max_pool2d_backward, &pool);
        op.dy = pool.dx;
        run(CK_batch_norm_backward, &op);
        run(CK_batch_norm_backward, &joined);
        double *dx = doubles(op.dx, count), *dgamma = doubles(op.dgamma, c);
        double *dbeta = doubles(op.dbeta, c);
        expect_near("batch_norm pooled dx", joined.dx, dx, count, 1e-3);
        expect_near("batch_norm pooled dgamma", joined.dgamma, dgamma, c, 1e-5 * (double)rows);
        expect_near("batch_norm pooled dbeta", joined.dbeta, dbeta, c, 1e-5 * (double)rows);
        expect_same("batch_norm pooled dx", &kept[0], joined.dx, count * real_bytes);
        expect_same("batch_norm pooled dgamma", &kept[1], joined.dgamma, c * real_bytes);
        expect_same("batch_norm pooled dbeta", &kept[2], joined.dbeta, c * real_bytes);
        free(pool.y), free(pool.argmax), free(joined.argmax), free(dx), free(dgamma), free(dbeta);
        free_norm(&op), free_norm(&joined);
    }
}

/* ---- activations and softmax --------------------------------------------------------------- */

/* Every kind: the same bytes for any team, and relu's values. */
static void check_activations(ptrdiff_t count) {
    void *x = integers(count, 11), *dy = integers(count, 12);
    for (int kind = CK_LINEAR; kind < CK_ACTIVATION_KINDS; kind++) {
        struct kept y = {0}, dx = {0};
        for (int threads = 1; threads <= MOST_THREADS; threads++) {
            struct ck_activation op = {unwritten(count), unwritten(count), x, dy, count, kind, 0.5};
            ck_set_num_threads(threads);
            run(CK_activation_forward, &op);
            run(CK_activation_backward, &op);
            for (ptrdiff_t i = 0; kind == CK_RELU && i < count; i++) {
                const double kept = get(x, i) > 0 ? 1 : 0;
                if (get(op.y, i) != kept * get(x, i) || get(op.dx, i) != kept * get(dy, i)) {
                    printf("%s: relu differs at %td\n", kernels->isa, i);
                    exit(1);
                }
            }
            expect_same("activation y", &y, op.y, count * real_bytes);
            expect_same("activation dx", &dx, op.dx, count * real_bytes);
            free(op.y), free(op.dx);
        }
    }
    free(x), free(dy);
}

static void check_softmax(ptrdiff_t rows, ptrdiff_t cols) {
    const ptrdiff_t count = rows * cols;
    void *x = fractions(count, 13), *dy = integers(count, 14);
    double *y = zeros(count), *log_y = zeros(count), *dx = zeros(count), *log_dx = zeros(count);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t first = row * cols;
        double sum = 0, inner = 0, total = 0;
        for (ptrdiff_t j = first; j < first + cols; j++) sum += exp(get(x, j));
        for (ptrdiff_t j = first; j < first + cols; j++) {
            y[j] = exp(get(x, j)) / sum, log_y[j] = get(x, j) - log(sum);
            inner += get(dy, j) * y[j], total += get(dy, j);
        }
        for (ptrdiff_t j = first; j < first + cols; j++) {
            dx[j] = y[j] * (get(dy, j) - inner);
            log_dx[j] = get(dy, j) - y[j] * total;
        }
    }
    struct kept kept[4] = {{0}};
    const double most = 1e-5 * (double)(cols + 4);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        /* The backward reads y, in the place of x. */
        struct ck_softmax op = {.y = unwritten(count), .x = x, .rows = rows, .cols = cols};
        struct ck_softmax log_op = {.y = unwritten(count), .x = x, .rows = rows, .cols = cols};
        op.dx = unwritten(count), op.dy = dy, log_op.dx = unwritten(count), log_op.dy = dy;
        ck_set_num_threads(threads);
        run(CK_softmax_forward, &op);
        run(CK_softmax_backward, &op);
        run(CK_log_softmax_forward, &log_op);
        run(CK_log_softmax_backward, &log_op);
        expect_near("softmax y", op.y, y, count, most);
        expect_near("softmax dx", op.dx, dx, count, most);
        expect_near("log_softmax y", log_op.y, log_y, count, most);
        expect_near("log_softmax dx", log_op.dx, log_dx, count, most);
        expect_same("softmax y", &kept[0], op.y, count * real_bytes);
        expect_same("softmax dx", &kept[1], op.dx, count * real_bytes);
        expect_same("log_softmax y", &kept[2], log_op.y, count * real_bytes);
        expect_same("log_softmax dx", &kept[3], log_op.dx, count * real_bytes);
        free(op.y), free(op.dx), free(log_op.y), free(log_op.dx);
    }
    free(x), free(dy), free(y), free(log_y), free(dx), free(log_dx);
}

/* ---- moves of elements --------------------------------------------------------------------- */

/* (n, a, b, c) -> (n, c, b, a). */
static void check_permute(ptrdiff_t n, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c) {
    const ptrdiff_t count = n * a * b * c;
    void *x = fractions(count, 31);
    double *y = zeros(count);
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t l = at % c, k = at / c % b, j = at / c / b % a, i = at / c / b / a;
        y[((i * c + l) * b + k) * a + j] = get(x, at);
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_permute op = {unwritten(count), x, n, 1, 1, c,    b, a,
                                a * b * c,        0, 0, 1, c, b * c};
        ck_set_num_threads(threads);
        run(CK_permute, &op);
        expect("permute", op.y, y, count);
        free(op.y);
    }
    free(x), free(y);
}

static void check_gather(ptrdiff_t n, ptrdiff_t cols) {
    const ptrdiff_t x_rows = n + 3;
    unsigned char *x = allocate(x_rows * cols, 1);
    int64_t *index = allocate(n, sizeof *index);
    double *y = zeros(n * cols);
    for (ptrdiff_t i = 0; i < x_rows * cols; i++) x[i] = (unsigned char)(i * 37);
    for (ptrdiff_t i = 0; i < n; i++) {
        index[i] = (i * 5 + 2) % x_rows;
        for (ptrdiff_t j = 0; j < cols; j++) y[i * cols + j] = x[index[i] * cols + j];
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_gather op = {unwritten(n * cols), x, index, n, cols, CK_U8, x_rows};
        ck_set_num_threads(threads);
        run(CK_gather, &op);
        expect("gather", op.y, y, n * cols);
        free(op.y);
    }
    free(x), free(index), free(y);
}

static void check_dropout(ptrdiff_t count) {
    void *x = integers(count, 41);
    uint64_t step = 7;
    struct kept kept = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_dropout op = {
            .y = unwritten(count), .x = x, .step = &step, .count = count, .seed = 3, .rate = 0.5};
        ck_set_num_threads(threads);
        run(CK_dropout, &op);
        for (ptrdiff_t i = 0; i < count; i++) {
            if (get(op.y, i) == 0 || get(op.y, i) == 2 * get(x, i)) continue;
            printf("%s: dropout[%td] is neither 0 nor scaled\n", kernels->isa, i);
            exit(1);
        }
        expect_same("dropout", &kept, op.y, count * real_bytes);
        free(op.y);
    }
    free(x);
}

static void check_random_normal(ptrdiff_t count) {
    uint64_t step = 7;
    struct kept kept = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_random_normal op = {.y = unwritten(count),
                                      .step = &step,
                                      .count = count,
                                      .seed = 3,
                                      .mean = 10,
                                      .stddev = 0.5};
        ck_set_num_threads(threads);
        run(CK_random_normal, &op);
        for (ptrdiff_t i = 0; i < count; i++) {
            if (get(op.y, i) > 7 && get(op.y, i) < 13) continue; /* six standard deviations */
            printf("%s: random_normal[%td] is %g\n", kernels->isa, i, get(op.y, i));
            exit(1);
        }
        expect_same("random_normal", &kept, op.y, count * real_bytes);
        free(op.y);
    }
}

void test_layers(void) {
    /* Below, at and above the vectors of all ISAs, and several blocks. */
    static const ptrdiff_t counts[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 70, 5000};
    const size_t small = sizeof counts / sizeof *counts - 1;
    for (size_t i = 0; i < small; i++) {
        check_dense(5, counts[i], 10);
        check_dense(70, counts[i], 21);
        check_dense(counts[i], 21, counts[i]);
        check_pools(2, 8, 8, counts[i], 2, 2, 0);
        check_pools(1, 7, 9, counts[i], 3, 2, 1);
        check_batch_norm(6, counts[i]);
        check_residual(7, counts[i], CK_RELU);
        check_norm_pool(3, 4, 6, counts[i], i % 2 ? CK_RELU : CK_LINEAR);
        check_softmax(5, counts[i]);
        check_permute(2, 3, counts[i], 5);
        check_permute(1, counts[i], 2, 20);
        check_gather(counts[i], 7);
        check_gather(3, counts[i]);
    }
    check_batch_norm(3000, 3);
    check_batch_norm(700, 35);
    check_residual(1500, 19, CK_ELU);
    check_residual(90, 70, CK_SILU);
    check_norm_pool(5, 12, 20, 21, CK_SILU);
    check_norm_pool(40, 8, 8, 16, CK_RELU);
    for (size_t i = 0; i <= small; i++) {
        check_activations(counts[i]);
        check_dropout(counts[i]);
        check_random_normal(counts[i]);
    }
}
