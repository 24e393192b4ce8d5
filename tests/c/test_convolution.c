/* test_convolution.c: convolutions of every path, with pooling and activation, against plain loops.
 *
 * Inputs are small integers, so the direct paths must be exact. Winograd's are compared with a
 * tolerance: its transforms divide by 3 and 15.
 */
#include "harness.h"

struct conv_case {
    ptrdiff_t n, ih, iw, c, k, kh, kw, stride, dilation, pad, groups;
};

/* Few input or output channels take paths of their own (planar, scatter), so do depthwise and
 * grouped ones, 1x1 without padding, strides, and maps larger than a block. */
static const struct conv_case cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1},     {2, 9, 9, 1, 6, 5, 5, 1, 1, 2, 1},
    {3, 8, 7, 6, 16, 5, 5, 1, 1, 0, 1},    {2, 6, 6, 3, 32, 3, 3, 1, 1, 1, 1},
    {2, 8, 8, 16, 17, 3, 3, 1, 1, 1, 1},   {1, 7, 9, 33, 40, 3, 3, 1, 1, 0, 1},
    {2, 9, 8, 5, 7, 3, 3, 2, 1, 1, 1},     {2, 11, 10, 4, 20, 3, 2, 3, 1, 0, 1},
    {1, 12, 12, 3, 5, 3, 3, 1, 2, 2, 1},   {2, 6, 5, 8, 12, 3, 3, 1, 1, 1, 4},
    {2, 7, 7, 19, 19, 3, 3, 1, 1, 1, 19},  {1, 8, 8, 6, 12, 3, 3, 2, 1, 1, 6},
    {2, 5, 5, 70, 65, 1, 1, 1, 1, 0, 1},   {2, 6, 6, 9, 10, 1, 1, 2, 1, 0, 1},
    {4, 5, 5, 3, 4, 3, 3, 1, 1, 0, 1},     {1, 20, 20, 64, 64, 3, 3, 1, 1, 1, 1},
    {2, 28, 28, 1, 6, 5, 5, 1, 1, 2, 1},   {2, 28, 28, 1, 32, 3, 3, 1, 1, 0, 1},
    {1, 32, 32, 3, 6, 5, 5, 1, 1, 0, 1},   {2, 14, 14, 6, 16, 5, 5, 1, 1, 0, 1},
    {1, 33, 19, 2, 3, 3, 3, 1, 1, 1, 1},   {2, 17, 40, 4, 4, 4, 3, 1, 1, 1, 1},
    {3, 12, 13, 32, 3, 3, 3, 1, 1, 1, 1},  {1, 16, 16, 16, 1, 5, 5, 1, 1, 2, 1},
    {2, 13, 12, 32, 48, 3, 3, 1, 1, 1, 1}, {1, 15, 17, 20, 33, 5, 5, 1, 1, 2, 1},
    {2, 9, 8, 37, 37, 3, 3, 2, 1, 1, 37},  {1, 8, 11, 20, 20, 5, 5, 2, 1, 2, 20},
    {2, 8, 9, 16, 16, 3, 3, 2, 1, 0, 16},  {1, 6, 7, 18, 18, 3, 3, 2, 1, 2, 18},
    {1, 1, 1, 17, 17, 3, 3, 1, 1, 1, 17},  {1, 2, 1, 5, 5, 3, 3, 2, 1, 1, 5},
    {2, 3, 2, 5, 7, 9, 9, 1, 1, 4, 1},     {1, 2, 2, 6, 6, 7, 7, 2, 1, 3, 6},
    {2, 1, 1, 20, 17, 3, 3, 1, 1, 1, 1},   {1, 3, 40, 4, 5, 3, 37, 1, 1, 0, 1},
    {1, 2, 2, 3, 4, 3, 3, 5, 1, 3, 1},     {3, 6, 1, 5, 7, 1, 4, 2, 1, 1, 1},
    {2, 1, 1, 6, 5, 3, 3, 3, 1, 1, 1},     {4, 5, 6, 7, 20, 5, 6, 2, 1, 0, 1},
    {2, 2, 3, 3, 6, 4, 5, 1, 2, 4, 3},
};

