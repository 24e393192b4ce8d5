/* test_maps.c: adaptive pools, upsampling, and normalization within a sample. */
#include "harness.h"

/* ---- adaptive pools ------------------------------------------------------------------------ */

static void check_adaptive(ptrdiff_t ih, ptrdiff_t iw, ptrdiff_t oh, ptrdiff_t ow, ptrdiff_t c) {
    const ptrdiff_t n = 2, x_count = n * ih * iw * c, y_count = n * oh * ow * c;
    void *x = integers(x_count, 121), *dy = integers(y_count, 122);
    double *y_max = zeros(y_count), *y_mean = zeros(y_count);
    double *dx_max = zeros(x_count), *dx_mean = zeros(x_count);
    for (ptrdiff_t at = 0; at < y_count; at++) {
        const ptrdiff_t r = at / c / ow % oh, q = at / c % ow, image = at / c / ow / oh;
        const ptrdiff_t top = r * ih / oh, bottom = ((r + 1) * ih + oh - 1) / oh;
        const ptrdiff_t left = q * iw / ow, right = ((q + 1) * iw + ow - 1) / ow;
        const double cells = (double)((bottom - top) * (right - left));
        ptrdiff_t best = -1;
        for (ptrdiff_t h = top; h < bottom; h++)
            for (ptrdiff_t w = left; w < right; w++) {
                const ptrdiff_t in = ((image * ih + h) * iw + w) * c + at % c;
                if (best < 0 || get(x, in) > get(x, best)) best = in;
                y_mean[at] += get(x, in) / cells;
                dx_mean[in] += get(dy, at) / cells;
            }
        y_max[at] = get(x, best);
        dx_max[best] += get(dy, at);
    }
    EACH_TEAM(threads) {
        struct ck_adaptive_pool2d op = {
            .y = unwritten(y_count),
            .argmax = allocate(y_count, sizeof(int32_t)),
            .dx = unwritten(x_count),
            .x = x,
            .dy = dy,
            .n = n,
            .ih = ih,
            .iw = iw,
            .c = c,
            .oh = oh,
            .ow = ow,
        };
        run(CK_adaptive_max_pool2d_forward, &op);
        run(CK_adaptive_max_pool2d_backward, &op);
        expect("adaptive_max_pool2d y", op.y, y_max, y_count);
        expect("adaptive_max_pool2d dx", op.dx, dx_max, x_count);
        run(CK_adaptive_avg_pool2d_forward, &op);
        run(CK_adaptive_avg_pool2d_backward, &op);
        expect_near("adaptive_avg_pool2d y", op.y, y_mean, y_count, 1e-5);
        expect_near("adaptive_avg_pool2d dx", op.dx, dx_mean, x_count, 1e-5);
        free(op.y), free(op.argmax), free(op.dx);
    }
    free(x), free(dy), free(y_max), free(y_mean), free(dx_max), free(dx_mean);
}

/* ---- upsampling ---------------------------------------------------------------------------- */

/* The two rows (or columns) of `size` that position `at` of a `factor` times larger map mixes. */
static void sources(ptrdiff_t at, ptrdiff_t size, ptrdiff_t factor, int bilinear, ptrdiff_t from[2],
                    double share[2]) {
    const double place = ((double)at + 0.5) / (double)factor - 0.5;
    const ptrdiff_t low = (ptrdiff_t)floor(place);
    from[0] = low < 0 ? 0 : low, from[1] = low + 1 < size ? low + 1 : size - 1;
    share[1] = place - floor(place), share[0] = 1 - share[1];
    if (!bilinear) from[0] = from[1] = at / factor, share[0] = 1, share[1] = 0;
}

static void check_upsample(ptrdiff_t ih, ptrdiff_t iw, ptrdiff_t c, ptrdiff_t factor_h,
                           ptrdiff_t factor_w, int bilinear) {
    const ptrdiff_t n = 2, oh = ih * factor_h, ow = iw * factor_w;
    const ptrdiff_t x_count = n * ih * iw * c, y_count = n * oh * ow * c;
    void *x = fractions(x_count, 123), *dy = fractions(y_count, 124);
    double *y = zeros(y_count), *dx = zeros(x_count);
    for (ptrdiff_t at = 0; at < y_count; at++) {
        ptrdiff_t rows[2], columns[2];
        double down[2], right[2];
        sources(at / c / ow % oh, ih, factor_h, bilinear, rows, down);
        sources(at / c % ow, iw, factor_w, bilinear, columns, right);
        for (int i = 0; i < 4; i++) {
            const ptrdiff_t pixel = (at / c / ow / oh * ih + rows[i / 2]) * iw + columns[i % 2];
            y[at] += down[i / 2] * right[i % 2] * get(x, pixel * c + at % c);
            dx[pixel * c + at % c] += down[i / 2] * right[i % 2] * get(dy, at);
        }
    }
    EACH_TEAM(threads) {
        struct ck_upsample2d op = {
            .y = unwritten(y_count),
            .dx = unwritten(x_count),
            .x = x,
            .dy = dy,
            .n = n,
            .ih = ih,
            .iw = iw,
            .c = c,
            .factor_h = factor_h,
            .factor_w = factor_w,
            .bilinear = bilinear,
        };
        run(CK_upsample2d_forward, &op);
        run(CK_upsample2d_backward, &op);
        expect_near("upsample2d y", op.y, y, y_count, bilinear ? 2e-6 : 0);
        expect_near("upsample2d dx", op.dx, dx, x_count, 2e-5);
        free(op.y), free(op.dx);
    }
    free(x), free(dy), free(y), free(dx);
}