/* x, w, b and dy, and what must come out of them. */
struct conv_data {
    ptrdiff_t oh, ow, x_count, y_count, w_count;
    void *x, *w, *b, *dy;
    double *y, *dx, *dw, *db;
};

static struct conv_data conv_data(const struct conv_case *s) {
    struct conv_data d = {
        .oh = (s->ih + 2 * s->pad - (s->kh - 1) * s->dilation - 1) / s->stride + 1,
        .ow = (s->iw + 2 * s->pad - (s->kw - 1) * s->dilation - 1) / s->stride + 1,
    };
    const ptrdiff_t cg = s->c / s->groups, kg = s->k / s->groups;
    d.x_count = s->n * s->ih * s->iw * s->c, d.y_count = s->n * d.oh * d.ow * s->k;
    d.w_count = s->kh * s->kw * cg * s->k;
    d.x = integers(d.x_count, 1), d.w = integers(d.w_count, 2), d.b = integers(s->k, 3);
    d.dy = integers(d.y_count, 4);
    d.y = zeros(d.y_count), d.dx = zeros(d.x_count), d.dw = zeros(d.w_count), d.db = zeros(s->k);
    for (ptrdiff_t at = 0; at < d.y_count; at++) {
        const ptrdiff_t k = at % s->k, q = at / s->k % d.ow, r = at / s->k / d.ow % d.oh;
        const ptrdiff_t image = at / s->k / d.ow / d.oh, first = k / kg * cg;
        d.y[at] = get(d.b, k);
        d.db[k] += get(d.dy, at);
        for (ptrdiff_t j = 0; j < s->kh * s->kw; j++) {
            const ptrdiff_t h = r * s->stride - s->pad + j / s->kw * s->dilation;
            const ptrdiff_t v = q * s->stride - s->pad + j % s->kw * s->dilation;
            if (h < 0 || h >= s->ih || v < 0 || v >= s->iw) continue;
            for (ptrdiff_t i = 0; i < cg; i++) {
                const ptrdiff_t in = ((image * s->ih + h) * s->iw + v) * s->c + first + i;
                const ptrdiff_t weight = (j * cg + i) * s->k + k;
                d.y[at] += get(d.x, in) * get(d.w, weight);
                d.dx[in] += get(d.dy, at) * get(d.w, weight);
                d.dw[weight] += get(d.dy, at) * get(d.x, in);
            }
        }
    }
    return d;
}

static void free_data(struct conv_data *d) {
    free(d->x), free(d->w), free(d->b), free(d->dy), free(d->y), free(d->dx), free(d->dw);
    free(d->db);
}

static struct ck_conv2d op_of(const struct conv_case *s, const struct conv_data *d, int algorithm) {
    return (struct ck_conv2d){
        .x = d->x,
        .w = d->w,
        .b = d->b,
        .dy = d->dy,
        .n = s->n,
        .ih = s->ih,
        .iw = s->iw,
        .c = s->c,
        .oh = d->oh,
        .ow = d->ow,
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
        .algorithm = algorithm,
    };
}

/* All three kernels; `tolerance` is per unit of the longest sum. */
static void check_conv(const struct conv_case *s, const struct conv_data *d, int algorithm,
                       double tolerance) {
    struct kept y = {0}, dx = {0}, dw = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, algorithm);
        op.y = unwritten(d->y_count), op.dx = unwritten(d->x_count);
        op.dw = unwritten(d->w_count), op.db = unwritten(s->k);
        ck_set_num_threads(threads);
        run(CK_conv2d_forward, &op);
        run(CK_conv2d_backward_data, &op);
        run(CK_conv2d_backward_weights, &op);
        const double taps = (double)(s->kh * s->kw * (s->c > s->k ? s->c : s->k));
        const double pixels = (double)(s->n * d->oh * d->ow);
        expect_near("conv2d y", op.y, d->y, d->y_count, tolerance * taps);
        expect_near("conv2d dx", op.dx, d->dx, d->x_count, tolerance * taps);
        expect_near("conv2d dw", op.dw, d->dw, d->w_count, tolerance * pixels);
        expect("conv2d db", op.db, d->db, s->k);
        expect_same("conv2d y", &y, op.y, d->y_count * real_bytes);
        expect_same("conv2d dx", &dx, op.dx, d->x_count * real_bytes);
        expect_same("conv2d dw", &dw, op.dw, d->w_count * real_bytes);
        op.packed = packed_for(CK_conv2d_forward, &op);
        run(CK_conv2d_pack, &op);
        memset(op.y, 0xff, (size_t)(d->y_count * real_bytes));
        run(CK_conv2d_forward, &op);
        expect_near("conv2d y of packed weights", op.y, d->y, d->y_count, tolerance * taps);
        free(op.packed);
        free(op.y), free(op.dx), free(op.dw), free(op.db);
    }
}

/* An activation after the sums; z keeps them. */
static void check_activated(const struct conv_case *s, const struct conv_data *d, int keep_z) {
    double *active = zeros(d->y_count);
    for (ptrdiff_t i = 0; i < d->y_count; i++) active[i] = d->y[i] > 0 ? d->y[i] : 0;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, CK_CONV_DIRECT);
        op.activation = CK_RELU;
        op.y = unwritten(d->y_count), op.z = keep_z ? unwritten(d->y_count) : NULL;
        ck_set_num_threads(threads);
        run(CK_conv2d_forward, &op);
        expect("conv2d relu", op.y, active, d->y_count);
        if (keep_z) expect("conv2d z", op.z, d->y, d->y_count);
        free(op.y), free(op.z);
    }
    free(active);
}

/* The 2x2 max pool of the activated sums: values, their sums z, and the winners' places. */
static void check_pooled(const struct conv_case *s, const struct conv_data *d, int relu, int keep) {
    const ptrdiff_t ph = d->oh / 2, pw = d->ow / 2, count = s->n * ph * pw * s->k;
    if (count == 0) return;
    double *y = zeros(count), *z = zeros(count);
    unsigned char *winner = allocate(count, 1);
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t k = at % s->k, q = at / s->k % pw, r = at / s->k / pw % ph;
        const ptrdiff_t image = at / s->k / pw / ph;
        for (ptrdiff_t j = 0; j < 4; j++) {
            const ptrdiff_t h = 2 * r + j / 2, v = 2 * q + j % 2;
            const double sum = d->y[((image * d->oh + h) * d->ow + v) * s->k + k];
            if (j == 0 || sum > z[at]) z[at] = sum, winner[at] = (unsigned char)j;
        }
        y[at] = relu && z[at] < 0 ? 0 : z[at];
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, CK_CONV_DIRECT);
        op.activation = relu ? CK_RELU : CK_LINEAR, op.pool = 2;
        op.y = unwritten(count), op.z = keep ? unwritten(count) : NULL;
        op.argmax = keep ? allocate(count, 1) : NULL;
        ck_set_num_threads(threads);
        run(CK_conv2d_forward, &op);
        expect("conv2d pooled", op.y, y, count);
        if (keep) {
            /* The largest sum wins, also where relu makes all four zero. */
            expect("conv2d pooled z", op.z, z, count);
            if (memcmp(op.argmax, winner, (size_t)count) != 0) {
                printf("%s: conv2d argmax differs, %d threads\n", kernels->isa, threads);
                exit(1);
            }
        }
        free(op.y), free(op.z), free(op.argmax);
    }
    free(y), free(z), free(winner);
}