/* ---- normalization of groups of channels --------------------------------------------------- */

static void check_group_norm(ptrdiff_t pixels, ptrdiff_t c, ptrdiff_t groups) {
    const ptrdiff_t n = 3, count = n * pixels * c, of_group = c / groups;
    const double epsilon = 1e-3, cells = (double)(pixels * of_group);
    void *x = fractions(count, 131), *dy = fractions(count, 132);
    void *gamma = integers(c, 133), *beta = integers(c, 134);
    double *y = zeros(count), *dx = zeros(count), *dgamma = zeros(c), *dbeta = zeros(c);
    double *mean = zeros(n * groups), *inverse = zeros(n * groups);
    for (ptrdiff_t g = 0; g < n * groups; g++) {
        double sum_dy = 0, sum_dy_hat = 0, variance = 0;
        /* Element j of group g: pixel j / of_group, channel j % of_group within the group. */
#define AT(j) ((g / groups * pixels + (j) / of_group) * c + g % groups * of_group + (j) % of_group)
        const ptrdiff_t all = pixels * of_group;
        for (ptrdiff_t j = 0; j < all; j++) mean[g] += get(x, AT(j)) / cells;
        for (ptrdiff_t j = 0; j < all; j++) variance += pow(get(x, AT(j)) - mean[g], 2) / cells;
        inverse[g] = 1 / sqrt(variance + epsilon);
        for (ptrdiff_t j = 0; j < all; j++) {
            const ptrdiff_t i = AT(j), k = i % c;
            const double hat = (get(x, i) - mean[g]) * inverse[g];
            y[i] = get(gamma, k) * hat + get(beta, k);
            dbeta[k] += get(dy, i), dgamma[k] += get(dy, i) * hat;
            sum_dy += get(dy, i) * get(gamma, k), sum_dy_hat += get(dy, i) * get(gamma, k) * hat;
        }
        for (ptrdiff_t j = 0; j < all; j++) {
            const ptrdiff_t i = AT(j);
            const double hat = (get(x, i) - mean[g]) * inverse[g];
            dx[i] =
                inverse[g] * (get(dy, i) * get(gamma, i % c) - (sum_dy + hat * sum_dy_hat) / cells);
        }
#undef AT
    }
    struct kept kept[2] = {{0}};
    EACH_TEAM(threads) {
        struct ck_group_norm op = {
            .y = unwritten(count),
            .mean = unwritten(n * groups),
            .inverse = unwritten(n * groups),
            .dx = unwritten(count),
            .dgamma = unwritten(c),
            .dbeta = unwritten(c),
            .x = x,
            .gamma = gamma,
            .beta = beta,
            .dy = dy,
            .n = n,
            .pixels = pixels,
            .c = c,
            .groups = groups,
            .epsilon = epsilon,
        };
        run(CK_group_norm_forward, &op);
        run(CK_group_norm_backward, &op);
        expect_near("group_norm mean", op.mean, mean, n * groups, 2e-6);
        expect_near("group_norm inverse", op.inverse, inverse, n * groups, 1e-4);
        expect_near("group_norm y", op.y, y, count, 3e-4);
        expect_near("group_norm dx", op.dx, dx, count, 3e-2);
        expect_near("group_norm dgamma", op.dgamma, dgamma, c, 1e-5 * cells + 1e-3);
        expect_near("group_norm dbeta", op.dbeta, dbeta, c, 1e-5 * cells + 1e-4);
        expect_same("group_norm y", &kept[0], op.y, count * real_bytes);
        expect_same("group_norm dgamma", &kept[1], op.dgamma, c * real_bytes);
        free(op.y), free(op.mean), free(op.inverse), free(op.dx), free(op.dgamma), free(op.dbeta);
    }
    free(x), free(dy), free(gamma), free(beta), free(y), free(dx), free(dgamma), free(dbeta);
    free(mean), free(inverse);
}

void test_maps(void) {
    static const ptrdiff_t channels[] = {1, 2, 3, 7, 8, 16, 17, 33, 70};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        const ptrdiff_t c = channels[i];
        check_adaptive(7, 5, 3, 2, c);
        check_adaptive(3, 4, 5, 4, c); /* more rows than there were */
        check_adaptive(6, 6, 1, 1, c);
        for (int bilinear = 0; bilinear < 2; bilinear++) {
            check_upsample(3, 4, c, 2, 3, bilinear);
            check_upsample(1, 1, c, 4, 1, bilinear);
        }
        check_group_norm(6, c, 1);
        check_group_norm(6, c, c);
        check_group_norm(1, 6 * c, 3);
        check_group_norm(35, 4 * c, c);
    }
    check_group_norm(700, 6, 2);
}