/* Another map added to the sums before the activation, and another gradient to dx. */
static void check_addend(const struct conv_case *s, const struct conv_data *d, int keep_z) {
    void *y_addend = integers(d->y_count, 31), *dx_addend = integers(d->x_count, 32);
    double *z = zeros(d->y_count), *y = zeros(d->y_count), *dx = zeros(d->x_count);
    for (ptrdiff_t i = 0; i < d->y_count; i++) z[i] = d->y[i] + get(y_addend, i);
    for (ptrdiff_t i = 0; i < d->y_count; i++) y[i] = z[i] > 0 ? z[i] : 0;
    for (ptrdiff_t i = 0; i < d->x_count; i++)
        dx[i] = keep_z || get(d->x, i) > 0 ? d->dx[i] + get(dx_addend, i) : 0;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, CK_CONV_DIRECT);
        op.activation = CK_RELU;
        op.y = unwritten(d->y_count), op.dx = unwritten(d->x_count);
        op.z = keep_z ? unwritten(d->y_count) : NULL;
        ck_set_num_threads(threads);
        op.addend = y_addend;
        run(CK_conv2d_forward, &op);
        op.addend = dx_addend;
        if (keep_z) op.activation = CK_LINEAR;
        run(CK_conv2d_backward_data, &op);
        expect("conv2d relu of a sum", op.y, y, d->y_count);
        if (keep_z) expect("conv2d z with an addend", op.z, z, d->y_count);
        expect("conv2d dx with an addend", op.dx, dx, d->x_count);
        free(op.y), free(op.dx), free(op.z);
    }
    free(y_addend), free(dx_addend), free(z), free(y), free(dx);
}

/* Mean and variance of y, whole or pooled, by channel. */
static void check_statistics(const struct conv_case *s, const struct conv_data *d, int algorithm,
                             int pool) {
    const ptrdiff_t half = pool ? 2 : 1, rows = s->n * (d->oh / half) * (d->ow / half);
    if (rows == 0) return;
    struct kept means = {0}, variances = {0};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, algorithm);
        op.pool = pool, op.y = unwritten(rows * s->k);
        op.batch_mean = unwritten(s->k), op.batch_variance = unwritten(s->k);
        ck_set_num_threads(threads);
        run(CK_conv2d_forward, &op);
        double *mean = zeros(s->k), *variance = zeros(s->k);
        void *first = copy_of(op.batch_mean, s->k);
        double most = 0;
        for (ptrdiff_t i = 0; i < rows * s->k; i++) {
            const double y = get(op.y, i);
            mean[i % s->k] += y / (double)rows;
            most = fabs(y) > most ? fabs(y) : most;
        }
        for (ptrdiff_t i = 0; i < rows * s->k; i++) {
            const double away = get(op.y, i) - mean[i % s->k];
            variance[i % s->k] += away * away / (double)rows;
        }
        expect_near("conv2d mean", op.batch_mean, mean, s->k, 1e-5 * most);
        expect_near("conv2d variance", op.batch_variance, variance, s->k, 1e-5 * most * most);
        expect_same("conv2d mean", &means, op.batch_mean, s->k * real_bytes);
        expect_same("conv2d variance", &variances, op.batch_variance, s->k * real_bytes);
        op.packed = packed_for(CK_conv2d_forward, &op);
        run(CK_conv2d_pack, &op);
        run(CK_conv2d_forward, &op);
        expect_bytes("conv2d mean of packed weights", op.batch_mean, first, s->k * real_bytes);
        free(first), free(op.packed), free(op.y), free(op.batch_mean), free(op.batch_variance);
        free(mean), free(variance);
    }
}

/* The input gradient goes on to that of a normalization, with an addend: against the ops apart. */
static void check_norm_sums(const struct conv_case *s, const struct conv_data *d, int algorithm,
                            int activation) {
    const ptrdiff_t count = d->x_count, rows = count / s->c;
    struct kept kept[3] = {{0}};
    void *addend = fractions(count, 41), *norm_x = fractions(count, 42);
    void *gamma = integers(s->c, 43), *beta = integers(s->c, 44);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct ck_conv2d op = op_of(s, d, algorithm);
        op.dx = unwritten(count), op.addend = addend;
        ck_set_num_threads(threads);
        run(CK_conv2d_backward_data, &op);
        struct ck_batch_norm norm = {
            .y = unwritten(count),
            .mean = unwritten(s->c),
            .variance = unwritten(s->c),
            .dx = unwritten(count),
            .dgamma = unwritten(s->c),
            .dbeta = unwritten(s->c),
            .x = norm_x,
            .gamma = gamma,
            .beta = beta,
            .dy = op.dx,
            .rows = rows,
            .c = s->c,
            .epsilon = 1e-3,
            .activation = activation,
            .alpha = 0.5,
        };
        run(CK_batch_norm_forward, &norm);
        run(CK_batch_norm_backward, &norm);

        struct ck_conv2d joined = op;
        joined.dx = unwritten(count);
        joined.x = activation == CK_RELU ? norm.y : NULL;
        joined.norm_x = norm_x, joined.mean = norm.mean, joined.variance = norm.variance;
        joined.gamma = gamma, joined.beta = beta, joined.epsilon = norm.epsilon;
        joined.activation = activation, joined.alpha = norm.alpha;
        joined.dgamma = unwritten(s->c), joined.dbeta = unwritten(s->c);
        joined.mean_g = unwritten(s->c), joined.mean_gx = unwritten(s->c);
        run(CK_conv2d_backward_data, &joined);
        struct ck_batch_norm rest = norm;
        rest.dy = joined.dx, rest.dx = unwritten(count), rest.activation = CK_LINEAR;
        rest.mean_g = joined.mean_g, rest.mean_gx = joined.mean_gx;
        run(CK_batch_norm_backward_data, &rest);

        double *dx = doubles(norm.dx, count), *dgamma = doubles(norm.dgamma, s->c);
        double *dbeta = doubles(norm.dbeta, s->c), most = 1;
        for (ptrdiff_t i = 0; i < count; i++) most = fmax(most, fabs(dx[i]));
        for (ptrdiff_t i = 0; i < s->c; i++) most = fmax(most, fabs(dgamma[i]));
        expect_near("dx of the normalization before", rest.dx, dx, count, 1e-4 * most);
        expect_near("its dgamma", joined.dgamma, dgamma, s->c, 1e-4 * most);
        expect_near("its dbeta", joined.dbeta, dbeta, s->c, 1e-4 * most);
        expect_same("its dx", &kept[0], rest.dx, count * real_bytes);
        expect_same("its dgamma", &kept[1], joined.dgamma, s->c * real_bytes);
        expect_same("its dbeta", &kept[2], joined.dbeta, s->c * real_bytes);
        free(dx), free(dgamma), free(dbeta), free(rest.dx), free(op.dx), free(joined.dx);
        free(joined.dgamma), free(joined.dbeta), free(joined.mean_g), free(joined.mean_gx);
        free(norm.y), free(norm.mean), free(norm.variance), free(norm.dx), free(norm.dgamma);
        free(norm.dbeta);
    }
    free(addend), free(norm_x), free(gamma), free(beta);
}

void test_convolution(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conv_data d = conv_data(&cases[i]);
        check_conv(&cases[i], &d, CK_CONV_DIRECT, 0);
        check_conv(&cases[i], &d, CK_CONV_AUTO, 2e-4);
        check_activated(&cases[i], &d, 0);
        check_activated(&cases[i], &d, 1);
        check_addend(&cases[i], &d, 0);
        check_addend(&cases[i], &d, 1);
        for (int algorithm = CK_CONV_AUTO; algorithm <= CK_CONV_DIRECT; algorithm++) {
            check_norm_sums(&cases[i], &d, algorithm, CK_RELU);
            check_norm_sums(&cases[i], &d, algorithm, CK_ELU);
        }
        for (int pool = 0; pool <= 2; pool += 2) {
            check_statistics(&cases[i], &d, CK_CONV_DIRECT, pool);
            check_statistics(&cases[i], &d, CK_CONV_AUTO, pool);
        }
        for (int relu = 0; relu <= 1; relu++)
            for (int keep = 0; keep <= 1; keep++) check_pooled(&cases[i], &d, relu, keep);
        free_data(&d);
    }
}
